/**
 * A bounded queue in front of a fixed number of workers, for asynchronous functions in one process.
 *
 *   const pool = new Pool({ workers: 8, queue: { size: 100, whenFull: 'wait' } });
 *   const { accepted, done } = pool.submit(({ signal }) => fetch(url, { signal }));
 *   for await (const result of pool.run(urls, (url, { signal }) => fetch(url, { signal }))) …
 *
 * Promises: bodies start in the order of the calls, never more at once than there are workers, each in the
 * AsyncLocalStorage context of its call. A worker is free when its body has ended and not before, so an aborted body that
 * runs on still counts. Every submission settles exactly once, whatever ends it: a value, an error, a signal, `close`.
 * Rejections that nobody listens to are not "unhandled".
 *
 * Costs: about two promises and a few small objects per submission; no timer but that of `close`.
 * Trap: a body that submits to its own pool and awaits the result holds a worker while it waits; when all do, none is
 * left to run what they wait for.
 */
import { AsyncResource } from 'node:async_hooks';
import { type Clock, systemClock } from '../clock.ts';
import { assertOption, MillraceError } from '../errors.ts';
import { Dispatcher } from './dispatcher.ts';
import { FanIn, type Result, type Source } from './fan-in.ts';
import { onAbort } from './on-abort.ts';
import { type Outcome, type Runnable, Task, type TaskBody, type TaskContext } from './task.ts';

export type { Result, Source } from './fan-in.ts';
export type { Outcome, TaskBody, TaskContext } from './task.ts';

/** What a full queue does with one more: the call waits for a place, or it is rejected with POOL_FULL. */
export type WhenFull = 'wait' | 'reject';

export interface PoolOptions {
  /** Bodies that run at once. Integer from 1. `resize` changes it. */
  readonly workers: number;
  readonly queue?: {
    /** Submissions that wait while all workers are busy. Integer from 0. Default 1,000. */
    readonly size?: number;
    /** Default `'wait'`. Calls that wait for a place are not counted in `size`: each is a caller held back. */
    readonly whenFull?: WhenFull;
  };
  readonly clock?: Clock;
}

export interface SubmitOptions {
  /** Gives up the wait for a place or a worker; once the body runs, it is passed on and the body decides. */
  readonly signal?: AbortSignal;
}

/** The two moments of a submission. */
export interface Submission<T> {
  /** It has a place. Rejects with POOL_FULL, STOPPED, or the signal's reason, and `done` with the same. */
  readonly accepted: Promise<void>;
  /** The body has ended. Rejects with what it threw; when it was cancelled, with the reason. */
  readonly done: Promise<T>;
}

export interface RunOptions {
  /** Stops the intake, aborts what runs, closes the source. Jobs already taken still give their results. */
  readonly signal?: AbortSignal;
  /** Results in the order of the source instead of the order in which they ended. Default false. */
  readonly ordered?: boolean;
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

/** submitted = fulfilled + rejected + cancelled + (blocked + waiting + running, less those that `close` abandoned). */
export interface PoolStats {
  readonly workers: number;
  readonly paused: boolean;
  /** Workers with a body. */
  readonly running: number;
  /** Submissions with a place in the queue. */
  readonly waiting: number;
  /** Calls that wait for a place. */
  readonly blocked: number;
  readonly submitted: number;
  readonly fulfilled: number;
  readonly rejected: number;
  readonly cancelled: number;
  /** Calls turned away by a full or closed pool; not in `submitted`. */
  readonly refused: number;
}

/** After the abort at the deadline, bodies get this long to end before they are left behind, ms. */
const ABORT_GRACE = 1_000;

const TAKEN = Promise.resolve();
const ignore = () => undefined;

export class Pool implements AsyncDisposable {
  readonly #dispatcher: Dispatcher<Runnable>;
  readonly #size: number;
  readonly #whenFull: WhenFull;
  readonly #clock: Clock;
  /** Every task that has not settled: blocked, waiting, or running. */
  readonly #live = new Set<Runnable>();
  readonly #ended = { fulfilled: 0, rejected: 0, cancelled: 0 };
  #workers: number;
  #paused = false;
  #submitted = 0;
  #refused = 0;
  #closing: Promise<CloseReport> | undefined;

