/**
 * What a job is: a name, a way to run it, and the rules for when that fails.
 *
 *   const mail = defineJob({ name: 'mail', run: async (to: { address: string }) => send(to.address) });
 *
 * The definition carries the types: clients that enqueue `mail` must pass `{ address }`, and results have the type that
 * `run` returns. Nothing happens when a job is defined; a JobServer runs it, a Client enqueues it.
 */
import type { Backoff } from './backoff.ts';
import type { StandardSchema } from './schema.ts';

/** What a running job knows about itself. */
export interface JobContext {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  /** 1 on the first run. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly crashes: number;
  /** When the job was enqueued, ms since the epoch. */
  readonly addedAt: number;
  /** Aborts at the timeout (JOB_TIMEOUT) and when the server's stop deadline passes (STOPPED). */
  readonly signal: AbortSignal;
  /** The payload as it was stored, before decoding. */
  readonly bytes: Uint8Array;
}

export interface JobOptions {
  /** Queue the job goes to unless the enqueue says otherwise. Default `'default'`. */
  readonly queue?: string;
  /** Runs, the first included, before the job is discarded. Minimum 1. Default 25. */
  readonly maxAttempts?: number;
  /** 0 is served first. 0–9. Default 4. */
  readonly priority?: number;
  /** Wait before attempt n + 1, in ms. Default `exponential()`: 15 s, 16 s, 31 s, 96 s, … about 20 days over 25 attempts. */
  readonly backoff?: Backoff;
  /**
   * Milliseconds after which `context.signal` aborts and the attempt counts as failed. Default: none.
   * Trap: a body that ignores the signal keeps its worker until it ends.
   */
  readonly timeout?: number;
}

export interface JobDefinition<Name extends string = string, Payload = unknown, Result = unknown> {
  readonly name: Name;
  readonly options: Required<Omit<JobOptions, 'timeout'>> & { readonly timeout?: number };
  readonly schema?: StandardSchema<unknown, Payload>;
  readonly kind: 'single' | 'batch';
  /** Present when `kind` is `single`. */
  readonly run?: (payload: Payload, context: JobContext) => Result | Promise<Result>;
  /** Present when `kind` is `batch`. */
  readonly batch?: BatchHandler<Payload, Result>;
}

/** One job of a batch, decoded. */
export interface BatchItem<Payload> {
  readonly payload: Payload;
  readonly job: JobContext;
}

/** How one item of a batch ended. An absent or undefined entry means it succeeded with no result. */
export type ItemResult<Result> = { readonly value: Result } | { readonly error: unknown } | undefined;

export interface BatchHandler<Payload, Result> {
  /** Most jobs in one call. Minimum 1. */
  readonly size: number;
  /** How long a part-filled batch waits for more, ms. 0 = runs with what one claim brought. Default 0. */
  readonly wait: number;
  /**
   * Runs all items together. What it returns, in order, is the result per item; throwing fails every item.
   * `payload` is decoded on first access, so a handler that needs only `job.bytes` pays nothing for decoding.
   */
  run(items: readonly BatchItem<Payload>[], signal: AbortSignal): Promise<readonly ItemResult<Result>[] | void>;
}
