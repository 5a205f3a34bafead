/**
 * What a job is: a name, a way to run it, and the rules for when that fails.
 *
 *   const mail = defineJob({ name: 'mail', run: async (to: { address: string }) => send(to.address) });
 *
 * The definition carries the types: clients that enqueue `mail` must pass `{ address }`, and results have the type that
 * `run` returns. Nothing happens when a job is defined; a JobServer runs it, a Client enqueues it.
 */
import { assertKnown, assertOption } from '../errors.ts';
import { type Backoff, defaultBackoff } from './backoff.ts';
import { type Codec, json } from './codec.ts';
import type { Control } from './control.ts';
import type { StandardSchema } from './schema.ts';
import { assertUnique, type UniqueOptions } from './unique.ts';

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
  readonly key: string | undefined;
  readonly tags: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Aborts at the job's timeout (reason JOB_TIMEOUT), when somebody cancels the job (JOB_CANCELLED), when the server's
   * stop deadline has passed (STOPPED), and when the server was taken for dead and others have the job (JOB_TAKEN_OVER).
   */
  readonly signal: AbortSignal;
  /** The payload as it was stored, before decoding. */
  readonly bytes: Uint8Array;
  /**
   * Says how far the job is; anybody may read it while it runs and, if the job is kept, afterwards. Any JSON value, at most
   * 64 KiB: throws OPTION_INVALID for another one. Costs no wait: reports of all jobs leave together, and only the last one
   * of a job counts. Does nothing once the job has ended.
   */
  progress(value: unknown): void;
  /** Adds a line to the job's log, of which the last 1,000 are kept with it. A line is cut at 4,096 characters. */
  log(text: string): void;
}

/** What a body in a thread knows about its job. The stored bytes stay where they are: it gets the decoded payload. */
export interface ThreadJobContext extends Omit<JobContext, 'bytes'> {
  /** True as soon as `signal` would abort. Reads shared memory, so a loop that never yields can look at it too. */
  readonly aborted: boolean;
}

/** The default export of a module that is a job's body. */
export type ThreadBody<Payload = never, Result = unknown> = (
  payload: Payload,
  job: ThreadJobContext,
) => Result | Promise<Result>;

export interface JobOptions<Payload = unknown> {
  /** Queue the job goes to unless the enqueue says otherwise. Default `'default'`. */
  readonly queue?: string;
  /** Runs, the first included, before the job is discarded. Minimum 1. Default 25. */
  readonly maxAttempts?: number;
  /** 0 is served first. Integer 0–9. Default 4. */
  readonly priority?: number;
  /** The wait before the next attempt. Default that of the backend, or `polynomial()`: about 20 days for 25 attempts. */
  readonly backoff?: Backoff;
  /** False: this error will not go away, so the job is discarded at once. Default: every error is worth a retry. */
  readonly retryIf?: (error: Error, job: JobContext) => boolean;
  /**
   * Milliseconds from the start of a run until `context.signal` aborts. The attempt has then failed with JOB_TIMEOUT, unless
   * the body returns a value all the same, within `grace`: the work is done. Minimum 1. Default: none.
   */
  readonly timeout?: number;
  /**
   * Milliseconds that a body may go on after its signal aborted, for a timeout or a cancellation. Then a thread is
   * terminated; a function cannot be, so it is left behind, counted, and its worker is free. Minimum 0. Default 5,000.
   */
  readonly grace?: number;
  /** Keep the record and the result this long after the job completed, ms, for `handle.result()`. Default: not at all. */
  readonly keepFor?: number;
  /** Jobs of one key are run in order, fairly, or bounded, see `KeySettings`. Default: no key. */
  readonly key?: (payload: Payload) => string | undefined;
  /** For finding jobs. Default: none. */
  readonly tags?: readonly string[] | ((payload: Payload) => readonly string[]);
  /** One job for many enqueues. Default: every enqueue is a job. */
  readonly unique?: UniqueOptions<Payload>;
  /** How payloads and results are written. Default JSON. */
  readonly codec?: Codec;
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
  readonly retryIf: ((error: Error, job: JobContext) => boolean) | undefined;
  readonly timeout: number | undefined;
  readonly grace: number;
  readonly keepFor: number | undefined;
  readonly codec: Codec;
  /** What depends on the payload. Methods, so that a definition fits where one of any payload is asked for. */
  keyOf(payload: Payload): string | undefined;
  tagsOf(payload: Payload): readonly string[];
  readonly unique: UniqueOptions | undefined;
  readonly schema: StandardSchema<unknown, Payload> | undefined;
  readonly handler: JobHandler<Payload, Result>;
}

