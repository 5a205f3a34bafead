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
 *                     │  second tier: idle workers, the last that worked first       │
 *                     └───────── no job waits ◀──────────────────────────────────────┤
 *                          a job waits: the same worker takes it at once ◀───────────┘
 *
 * Promises: bodies start in the order in which the line gives their jobs (that of a plain `Ring`: first in, first out),
 * never more at once than there are workers, and never inside the call that brought the job. A job stays in the first
 * tier until a worker is there for it, so the bound holds, `stop` hands back every job that has not started, and a worker
 * that leaves takes no job with it. A body that throws costs no worker.
 *
 * Costs per job: one place in the line while it waits and one `then` while it runs; no promise, closure or task per
 * waiting job, only a call of `submit` that has to wait for a place makes a promise. Workers go on in a loop and not by
 * recursion, so a million bodies that end at once need no stack.
 */
import { assertOption, MillraceError, toError } from '../errors.ts';
import { Ring } from './ring.ts';
import { Waiters } from './waiters.ts';

/** The first tier: where jobs wait, and which of them is next. */
export interface Line<T> {
  readonly size: number;
  push(job: T): void;
  /** Takes out the job that starts next. Undefined: none may now, or it needs more than `free` workers. */
  shift(free: number): T | undefined;
  /** Takes out a job, wherever it stands. */
  delete(job: T): boolean;
  /** Takes out everything, in order. */
  takeAll(): T[];
}

export interface DispatcherOptions<T> {
  /** Bodies that run at once. Integer from 0; with 0 nothing starts until `resize`. */
  readonly workers: number;
  /** Jobs that may wait while all workers are busy. Integer from 0; with 0 a job needs an idle worker. */
  readonly queue: number;
  /**
   * The body. A promise that it returns is waited for; with `LATER` its end is what `worker.ended` or `worker.failed` is
   * told. Trap: it starts when some other body ends, in the AsyncLocalStorage context of that one, so bind it
   * (`AsyncResource.bind`) if it should see its own.
   */
  readonly run: (job: T, worker: Worker<T>) => unknown;
  /** Called with what a body returned, before its worker goes on. Must not throw. */
  readonly onEnd?: (job: T, value: unknown) => void;
  /** Receives what a body threw. Default: a process warning. */
  readonly onError?: (error: unknown, job: T) => void;
  /** Called when a body has ended, or more workers came, and `room` is not 0. Must not throw. */
  readonly onRoom?: () => void;
  /** Where jobs wait. Default: a `Ring`, first in first out. */
  readonly line?: Line<T>;
  /** How many workers a job takes. Integer from 1. One that takes more than there are runs alone. Default 1. */
  readonly weigh?: (job: T) => number;
}

/** What `run` returns when the end of its body is reported to the worker. */
export const LATER = Symbol('reported later');

const TAKEN = Promise.resolve();

export class Dispatcher<T> {
  readonly #queue: number;
  readonly #line: Line<T>;
  readonly #idle: Worker<T>[] = [];
  /** All that exist, idle ones too. */
  readonly #staff = new Set<Worker<T>>();
  readonly #submitters = new Waiters<T, void>();
  readonly #run: (job: T, worker: Worker<T>) => unknown;
  readonly #onEnd: ((job: T, value: unknown) => void) | undefined;
  readonly #onError: ((error: unknown, job: T) => void) | undefined;
  readonly #onRoom: (() => void) | undefined;
  readonly #weigh: ((job: T) => number) | undefined;
  #workers = 0;
  /** Workers that the running bodies take. More than there should be while some that are to leave still run. */
  #taken = 0;
  #pairing = false;
  #stopped = false;
  #drained: (() => void)[] = [];

  constructor(options: DispatcherOptions<T>) {
    const { workers, queue, run, onEnd, onError, onRoom, line = new Ring<T>(), weigh } = options;
    assertOption('queue', queue, Number.isSafeInteger(queue) && queue >= 0, 'an integer from 0');
    assertOption('run', run, typeof run === 'function', 'a function');
    assertWorkers(workers);
    this.#workers = workers;
    this.#queue = queue;
    this.#line = line;
    this.#run = run;
    this.#onEnd = onEnd;
    this.#onError = onError;
    this.#onRoom = onRoom;
    this.#weigh = weigh;
  }

