/**
 * What a pool can be told, and what it tells.
 */
import type { Transferable } from 'node:worker_threads';
import type { Clock } from '../clock.ts';
import type { Limit } from './limits/limit.ts';
import type { RateLimit } from './limits/rate.ts';
import type { Outcome } from './task.ts';
import type { ThreadOptions } from './threads/options.ts';
import type { CrewStats } from './threads/stats.ts';

/** A worker as a function in a module or in place: gets what was submitted. */
export type WorkerFunction = (payload: never, context: never) => unknown;
export type PayloadOf<W> = W extends (payload: infer Payload, ...rest: never[]) => unknown ? Payload : never;
export type ValueOf<W> = W extends (...args: never[]) => infer Value ? Awaited<Value> : unknown;

/**
 * What a full queue does with one more.
 *
 * - `wait`: the call waits for a place; first come, first served. For callers that can be held back.
 * - `reject`: POOL_FULL. For those who can tell somebody else to come later.
 * - `drop-oldest`: the oldest waiting task of the lowest priority makes place; its submission ends with TASK_DROPPED.
 * - `drop-newest`: the new one ends with TASK_DROPPED. Both are for work that the next one makes worthless.
 * - `caller-runs`: the body runs in the call itself, beyond `workers`, and `accepted` resolves when it has ended. A
 *   synchronous body holds the caller back by that; an asynchronous one only a caller that awaits `accepted`. Keys and a
 *   `rate` could not be kept by that, so it refuses them. While the pool is paused the call waits, and so does one out of
 *   a body that runs like this, or bodies would pile up on the stack.
 */
export type WhenFull = 'wait' | 'reject' | 'drop-oldest' | 'drop-newest' | 'caller-runs';

/** What an outcome says about the load of the other side; `retryAfter` in ms stops starts for so long. */
export type Verdict = 'ok' | 'ignored' | 'overload' | { readonly retryAfter: number };

export interface QueueOptions {
  /** Submissions that wait while all workers are busy. Integer from 0. Default 1,000. */
  readonly size?: number;
  /** Default `'wait'`. Calls that wait for a place are not counted in `size`: each is a caller held back. */
  readonly whenFull?: WhenFull;
  /**
   * Submissions that a level of priority is worth: a task is overtaken by at most so many later ones per level. Integer
   * from 1, or Infinity for strict priorities, with which the lowest may starve. Default 1,000.
   */
  readonly ageing?: number;
  /** Of one priority the oldest first, or the newest. Default `'fifo'`. With `'lifo'` the oldest may starve. */
  readonly order?: 'fifo' | 'lifo';
}

export interface PoolOptions<W extends WorkerFunction | undefined = undefined> {
  /**
   * What runs each payload that is submitted: a function, or a module whose default export is one, which then runs in
   * threads. Default: none, what is submitted is a function. For a module its type has to be named:
   * `new Pool<typeof import('./resize.ts').default>({ worker: new URL('./resize.ts', import.meta.url), workers: 4 })`.
   */
  readonly worker?: W | URL;
  /** How threads are kept. Only with a module as the worker. */
  readonly threads?: ThreadOptions;
  /**
   * Bodies that run at once: an integer from 1, which `resize` changes, or a limit that finds it (`limits.aimd()`). A
   * limit is told how each body ended, as `classify` sees it, and how long it took.
   */
  readonly workers: number | Limit;
  readonly queue?: QueueOptions;
  /**
   * Bodies of one `key` at once. Integer from 1, or a function that gives it for a key. Default 1: tasks of a key run one
   * after the other, in order. Needs nothing for tasks without a key.
   */
  readonly perKey?: number | ((key: string) => number);
  /** How often bodies may start: `tokenBucket` or `slidingWindow`. Default: no limit. Not with `caller-runs`. */
  readonly rate?: RateLimit;
  /** ms; the default of `submit`'s option of that name. */
  readonly queueTimeout?: number;
  /** ms; the default of `submit`'s option of that name. */
  readonly timeout?: number;
  /**
   * What a body that outlives its `timeout` does with its worker. `hold` (default): it keeps it until it ends, so there
   * are never more bodies than workers. `release`: gives it back; the body counts as abandoned until it ends. In a
   * thread a body that does not stop is terminated, so only `hold` is possible.
   */
  readonly onTimeout?: 'hold' | 'release';
  /** Default: values are `ok`, a timeout of the body is `overload`, other errors are `ignored`. Must not throw. */
  readonly classify?: (outcome: Outcome<unknown>) => Verdict;
  /** ms; a body older than that is reported once, on the channel `millrace.pool.stuck`. Minimum 1. Default: none is. */
  readonly stuckAfter?: number;
  /** Records wait and run time of every task in `histograms`. Default false: it costs three looks at the clock per task. */
  readonly histograms?: boolean;
  /** In events. Default `'pool'`. */
  readonly name?: string;
  readonly clock?: Clock;
}