export type JobHandler<Payload, Result> =
  | {
      readonly kind: 'single';
      run(payload: Payload, context: JobContext): Result | Control | Promise<Result | Control>;
    }
  | ({ readonly kind: 'batch' } & Required<BatchHandler<Payload, Result>>)
  /** `threads` undefined: as many as the machine has cores, at most the server's workers. */
  | { readonly kind: 'thread'; readonly module: URL; readonly threads: number | undefined };

/** The payload type of a definition. */
export type PayloadOf<Job> = Job extends JobDefinition<string, infer Payload, unknown> ? Payload : never;
/** The result type of a definition. */
export type ResultOf<Job> = Job extends JobDefinition<string, infer _, infer Result> ? Result : never;

interface Named<Name extends string, Payload> extends JobOptions<Payload> {
  /** Unique among the jobs of a server; stored with each job. */
  readonly name: Name;
}

/** What a body returns, without what only says how it ended. */
type Plain<Result> = Exclude<Result, Control>;
type BodyPayload<Body> = Body extends (payload: infer Payload, ...rest: never[]) => unknown ? Payload : never;
type BodyResult<Body> = Body extends (...args: never[]) => infer Result ? Plain<Awaited<Result>> : never;

/** The URL of a module whose default export is a `Body`, as the compiler sees it. */
export type ThreadModule<Body> = URL & { readonly [body]?: Body };
declare const body: unique symbol;

/** The same URL, with the type of what is there: a module that the main thread should not load can only be named. */
export function moduleOf<Module extends { readonly default: ThreadBody }>(url: URL): ThreadModule<Module['default']> {
  return url;
}

/** A job whose payloads are checked when they are enqueued, and typed by the schema. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name, Payload> & {
    readonly schema: StandardSchema<unknown, Payload>;
    run(payload: Payload, context: JobContext): Result | Promise<Result>;
  },
): JobDefinition<Name, Payload, Plain<Result>>;
/** A job typed by the parameter of `run`. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name, Payload> & { run(payload: Payload, context: JobContext): Result | Promise<Result> },
): JobDefinition<Name, Payload, Plain<Result>>;
/** A job that is run many at a time. */
export function defineJob<const Name extends string, Payload, Result>(
  job: Named<Name, Payload> & {
    readonly schema?: StandardSchema<unknown, Payload>;
    readonly batch: BatchHandler<Payload, Result>;
  },
): JobDefinition<Name, Payload, Plain<Result>>;
/**
 * A job whose body is the default export of a module, and runs in a thread: for bodies that compute.
 *
 *   const module = moduleOf<typeof import('./resize.ts')>(new URL('./resize.ts', import.meta.url));
 *   const resize = defineJob({ name: 'resize', thread: module });
 *
 * Payload and result go from thread to thread as structured clones. A body that goes on `grace` ms after its signal aborted
 * is ended with its thread; one that kills its thread (memory, `process.exit`) fails its own attempt with THREAD_DIED.
 */
