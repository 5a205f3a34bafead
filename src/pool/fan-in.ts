/**
 * Many jobs in, one stream of results out: what stands behind `Pool.run`.
 *
 *   source ──pull──▶ held (at most `window`) ──────────────────────────────▶ reader
 *                    in the pool ─▶ settled, waits for the reader ─▶ read
 *
 * Promises: every job that was taken from the source gives exactly one result, with the job and its index. Nothing is
 * pulled before the first result is asked for. A job is pulled only while fewer than `window` are held, so a slow reader
 * slows the source down and memory stays flat. A reader that leaves stops the intake, aborts what runs, closes the source,
 * and is let go when the bodies have ended.
 *
 * The stream throws, after all results, what the source threw; or why the intake was cut short, so that a part of the
 * results is not mistaken for all of them. A source that answers after the cut gives a job that nobody takes.
 *
 * Costs: a task, a result, the reader's promise and three looks at the clock per job; no generator in between.
 */
import type { AsyncResource } from 'node:async_hooks';
import type { Clock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { isThenable } from './dispatcher.ts';
import { onAbort } from './on-abort.ts';
import type { RunOptions, SubmitOptions } from './options.ts';
import { Ring } from './ring.ts';
import { type Outcome, Task, type TaskSettings, type Times } from './task.ts';

/** How one job ended. */
export type Result<Job, T> = {
  readonly job: Job;
  /** Counts the jobs as the source gave them, from 0. */
  readonly index: number;
  /** ms from the pull to the start of the body, or to the end if it never started. */
  readonly waited: number;
  /** ms from the start of the body to the outcome; 0 if it never started. */
  readonly took: number;
} & Outcome<T>;

export type Source<Job> = Iterable<Job> | AsyncIterable<Job>;

/** The pool, as a fan-in sees it. */
export interface FanInPool {
  /** Of jobs that ask for nothing. */
  readonly settings: TaskSettings;
  /** Of one that asks for something. Throws OPTION_INVALID. */
  resolve(asked: SubmitOptions): TaskSettings;
  readonly clock: Clock;
  /** In which handlers run. Undefined where they run in threads. */
  readonly context: AsyncResource | undefined;
  /** Gives it a place, or makes it wait for one, or refuses it. */
  take(task: Task, signal: AbortSignal | undefined): void;
  /** Jobs that may be held at once. Asked before each pull. */
  window(): number;
}

interface Reader<Job, T> {
  resolve(result: IteratorResult<Result<Job, T>, void>): void;
  reject(error: unknown): void;
}

const NOTHING = {};
const DONE = { done: true, value: undefined } as const;

export class FanIn<Job, T> implements AsyncGenerator<Result<Job, T>, void, undefined> {
  readonly #pool: FanInPool;
  readonly #source: Source<Job>;
  readonly #options: RunOptions<Job>;
  /** Results that wait for the reader. */
  readonly #line: Line<Result<Job, T>>;
  /** Calls of `next` that wait for a result. */
  readonly #readers = new Ring<Reader<Job, T>>();
  /** Jobs without a result, in no order. */
  readonly #inPool: Item<Job>[] = [];
  #iterator: Iterator<Job> | AsyncIterator<Job> | undefined;
  #state: 'new' | 'open' | 'closing' | 'over' = 'new';
  #intake: 'open' | 'ended' | 'cut' = 'open';
  #cut: unknown;
  #readerLeft = false;
  /** What the next reader is told instead of the end. */
  #failure: { readonly error: unknown } | undefined;
  readonly #closed = Promise.withResolvers<void>();
  /** The source has been asked and has not answered. */
  #pulling = false;
  /** A job waits for a place in the pool, so no other one is pulled. */
  #blocked = false;
  #feeding = false;
  /** Half of the window has been given back: pull until it is full. */
  #filling = true;
  #taken = 0;
  #stopListening: (() => void) | undefined;

  constructor(source: Source<Job>, options: RunOptions<Job>, pool: FanInPool) {
    this.#source = source;
    this.#options = options;
    this.#pool = pool;
    this.#line = options.ordered ? new InOrder() : new Ring();
  }

  next(): Promise<IteratorResult<Result<Job, T>, void>> {
    if (this.#state === 'new') this.#open();
    const result = this.#line.shift();
    if (result) {
      this.#feed();
      return Promise.resolve({ done: false, value: result });
    }
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      if (this.#state === 'over') this.#tellEnd();
      else this.#feed();
    });
  }

  async return(): Promise<IteratorResult<Result<Job, T>, void>> {
    if (this.#state === 'new') this.#state = 'over';
    if (this.#state === 'over') return DONE;
    this.#readerLeft = true;
    this.#line.takeAll();
    this.#stop(new MillraceError('STOPPED', { what: 'the run' }));
    this.#closeWhenDone();
    await this.#closed.promise;
    return DONE;
  }

  async throw(error: unknown): Promise<IteratorResult<Result<Job, T>, void>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #open(): void {
    this.#state = 'open';
    const { signal } = this.#options;
    if (signal?.aborted) this.#end('cut', signal.reason);
    else if (signal) this.#stopListening = onAbort(signal, () => this.#stop(signal.reason));
    if (this.#intake === 'cut') return;
    try {
      const source = this.#source;
      this.#iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    } catch (error) {
      this.#end('cut', error);
    }
  }

  /** Takes from the source for as long as there is room. */
  #feed(): void {
    if (this.#feeding) return; // a job that is refused settles in here
    this.#feeding = true;
    // In batches, which cost a fifth less than one by one. Half a window is what the workers have.
    const window = this.#pool.window();
    if (this.#held <= window / 2) this.#filling = true;
    if (this.#held >= window) this.#filling = false;
    while (this.#filling && this.#intake === 'open' && !this.#pulling && !this.#blocked && this.#held < window) {
      this.#pulling = true;
      try {
        const answer = (this.#iterator as Iterator<Job> | AsyncIterator<Job>).next();
        // What a synchronous source gives is ours at once: an abort before a `then` would lose it.
        if (isThenable(answer)) Promise.resolve(answer).then(this.#answeredLater, this.#sourceFailed);
        else this.#answered(answer as IteratorResult<Job>);
      } catch (error) {
        this.#sourceFailed(error);
      }
    }
    this.#feeding = false;
    this.#closeWhenDone();
  }

  get #held(): number {
    return this.#inPool.length + this.#line.size;
  }

  #answered({ done, value: job }: IteratorResult<Job>): void {
    this.#pulling = false;
    if (done) {
      this.#end('ended');
      return;
    }
    const { context, settings, clock } = this.#pool;
    const { asked, error } = this.#ask(job);
    const item = new Item(asked?.settings ?? settings, context, job, this.#taken++, this.#settled);
    item.stamp(clock.monotonic());
    item.slot = this.#inPool.push(item) - 1;
    if (error) item.refuse(error.thrown);
    else this.#pool.take(item, asked?.signal);
    // Pulled while the intake was cut: it is ours, and this is its result.
    if (this.#intake === 'cut') item.cancel(this.#cut);
    // The pool closes, or nobody knows what its jobs ask for: it will not take the next one either.
    else if (item.phase === 'refused' && !asked?.signal?.aborted) this.#end('cut', item.value);
    if (item.phase !== 'blocked') return;
    this.#blocked = true;
    const goOn = () => {
      this.#blocked = false;
      this.#feed();
    };
    item.accepted.then(goOn, goOn);
  }

  #ask(job: Job): {
    readonly asked?: { readonly settings: TaskSettings; readonly signal: AbortSignal | undefined };
    readonly error?: { readonly thrown: unknown };
  } {
    const { each } = this.#options;
    if (!each) return NOTHING;
    try {
      const options = each(job);
      return { asked: { settings: this.#pool.resolve(options), signal: options.signal } };
    } catch (thrown) {
      return { error: { thrown } };
    }
  }

  readonly #answeredLater = (answer: IteratorResult<Job>): void => {
    if (this.#state === 'over') return;
    this.#answered(answer);
    this.#feed();
  };

  readonly #sourceFailed = (error: unknown): void => {
    this.#pulling = false;
    this.#iterator = undefined; // what threw is closed already
    this.#end('cut', error);
    this.#closeWhenDone();
  };

  readonly #settled = (item: Item<Job>): void => {
    const last = this.#inPool.pop() as Item<Job>;
    if (last !== item) {
      this.#inPool[item.slot] = last;
      last.slot = item.slot;
    }
    if (this.#options.failFast && item.status === 'rejected') this.#fail(item.value);
    if (!this.#readerLeft) {
      this.#line.push(resultOf<Job, T>(item), item.index);
      this.#serve();
    }
    this.#feed();
  };

  #serve(): void {
    while (this.#readers.size > 0) {
      const value = this.#line.shift();
      if (!value) return;
      this.#readers.shift()?.resolve({ done: false, value });
    }
  }

  /** The loop ends with the error, also when the source has no more jobs to cut off. */
  #fail(error: unknown): void {
    if (this.#intake === 'ended') {
      this.#intake = 'cut';
      this.#cut = error;
    }
    this.#stop(error);
  }

  /** Cuts the intake and cancels what was taken. */
  #stop(reason: unknown): void {
    this.#end('cut', reason);
    for (const item of [...this.#inPool]) item.cancel(reason);
  }

  #end(how: 'ended' | 'cut', why?: unknown): void {
    if (this.#intake !== 'open') return;
    this.#intake = how;
    if (how === 'ended') this.#iterator = undefined;
    this.#cut = why;
  }

  /** When the intake is closed and every result was read: closes the source, and ends the stream. */
  #closeWhenDone(): void {
    if (this.#state !== 'open' || this.#intake === 'open' || this.#held > 0 || this.#feeding) return;
    this.#state = 'closing';
    this.#stopListening?.();
    const cut = this.#intake === 'cut' && !this.#readerLeft ? { error: this.#cut } : undefined;
    // What cut the intake says more than what became of the source.
    this.#closeSource().then(
      () => this.#over(cut),
      (error) => this.#over(cut ?? { error }),
    );
  }

  #over(failure: { readonly error: unknown } | undefined): void {
    this.#state = 'over';
    if (this.#readerLeft && failure) this.#closed.reject(failure.error);
    else this.#closed.resolve();
    this.#failure = this.#readerLeft ? undefined : failure;
    this.#tellEnd();
  }

  /** The first reader hears why the stream ended. */
  #tellEnd(): void {
    for (let reader = this.#readers.shift(); reader; reader = this.#readers.shift()) {
      if (this.#failure) reader.reject(this.#failure.error);
      else reader.resolve(DONE);
      this.#failure = undefined;
    }
  }

  /** A source that has not answered yet is told, but not waited for: it may never answer. */
  async #closeSource(): Promise<void> {
    const closing = Promise.resolve(this.#iterator?.return?.());
    if (this.#pulling) closing.catch(() => undefined);
    else await closing;
  }
}

class Item<Job> extends Task {
  readonly job: Job;
  readonly index: number;
  /** Where the run keeps it. */
  slot = 0;
  readonly #settled: (item: Item<Job>) => void;

  constructor(
    settings: TaskSettings,
    context: AsyncResource | undefined,
    job: Job,
    index: number,
    settled: (item: Item<Job>) => void,
  ) {
    super(settings, job, context);
    this.job = job;
    this.index = index;
    this.#settled = settled;
  }

  protected override hasSettled(): void {
    this.#settled(this);
  }
}

function resultOf<Job, T>({ job, index, status, value, times }: Item<Job>): Result<Job, T> {
  const { submitted, started, settled } = times as Times;
  const waited = (started ?? settled) - submitted;
  const took = started === undefined ? 0 : settled - started;
  return status === 'fulfilled'
    ? { job, index, status, value: value as T, waited, took }
    : { job, index, status: status as 'rejected' | 'cancelled', error: value, waited, took };
}

/** Where results wait for the reader: a Ring gives them as they ended. */
interface Line<R> {
  readonly size: number;
  push(result: R, index: number): void;
  shift(): R | undefined;
  takeAll(): unknown;
}

/** Gives them in the order of their jobs. */
class InOrder<R> implements Line<R> {
  readonly #results = new Map<number, R>();
  #next = 0;

  get size(): number {
    return this.#results.size;
  }

  push(result: R, index: number): void {
    this.#results.set(index, result);
  }

  shift(): R | undefined {
    const result = this.#results.get(this.#next);
    if (result && this.#results.delete(this.#next)) this.#next++;
    return result;
  }

  takeAll(): void {
    this.#results.clear();
  }
}