export interface SubmitOptions {
  /** Gives up the wait for a place or a worker; once the body runs, it is passed on and the body decides. */
  readonly signal?: AbortSignal;
  /** 0 is served first. Integer 0–9. Default 4. */
  readonly priority?: number;
  /** Tasks of one key: `perKey` at once, in order of submission within a priority. Default: none. Not with `caller-runs`. */
  readonly key?: string;
  /** Workers it takes while it runs. Integer from 1. More than there are: it runs alone. Default 1. */
  readonly weight?: number;
  /**
   * Bytes that the body sends or fetches. An adaptive limit compares large ones with large ones, so that they are not
   * taken for a slow store. Of no effect with a fixed number of workers. From 0. Default 0: all alike.
   */
  readonly bytes?: number;
  /** ms from the call until the body must have started, else TASK_TIMEOUT. Minimum 1. Default: no limit. */
  readonly queueTimeout?: number;
  /** ms from the start of the body until TASK_TIMEOUT; its signal aborts. Minimum 1. Default: no limit. */
  readonly timeout?: number;
  /** Parts of the payload that move to the thread instead of being copied, as for `postMessage`. Only for threads. */
  readonly transfer?: readonly Transferable[];
  /** Gets what the body sends with `context.send` while it runs. Only for threads. */
  readonly onMessage?: (value: unknown) => void;
}

export interface RunOptions<Job = never> {
  /** Stops the intake, aborts what runs, closes the source. Jobs already taken still give their results. */
  readonly signal?: AbortSignal;
  /** Results in the order of the source instead of the order in which they ended. Default false. */
  readonly ordered?: boolean;
  /** The first job that fails stops the intake and aborts the rest; the loop throws its error at the end. Default false. */
  readonly failFast?: boolean;
  /** What the job asks for, as for `submit`: a key, a weight, a timeout … What it throws cuts the intake. Default: nothing. */
  readonly each?: (job: Job) => SubmitOptions;
}

export interface GroupOptions {
  /** The first error cancels the rest. Default true; with false all are run. */
  readonly failFast?: boolean;
  /** Cancels the group. */
  readonly signal?: AbortSignal;
}

export interface CloseOptions {
  /** ms until what has not ended is aborted. Minimum 0. Default 25,000. `Infinity` waits for as long as it takes. */
  readonly deadline?: number;
}

/** What became of the submissions that had not settled when `close` was called. */
export interface CloseReport {
  /** Ended by themselves, well or badly. */
  readonly finished: number;
  /** Cancelled before they started, or ended because of the abort. */
  readonly aborted: number;
  /** Bodies that ignored the abort and still run. */
  readonly abandoned: number;
}

/** When all is over, submitted = fulfilled + rejected + cancelled. */
export interface PoolStats {
  /** Bodies that may run now. */
  readonly workers: number;
  readonly paused: boolean;
  /** Bodies that run and count, by weight. */
  readonly running: number;
  /** Submissions with a place in the queue. */
  readonly waiting: number;
  /** Calls that wait for a place. */
  readonly blocked: number;
  readonly submitted: number;
  readonly fulfilled: number;
  /** Timed out ones included. */
  readonly rejected: number;
  /** Dropped ones included. */
  readonly cancelled: number;
  /** In `rejected`: their queueTimeout or timeout was over. */
  readonly timedOut: number;
  /** In `cancelled`: an oldest one that made place. */
  readonly dropped: number;
  /** Calls turned away by a full or closed pool, dropped newest ones included; not in `submitted`. */
  readonly refused: number;
  /** Bodies beyond `workers`: they gave their worker back, or run in their caller. */
  readonly detached: number;
  /** Where the worker is a module. */
  readonly threads: CrewStats | undefined;
}
