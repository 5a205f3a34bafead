/**
 * The two tiers: jobs that wait for a worker, and workers that wait for a job.
 *
 *   submit ─▶ waiting    first tier: jobs, oldest first, bounded
 *             callers ─▶ ┌───┬───┬───┬───┐
 *   offer ─────────────▶ │ d │ c │ b │ a ├──┐
 *                        └───┴───┴───┴───┘  ├─▶ pair ─▶ worker.work(a) ─▶ body ends ─┐
 *                        ┌───┬───┬───┐      │                                        │
 *                     ┌─▶│ 3 │ 1 │ 2 ├──────┘                                        │
 *                     │  └───┴───┴───┘                                               │
 *                     │  second tier: idle workers, longest idle first               │
 *                     └───────── no job waits ◀──────────────────────────────────────┤
 *                          a job waits: the same worker takes it at once ◀───────────┘
 *
 * Promises: bodies start in the order in which their jobs were taken, never more at once than there are workers, and
 * never inside the call that brought the job. A job stays in the first tier until a worker is there for it, so the bound
 * holds, `stop` hands back every job that has not started, and a worker that leaves takes no job with it. A body that
 * throws costs no worker.
 *
 * Costs per job: one slot while it waits and one `await` while it runs. No promise, closure or task per waiting job;
 * only a call of `submit` that has to wait for a place makes a promise. Workers go on in a loop and not by recursion, so
 * a million bodies that end at once need no stack.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { assertOption, MillraceError, toError } from '../errors.ts';
import { Ring } from './ring.ts';
import { Waiters } from './waiters.ts';

export interface DispatcherOptions<T> {
  /** Bodies that run at once. Integer from 0; with 0 nothing starts until `resize`. */
  readonly workers: number;
  /** Jobs that may wait while all workers are busy. Integer from 0; with 0 a job needs an idle worker. */
  readonly queue: number;
  /** The body. Runs in the AsyncLocalStorage context in which the dispatcher was made. */
  readonly run: (job: T) => Promise<void> | void;
  /** Called when a body has ended, or more workers came, and `room` is not 0. Must not throw. */
  readonly onRoom?: () => void;
  /** Receives what a body threw. Default: a process warning. */
  readonly onError?: (error: unknown, job: T) => void;
}

const NONE = Symbol('no job');
const TAKEN = Promise.resolve();

export class Dispatcher<T> {
  readonly #queue: number;
  readonly #run: (job: T) => Promise<void> | void;
  #onRoom: (() => void) | undefined;
  readonly #onError: ((error: unknown, job: T) => void) | undefined;
  readonly #jobs = new Ring<T>();
  readonly #idle = new Ring<Worker<T>>();
  readonly #submitters = new Waiters<T, void>();
  #wanted = 0;
  /** Workers that exist. More than wanted while some that are to go still run a body. */
  #workers = 0;
  #pairing = false;
  #stopped = false;
  #drained: (() => void)[] = [];

  constructor(options: DispatcherOptions<T>) {
    const { workers, queue, run, onRoom, onError } = options;
    assertOption('queue', queue, Number.isSafeInteger(queue) && queue >= 0, 'an integer from 0');
    assertOption('run', run, typeof run === 'function', 'a function');
    this.#queue = queue;
    // A worker's loop outlives the call that woke it; without this, later bodies would see that caller's context.
    this.#run = AsyncLocalStorage.bind(run);
    this.#onError = onError;
    this.resize(workers);
    this.#onRoom = onRoom; // after the first workers came: nobody has to be told of those
  }

  /** Jobs that `offer` would take now: one for each idle worker, and one for each free place. */
  get room(): number {
    return this.#stopped ? 0 : Math.max(0, this.#queue + this.#idle.size - this.#jobs.size);
  }

  /** Workers with a job. */
  get running(): number {
    return this.#workers - this.#idle.size;
  }

  /** Jobs taken and not started. */
  get waiting(): number {
    return this.#jobs.size;
  }

  /** Calls of `submit` that wait for a place. */
  get blocked(): number {
    return this.#submitters.size;
  }

  /** Workers without a job. */
  get idle(): number {
    return this.#idle.size;
  }

  /** Takes the job if there is room. False when it is full or stopped: the job is still the caller's. */
  offer(job: T): boolean {
    if (this.room === 0) return false;
    this.#jobs.push(job);
    this.#pairSoon();
    return true;
  }