  /** Jobs that `offer` would take now: one for each idle worker, and one for each free place. */
  get room(): number {
    return this.#stopped ? 0 : Math.max(0, this.#queue + this.idle - this.#line.size);
  }

  /** Workers with a job. */
  get running(): number {
    return this.#taken;
  }

  /** Jobs taken and not started. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Calls of `submit` that wait for a place. */
  get blocked(): number {
    return this.#submitters.size;
  }

  /** Workers without a job. */
  get idle(): number {
    return Math.max(0, this.#workers - this.#taken);
  }

  /** Jobs whose bodies run, in no order. */
  *jobs(): Iterable<T> {
    for (const { job, released } of this.#staff) if (job !== undefined && !released) yield job;
  }

  /** Takes the job if there is room. False when it is full or stopped: the job is still the caller's. */
  offer(job: T): boolean {
    if (this.room === 0) return false;
    this.#line.push(job);
    this.#pairSoon();
    return true;
  }

  /** Resolves when the job is taken, first come first served. Rejects with the signal's reason, or with STOPPED. */
  submit(job: T, signal?: AbortSignal): Promise<void> {
    if (this.#stopped) return Promise.reject(stopped());
    if (signal?.aborted) return Promise.reject(signal.reason);
    return this.offer(job) ? TAKEN : this.#submitters.wait(job, signal);
  }

  /** Takes back a job that has not started; its place is free at once. Costs what the line's `delete` costs. */
  withdraw(job: T): boolean {
    if (!this.#line.delete(job)) return false;
    this.#roomGrew();
    this.#pairSoon();
    this.#resolveDrained();
    return true;
  }

  /** Sets the number of workers. Integer from 0. Surplus ones leave at once if idle, else when their body has ended. */
  resize(workers: number): void {
    assertWorkers(workers);
    this.#workers = workers;
    for (const worker of this.#idle.splice(workers)) this.#staff.delete(worker);
    this.#roomGrew();
    this.#pairSoon();
  }

  /**
   * Gives back the workers of a job whose body runs on: the next job may start. Its end is reported all the same.
   * O(workers).
   */
  release(job: T): void {
    const worker = [...this.#staff].find((busy) => busy.job === job && !busy.released);
    if (!worker) return;
    worker.released = true;
    this.#taken -= worker.weight;
    this.#roomGrew();
    this.#pairSoon();
    this.#resolveDrained();
  }

  /** The line may give a job that it held back. */
  retry(): void {
    this.#pairSoon();
  }

  /** Resolves when every job that was taken has ended or was handed back. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#resolveDrained();
    });
  }

  /**
   * Starts nothing more and returns the jobs that waited, in order. Callers that wait for a place are rejected with
   * `reason` (default STOPPED) and keep their jobs. What runs goes on; `drain` tells when it has ended.
   */
  stop(reason: Error = stopped()): T[] {
    this.#stopped = true;
    this.#submitters.rejectAll(reason);
    const waiting = this.#line.takeAll();
    this.#resolveDrained();
    return waiting;
  }

  /**
   * In a microtask of its own, so that a body never runs inside `offer`: a body that offers the next job, which offers
   * the next one, does not pile up on the stack.
   */
  #pairSoon(): void {
    if (this.#pairing || this.#line.size === 0 || this.#taken >= this.#workers) return;
    this.#pairing = true;
    void TAKEN.then(this.#pair); // `queueMicrotask` takes a run a seventh longer per job
  }

  readonly #pair = (): void => {
    this.#pairing = false;
    for (let job = this.#next(); job !== undefined; job = this.#next()) {
      this.#work(this.#idle.pop() ?? this.#hire(), job);
    }
    // Bodies that ended at once have made room. Not `pairSoon`: what the line holds back now it holds back then.
    this.#roomGrew();
    this.#resolveDrained();
  };

  #next(): T | undefined {
    const free = this.#workers - this.#taken;
    if (free <= 0 || this.#line.size === 0) return undefined;
    return this.#line.shift(this.#taken === 0 ? Number.POSITIVE_INFINITY : free);
  }

  /** Runs one job after the other for as long as they end at once. */
  #work(worker: Worker<T>, first: T): void {
    for (let job: T | undefined = first; job !== undefined; job = this.#next()) {
      worker.job = job;
      worker.weight = this.#weigh ? this.#weigh(job) : 1;
      this.#taken += worker.weight;
      try {
        const value = this.#run(job, worker);
        if (value === LATER) return;
        if (value instanceof Promise || isThenable(value)) {
          // Not `value.then`: that of a stranger may call back twice, at once, or never.
          Promise.resolve(value).then(worker.ended, worker.failed);
          return;
        }
        this.#onEnd?.(job, value);
      } catch (error) {
        this.#report(error, job);
      }
      worker.job = undefined;
      this.#taken -= worker.weight;
    }
    this.#rest(worker);
  }

  readonly #ended = (worker: Worker<T>, value: unknown): void => {
    this.#onEnd?.(worker.job as T, value);
    this.#goOn(worker);
  };

  readonly #failed = (worker: Worker<T>, error: unknown): void => {
    this.#report(error, worker.job as T);
    this.#goOn(worker);
  };

  /** The worker's body has ended: it gets the next job, or registers as idle, or leaves because it is one too many. */
  #goOn(worker: Worker<T>): void {
    worker.job = undefined;
    if (worker.released) {
      this.#staff.delete(worker);
      this.#pairSoon(); // its end may have freed a job that the line held back
      return;
    }
    this.#taken -= worker.weight;
    const job = this.#next();
    if (job !== undefined) this.#work(worker, job);
    else this.#rest(worker);
    this.#roomGrew();
    this.#pairSoon();
    this.#resolveDrained();
  }

  #rest(worker: Worker<T>): void {
    if (this.#idle.length < this.#workers) this.#idle.push(worker);
    else this.#staff.delete(worker);
  }

  #hire(): Worker<T> {
    const worker = new Worker<T>(this.#ended, this.#failed);
    this.#staff.add(worker);
    return worker;
  }

  /** Those who wait for a place come before those who only ask whether there is one. */
  #roomGrew(): void {
    while (this.#submitters.size > 0 && this.room > 0) {
      const submitter = this.#submitters.take();
      if (!submitter) break;
      this.#line.push(submitter.item);
      submitter.resolve();
      this.#pairSoon();
    }
    if (!this.#onRoom || this.room === 0) return;
    try {
      this.#onRoom();
    } catch (error) {
      process.emitWarning(toError(error));
    }
  }

  #resolveDrained(): void {
    if (this.#drained.length === 0 || this.#taken > 0 || this.#line.size > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  /** A hook that throws must cost neither the worker nor the process. */
  #report(error: unknown, job: T): void {
    try {
      if (!this.#onError) throw error;
      this.#onError(error, job);
    } catch (thrown) {
      process.emitWarning(toError(thrown));
    }
  }
}

/** Has one job at a time; its two callbacks are made once and serve all of them. */
export class Worker<T> {
  job: T | undefined;
  weight = 1;
  /** Its workers were given back while the body runs on. */
  released = false;
  readonly ended: (value: unknown) => void;
  readonly failed: (error: unknown) => void;

  constructor(ended: (worker: Worker<T>, value: unknown) => void, failed: (worker: Worker<T>, error: unknown) => void) {
    this.ended = (value) => ended(this, value);
    this.failed = (error) => failed(this, error);
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}

function assertWorkers(workers: number): void {
  assertOption('workers', workers, Number.isSafeInteger(workers) && workers >= 0, 'an integer from 0');
}

function stopped(): MillraceError {
  return new MillraceError('STOPPED', { what: 'the dispatcher' });
}