  constructor(options: PoolOptions) {
    const { workers, queue: { size = 1_000, whenFull = 'wait' } = {}, clock = systemClock } = options;
    assertWorkers(workers);
    assertOption('queue.size', size, Number.isSafeInteger(size) && size >= 0, 'an integer from 0');
    assertOption('queue.whenFull', whenFull, whenFull === 'wait' || whenFull === 'reject', "'wait' or 'reject'");
    this.#workers = workers;
    this.#size = size;
    this.#whenFull = whenFull;
    this.#clock = clock;
    this.#dispatcher = new Dispatcher({ workers, queue: size, run: (task) => task.run() });
  }

  /** Runs `body` as soon as a worker is free, never before this call returns. */
  submit<T>(body: TaskBody<T>, options: SubmitOptions = {}): Submission<T> {
    assertOption('body', body, typeof body === 'function', 'a function');
    const { promise: done, resolve, reject } = Promise.withResolvers<T>();
    const inContext = keepContext(body);
    const accepted = this.#give<T>(inContext, options.signal, this.#whenFull, (outcome) => {
      if (outcome.status === 'fulfilled') return resolve(outcome.value);
      done.catch(ignore);
      reject(outcome.error);
    });
    return { accepted, done };
  }

  /**
   * Runs `handler` for each job of `source` and yields one result per job. Nothing is pulled before the first result is
   * asked for, and never more than two jobs per worker are held, results that wait for the reader included; jobs wait for
   * a place whatever `whenFull` says.
   *
   * Leaving the loop aborts what runs, closes the source, and waits for the bodies to end. Throws after the last result:
   * what the source threw, or the reason why the intake was cut short (the signal's, or STOPPED by `close`).
   */
  run<Job, T>(
    source: Source<Job>,
    handler: (job: Job, context: TaskContext) => T | Promise<T>,
    options: RunOptions = {},
  ): AsyncGenerator<Result<Job, T>, void, undefined> {
    assertOption('source', source, isIterable(source), 'an iterable or an async iterable');
    assertOption('handler', handler, typeof handler === 'function', 'a function');
    const handle = keepContext(handler);
    return new FanIn<Job, T>({
      source,
      begin: (job, signal, settled) => this.#give<T>((context) => handle(job, context), signal, 'wait', settled),
      window: () => 2 * this.#workers,
      ordered: options.ordered ?? false,
      signal: options.signal,
    }).results();
  }

  /** Changes the number of workers. Integer from 1. Surplus ones leave when their body has ended. */
  resize(workers: number): void {
    assertWorkers(workers);
    this.#workers = workers;
    if (!this.#paused) this.#dispatcher.resize(workers);
  }

  /** Starts nothing until `resume`. What runs goes on, and the queue still fills. Does nothing once the pool closes. */
  pause(): void {
    if (this.#closing) return;
    this.#paused = true;
    this.#dispatcher.resize(0);
  }

  resume(): void {
    this.#paused = false;
    this.#dispatcher.resize(this.#workers);
  }

  /** Resolves when nothing runs and nothing waits. A paused pool drains only after `resume`. */
  drain(): Promise<void> {
    return this.#dispatcher.drain();
  }

  /**
   * Takes nothing more, resumes if paused, finishes what was submitted; at the deadline cancels what waits and aborts
   * what runs; a second later leaves behind what still runs. Later calls get the report of the first.
   */
  close(options: CloseOptions = {}): Promise<CloseReport> {
    const { deadline = 25_000 } = options;
    assertOption('deadline', deadline, typeof deadline === 'number' && deadline >= 0, 'a number of ms from 0');
    this.#closing ??= this.#close(deadline);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The state now, and totals since the pool was made. */
  stats(): PoolStats {
    const { running, waiting, blocked } = this.#dispatcher;
    return {
      workers: this.#workers,
      paused: this.#paused,
      running,
      waiting,
      blocked,
      submitted: this.#submitted,
      ...this.#ended,
      refused: this.#refused,
    };
  }

  /**
   * DANGER: from here on `settled` must be called exactly once. A refused body calls it here; any other becomes a task,
   * and a task settles when it is run, cancelled or abandoned.
   */
  #give<T>(
    body: TaskBody<T>,
    signal: AbortSignal | undefined,
    whenFull: WhenFull,
    settled: (outcome: Outcome<T>) => void,
  ): Promise<void> {
    const refusal = this.#refusal(signal, whenFull);
    if (refusal) {
      this.#refused++;
      settled({ status: 'cancelled', error: refusal.reason });
      return quietly(Promise.reject(refusal.reason));
    }

    const task = new Task<T>(body, (outcome) => {
      stopListening?.();
      this.#live.delete(task);
      this.#ended[outcome.status]++;
      settled(outcome);
    });
    this.#submitted++;
    this.#live.add(task);
    let placed = true;
    const stopListening =
      signal &&
      onAbort(signal, () => {
        if (placed && task.waiting) this.#dispatcher.withdraw(task);
        task.cancel(signal.reason);
      });
    if (this.#dispatcher.offer(task)) return TAKEN;

    placed = false;
    return quietly(
      this.#dispatcher.submit(task, signal).then(() => {
        placed = true;
      }),
    );
  }

  /** Why a submission cannot be taken, if so. */
  #refusal(signal: AbortSignal | undefined, whenFull: WhenFull): { readonly reason: unknown } | undefined {
    if (this.#closing) return { reason: stopped() };
    if (signal?.aborted) return { reason: signal.reason };
    if (whenFull === 'reject' && this.#dispatcher.room === 0) {
      return { reason: new MillraceError('POOL_FULL', { size: this.#size }) };
    }
    return undefined;
  }

  async #close(deadline: number): Promise<CloseReport> {
    const before = { ...this.#ended };
    let abandoned = 0;
    this.resume();
    const drained = this.#dispatcher.drain();
    if (!(await this.#within(deadline, drained))) {
      const reason = stopped();
      this.#dispatcher.stop(reason);
      for (const task of this.#live) task.cancel(reason);
      if (!(await this.#within(ABORT_GRACE, drained))) {
        abandoned = this.#live.size;
        for (const task of this.#live) task.abandon(reason);
      }
    }
    const { fulfilled, rejected, cancelled } = this.#ended;
    return {
      finished: fulfilled - before.fulfilled + rejected - before.rejected,
      aborted: cancelled - before.cancelled - abandoned,
      abandoned,
    };
  }

  /** True when `done` came within `ms`. */
  #within(ms: number, done: Promise<void>): Promise<boolean> {
    if (ms === Number.POSITIVE_INFINITY) return done.then(() => true);
    return new Promise((resolve) => {
      const timer = this.#clock.timer(ms, () => resolve(false));
      void done.then(() => {
        timer.cancel();
        resolve(true);
      });
    });
  }
}

/** The function in the AsyncLocalStorage context of now. By hand: `AsyncLocalStorage.bind` costs thirty times as much. */
function keepContext<Args extends unknown[], T>(fn: (...args: Args) => T): (...args: Args) => T {
  const context = new AsyncResource('millrace.Pool');
  return (...args) => context.runInAsyncScope(fn, undefined, ...args);
}

/** A rejection that its owner may look at or not. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(ignore);
  return promise;
}

function stopped(): MillraceError {
  return new MillraceError('STOPPED', { what: 'the pool' });
}

function assertWorkers(workers: number): void {
  assertOption('workers', workers, Number.isSafeInteger(workers) && workers >= 1, 'an integer from 1');
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null
    ? Symbol.iterator in value || Symbol.asyncIterator in value
    : typeof value === 'string';
}