  /** Resolves when the job is taken, first come first served. Rejects with the signal's reason, or with STOPPED. */
  submit(job: T, signal?: AbortSignal): Promise<void> {
    if (this.#stopped) return Promise.reject(stopped());
    if (signal?.aborted) return Promise.reject(signal.reason);
    return this.offer(job) ? TAKEN : this.#submitters.wait(job, signal);
  }

  /** Takes back a job that has not started; its place is free at once. O(its place in line). */
  withdraw(job: T): boolean {
    if (!this.#jobs.delete(job)) return false;
    this.#roomGrew();
    this.#resolveDrained();
    return true;
  }

  /** Sets the number of workers. Integer from 0. Surplus ones leave at once if idle, else when their body has ended. */
  resize(workers: number): void {
    assertOption('workers', workers, Number.isSafeInteger(workers) && workers >= 0, 'an integer from 0');
    this.#wanted = workers;
    for (; this.#workers > workers && this.#idle.size > 0; this.#workers--) this.#idle.shift();
    for (; this.#workers < workers; this.#workers++) this.#idle.push(new Worker(this.#run, this.#next, this.#report));
    this.#roomGrew();
  }

  /** Resolves when every job that was taken has ended or was handed back. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#resolveDrained();
    });
  }

  /**
   * Starts nothing more and returns the jobs that waited, oldest first. Callers that wait for a place are rejected with
   * `reason` (default STOPPED) and keep their jobs. What runs goes on; `drain` tells when it has ended.
   */
  stop(reason: Error = stopped()): T[] {
    this.#stopped = true;
    this.#submitters.rejectAll(reason);
    const waiting = this.#jobs.takeAll();
    this.#resolveDrained();
    return waiting;
  }

  /**
   * In a microtask of its own, so that a body never runs inside `offer`: a body that offers the next job, which offers
   * the next one, does not pile up on the stack.
   */
  #pairSoon(): void {
    if (this.#pairing || this.#idle.size === 0 || this.#jobs.size === 0) return;
    this.#pairing = true;
    queueMicrotask(this.#pair);
  }

  readonly #pair = (): void => {
    this.#pairing = false;
    while (this.#jobs.size > 0 && this.#idle.size > 0) {
      const job = this.#jobs.shift() as T;
      void this.#idle.shift()?.work(job);
    }
  };

  /** The worker's body has ended: it gets the next job, leaves because it is one too many, or registers as idle. */
  readonly #next = (worker: Worker<T>): T | typeof NONE => {
    if (this.#workers > this.#wanted) {
      this.#workers--;
      this.#resolveDrained();
      return NONE;
    }
    if (this.#jobs.size > 0) {
      const job = this.#jobs.shift() as T;
      this.#roomGrew();
      return job;
    }
    this.#idle.push(worker);
    this.#roomGrew();
    this.#resolveDrained();
    return NONE;
  };

  /** Those who wait for a place come before those who only ask whether there is one. */
  #roomGrew(): void {
    while (this.room > 0) {
      const submitter = this.#submitters.take();
      if (!submitter) break;
      this.#jobs.push(submitter.item);
      submitter.resolve();
    }
    this.#pairSoon();
    if (this.#onRoom && this.room > 0) guard(this.#onRoom);
  }

  #resolveDrained(): void {
    if (this.#drained.length === 0 || this.running > 0 || this.#jobs.size > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  readonly #report = (error: unknown, job: T): void => {
    guard(() => {
      if (!this.#onError) throw error;
      this.#onError(error, job);
    });
  };
}

/** Runs one job after the other for as long as `next` has one; `next` is told who asks, and registers it otherwise. */
class Worker<T> {
  readonly #run: (job: T) => Promise<void> | void;
  readonly #next: (worker: Worker<T>) => T | typeof NONE;
  readonly #report: (error: unknown, job: T) => void;

  constructor(
    run: (job: T) => Promise<void> | void,
    next: (worker: Worker<T>) => T | typeof NONE,
    report: (error: unknown, job: T) => void,
  ) {
    this.#run = run;
    this.#next = next;
    this.#report = report;
  }

  async work(first: T): Promise<void> {
    for (let job: T | typeof NONE = first; job !== NONE; job = this.#next(this)) {
      try {
        await this.#run(job);
      } catch (error) {
        this.#report(error, job);
      }
    }
  }
}

/** A hook that throws must cost neither the worker nor the process. */
function guard(hook: () => void): void {
  try {
    hook();
  } catch (error) {
    process.emitWarning(toError(error));
  }
}

function stopped(): MillraceError {
  return new MillraceError('STOPPED', { what: 'the dispatcher' });
}
