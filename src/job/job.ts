/**
 * What a job is: a name, a way to run it, and the rules for when that fails.
 *
 *   const mail = defineJob({ name: 'mail', run: async (to: { address: string }) => send(to.address) });
 *
 * The definition carries the types: clients that enqueue `mail` must pass `{ address }`, and results have the type that
 * `run` returns. Nothing happens when a job is defined; a JobServer runs it, a Client enqueues it.
 */
import { assertOption } from '../errors.ts';
import { type Backoff, exponential } from './backoff.ts';
import type { StandardSchema } from './schema.ts';

/** What a running job knows about itself. */
export interface JobContext {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  /** 1 on the first run. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** How often a process died while it ran this job. */
  readonly crashes: number;
  /** When the job was enqueued, ms since the epoch. */
  readonly addedAt: number;
  /** Aborts at the job's timeout (reason JOB_TIMEOUT) and when the server's stop deadline has passed (reason STOPPED). */
  readonly signal: AbortSignal;
  /** The payload as it was stored, before decoding. */
  readonly bytes: Uint8Array;
}

export interface JobOptions {
  /** Queue the job goes to unless the enqueue says otherwise. Default `'default'`. */
  readonly queue?: string;
  /** Runs, the first included, before the job is discarded. Minimum 1. Default 25. */
  readonly maxAttempts?: number;
  /** 0 is served first. Integer 0–9. Default 4. */
  readonly priority?: number;
  /** The wait before the next attempt. Default `exponential()`. */
  readonly backoff?: Backoff;
  /**
   * Milliseconds from the start of a run until `context.signal` aborts; the attempt has then failed with JOB_TIMEOUT.
   * Minimum 1. Default: none. Trap: a body that ignores the signal keeps its worker until it ends.
   */
  readonly timeout?: number;
}

/** One job of a batch. */
export interface BatchItem<Payload> {
  /** Decoded on first access: a handler that needs only `job.bytes` pays nothing for decoding. */
  readonly payload: Payload;
  readonly job: JobContext;
}

/** How one item of a batch ended; `undefined` means it succeeded and has no result. */
export type ItemResult<Result> = { readonly value: Result } | { readonly error: unknown } | undefined;

/** Runs many jobs in one call. */
export interface BatchHandler<Payload, Result> {
  /** Most jobs in one call. Minimum 1. */
  readonly size: number;
  /** How long a part-filled batch waits for more, ms. Default 0: it runs with what one claim brought. */
  readonly wait?: number;
  /** Returns a result per item, in order; nothing at all means that every item succeeded; throwing fails every item. */
  run(items: readonly BatchItem<Payload>[], signal: AbortSignal): Promise<readonly ItemResult<Result>[] | void>;
}

export interface JobDefinition<Name extends string = string, Payload = unknown, Result = unknown> {
  readonly name: Name;
  readonly queue: string;
  readonly maxAttempts: number;
  readonly priority: number;
  readonly backoff: Backoff;
  readonly timeout: number | undefined;
  readonly schema: StandardSchema<unknown, Payload> | undefined;
  readonly handler: JobHandler<Payload, Result>;
}

export type JobHandler<Payload, Result> =
  | { readonly kind: 'single'; run(payload: Payload, context: JobContext): Result | Promise<Result> }
  | ({ readonly kind: 'batch' } & Required<BatchHandler<Payload, Result>>);

/** The payload type of a definition. */
export type PayloadOf<Job> = Job extends JobDefinition<string, infer Payload, unknown> ? Payload : never;
/** The result type of a definition. */
export type ResultOf<Job> = Job extends JobDefinition<string, infer _, infer Result> ? Result : never;

interface Named<Name extends string> extends JobOptions {
  /** Unique among the jobs of a server; stored with each job. */
  readonly name: Name;
}

/** A job whose payloads are checked when they are enqueued, and typed by the schema. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name> & {
    readonly schema: StandardSchema<unknown, Payload>;
    run(payload: Payload, context: JobContext): Result | Promise<Result>;
  },
): JobDefinition<Name, Payload, Result>;
/** A job typed by the parameter of `run`. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name> & { run(payload: Payload, context: JobContext): Result | Promise<Result> },
): JobDefinition<Name, Payload, Result>;
/** A job that is run many at a time. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name> & {
    readonly schema?: StandardSchema<unknown, Payload>;
    readonly batch: BatchHandler<Payload, Result>;
  },
): JobDefinition<Name, Payload, Result>;
export function defineJob(
  job: Named<string> & {
    readonly schema?: StandardSchema;
    readonly batch?: BatchHandler<unknown, unknown>;
    run?(payload: unknown, context: JobContext): unknown;
  },
): JobDefinition {
  const { name, queue = 'default', maxAttempts = 25, priority = 4, backoff = exponential(), timeout, schema } = job;
  assertOption('name', name, typeof name === 'string' && name.length > 0, 'a non-empty string');
  assertOption('queue', queue, typeof queue === 'string' && queue.length > 0, 'a non-empty string');
  assertOption('maxAttempts', maxAttempts, Number.isInteger(maxAttempts) && maxAttempts >= 1, 'an integer from 1');
  assertOption(
    'priority',
    priority,
    Number.isInteger(priority) && priority >= 0 && priority <= 9,
    'an integer from 0 to 9',
  );
  assertOption('timeout', timeout, timeout === undefined || timeout >= 1, 'a number of milliseconds from 1');
  return { name, queue, maxAttempts, priority, backoff, timeout, schema, handler: handlerOf(job) };
}

function handlerOf(job: {
  readonly batch?: BatchHandler<unknown, unknown>;
  run?(payload: unknown, context: JobContext): unknown;
}): JobHandler<unknown, unknown> {
  const { batch, run } = job;
  if (!batch) {
    assertOption('run', run, typeof run === 'function', 'a function (or give `batch`)');
    return { kind: 'single', run: run as (payload: unknown, context: JobContext) => unknown };
  }
  const { size, wait = 0 } = batch;
  assertOption('run', run, run === undefined, 'absent when `batch` is given');
  assertOption('batch.size', size, Number.isInteger(size) && size >= 1, 'an integer from 1');
  assertOption('batch.wait', wait, typeof wait === 'number' && wait >= 0, 'a number of milliseconds from 0');
  return { kind: 'batch', size, wait, run: (items, signal) => batch.run(items, signal) };
}