export function defineJob<const Name extends string, Body extends ThreadBody = ThreadBody<unknown>>(
  job: Named<Name, BodyPayload<Body>> & {
    readonly schema?: StandardSchema<unknown, BodyPayload<Body>>;
    /** A plain URL does as well; its payload is `unknown`. */
    readonly thread: ThreadModule<Body>;
    /** Threads that run it in a server. Integer from 1. Default: one per core, at most the server's workers. */
    readonly threads?: number;
  },
): JobDefinition<Name, BodyPayload<Body>, BodyResult<Body>>;
export function defineJob(
  job: Named<string, unknown> & Handlers & { readonly schema?: StandardSchema },
): JobDefinition {
  assertKnown(job, known);
  const { name, queue = 'default', maxAttempts = 25, priority = 4, backoff = defaultBackoff, grace = 5_000 } = job;
  const { timeout, keepFor, retryIf, key, tags = [], unique, codec = json, schema } = job;
  const isFunction = (value: unknown) => typeof value === 'function';
  assertOption('name', name, typeof name === 'string' && name.length > 0, 'a non-empty string');
  assertOption('queue', queue, typeof queue === 'string' && queue.length > 0, 'a non-empty string');
  assertOption('maxAttempts', maxAttempts, Number.isInteger(maxAttempts) && maxAttempts >= 1, 'an integer from 1');
  assertOption(
    'priority',
    priority,
    Number.isInteger(priority) && priority >= 0 && priority <= 9,
    'an integer from 0 to 9',
  );
  assertOption('backoff', backoff, isFunction(backoff), 'a function');
  assertOption('retryIf', retryIf, retryIf === undefined || isFunction(retryIf), 'a function');
  assertOption('timeout', timeout, timeout === undefined || timeout >= 1, 'a number of milliseconds from 1');
  assertOption('grace', grace, grace >= 0, 'a number of milliseconds from 0');
  const isKeepFor = keepFor === undefined || (keepFor > 0 && Number.isFinite(keepFor));
  assertOption('keepFor', keepFor, isKeepFor, 'a number of milliseconds above 0');
  assertOption('key', key, key === undefined || isFunction(key), 'a function of the payload');
  assertOption(
    'tags',
    tags,
    Array.isArray(tags) || isFunction(tags),
    'an array of strings, or a function of the payload',
  );
  if (unique !== undefined) assertUnique(unique);
  const isCodec = typeof codec?.name === 'string' && isFunction(codec.encode) && isFunction(codec.decode);
  assertOption('codec', codec, isCodec, 'an object with `name`, `encode` and `decode`');
  const rules = {
    name,
    queue,
    maxAttempts,
    priority,
    backoff,
    retryIf,
    timeout,
    grace,
    keepFor,
    unique,
    codec,
    schema,
  };
  return {
    ...rules,
    keyOf: (payload) => key?.(payload),
    tagsOf: (payload) => (typeof tags === 'function' ? tags(payload) : tags),
    handler: handlerOf(job),
  };
}

const known = {
  name: true,
  queue: true,
  maxAttempts: true,
  priority: true,
  backoff: true,
  retryIf: true,
  timeout: true,
  grace: true,
  keepFor: true,
  key: true,
  tags: true,
  unique: true,
  codec: true,
  schema: true,
  run: true,
  batch: true,
  thread: true,
  threads: true,
} as const satisfies Record<keyof JobOptions | keyof Handlers | 'name' | 'schema', true>;

/** The three ways to say what runs; exactly one is given. */
interface Handlers {
  readonly batch?: BatchHandler<unknown, unknown>;
  readonly thread?: URL;
  readonly threads?: number;
  run?(payload: unknown, context: JobContext): unknown;
}

function handlerOf({ batch, thread, threads, run }: Handlers): JobHandler<unknown, unknown> {
  const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 1;
  assertOption('threads', threads, threads === undefined || thread !== undefined, 'given only with `thread`');
  if (batch === undefined && thread === undefined) {
    assertOption('run', run, typeof run === 'function', 'a function (or give `batch` or `thread`)');
    return { kind: 'single', run: run as (payload: unknown, context: JobContext) => unknown };
  }
  assertOption('run', run, run === undefined, 'absent when `batch` or `thread` is given');
  if (batch === undefined) {
    assertOption('thread', thread, thread instanceof URL, 'the URL of a module');
    assertOption('threads', threads, threads === undefined || isCount(threads), 'an integer from 1');
    return { kind: 'thread', module: thread as URL, threads };
  }
  assertOption('thread', thread, thread === undefined, 'absent when `batch` is given');
  const { size, wait = 0 } = batch;
  assertOption('batch.size', size, isCount(size), 'an integer from 1');
  assertOption('batch.wait', wait, typeof wait === 'number' && wait >= 0, 'a number of milliseconds from 0');
  assertOption('batch.run', batch.run, typeof batch.run === 'function', 'a function');
  return { kind: 'batch', size, wait, run: (items, signal) => batch.run(items, signal) };
}
