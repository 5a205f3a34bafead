/**
 * Many jobs in, one stream of results out: what stands behind `Pool.run`.
 *
 *   source ──pull──▶ held (at most `window`) ──────────────────────────────▶ reader
 *                    in the pool ─▶ ended, waits for the reader ─▶ yielded
 *
 * Promises: every job that was taken from the source gives exactly one result, with the job and its index. A job is
 * pulled only while fewer than `window` are held, so a slow reader slows the source down and memory stays flat. A reader
 * that leaves stops the intake, aborts what runs, closes the source, and is let go when the bodies have ended.
 *
 * The stream throws, after all results, what the source threw; or why the intake was cut short, so that a part of the
 * results is not mistaken for all of them.
 */
import { MillraceError } from '../errors.ts';
import { onAbort } from './on-abort.ts';
import { Ring } from './ring.ts';
import type { Outcome } from './task.ts';

/** How one job ended. `index` counts the jobs as the source gave them, from 0. */
export type Result<Job, T> = { readonly job: Job; readonly index: number } & Outcome<T>;

export type Source<Job> = Iterable<Job> | AsyncIterable<Job>;

export interface FanInOptions<Job, T> {
  readonly source: Source<Job>;
  /** Starts one job: resolves when the pool has taken it; `settled` is called once, later, whatever happens. */
  readonly begin: (job: Job, signal: AbortSignal, settled: (outcome: Outcome<T>) => void) => Promise<void>;
  /** Jobs that may be held at once. Asked before each pull. */
  readonly window: () => number;
  readonly ordered: boolean;
  readonly signal: AbortSignal | undefined;
}

export class FanIn<Job, T> {
  readonly #options: FanInOptions<Job, T>;
  readonly #cancel = new AbortController();
  readonly #line: Line<Result<Job, T>>;
  #iterator: Iterator<Job> | AsyncIterator<Job> | undefined;
  #intake: 'open' | 'ended' | 'cut' = 'open';
  #cut: unknown;
  /** The source has been asked and has not answered. */
  #pulling = false;
  #taken = 0;
  #inPool = 0;
  readonly #changed = new Bell();

  constructor(options: FanInOptions<Job, T>) {
    this.#options = options;
    this.#line = options.ordered ? new InOrder() : new AsEnded();
  }

  async *results(): AsyncGenerator<Result<Job, T>, void, undefined> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const stopListening = signal && onAbort(signal, () => this.#stop(signal.reason));
    try {
      void this.#feed();
      for (;;) {
        const result = this.#line.take();
        if (result) {
          this.#changed.ring(); // one fewer is held
          yield result;
        } else if (this.#intake !== 'open' && this.#inPool === 0) break;
        else await this.#changed.next();
      }
      if (this.#intake === 'cut') throw this.#cut;
    } finally {
      stopListening?.();
      this.#stop(new MillraceError('STOPPED', { what: 'the run' }));
      while (this.#inPool > 0) await this.#changed.next();
      await this.#closeSource();
    }
  }

  /** Takes from the source for as long as there is room. Ends the intake by itself, or when it was cut. */
  async #feed(): Promise<void> {
    const { source, begin, window } = this.#options;
    try {
      const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
      this.#iterator = iterator;
      while (this.#intake === 'open') {
        if (this.#inPool + this.#line.size >= window()) {
          await this.#changed.next();
          continue;
        }
        this.#pulling = true;
        const answer = iterator.next();
        // What a synchronous source gives is ours at once: an abort during an `await` here would lose it.
        const { done, value: job } = 'done' in answer ? answer : await answer;
        this.#pulling = false;
        if (done) return this.#end('ended');
        // If the intake was cut while we waited, `begin` refuses, and that is this job's result.
        const index = this.#taken++;
        this.#inPool++;
        await begin(job, this.#cancel.signal, (outcome) => {
          this.#inPool--;
          this.#line.put({ job, index, ...outcome }, index);
          this.#changed.ring();
        });
      }
    } catch (error) {
      // The source threw, or the pool takes no more.
      if (this.#pulling) this.#iterator = undefined; // what threw is closed already
      this.#pulling = false;
      this.#end('cut', error);
    }
  }

  #stop(reason: unknown): void {
    this.#end('cut', reason);
    this.#cancel.abort(reason);
  }

  #end(how: 'ended' | 'cut', why?: unknown): void {
    if (this.#intake !== 'open') return;
    this.#intake = how;
    if (how === 'ended') this.#iterator = undefined;
    this.#cut = why;
    this.#changed.ring();
  }

  /** A source that has not answered yet is told, but not waited for: it may never answer. */
  async #closeSource(): Promise<void> {
    const closing = Promise.resolve(this.#iterator?.return?.());
    if (this.#pulling) closing.catch(() => undefined);
    else await closing;
  }
}

/** Where results wait for the reader. */
interface Line<R> {
  readonly size: number;
  put(result: R, index: number): void;
  take(): R | undefined;
}

class AsEnded<R> implements Line<R> {
  readonly #results = new Ring<R>();

  get size(): number {
    return this.#results.size;
  }

  put(result: R): void {
    this.#results.push(result);
  }

  take(): R | undefined {
    return this.#results.shift();
  }
}

class InOrder<R> implements Line<R> {
  readonly #results = new Map<number, R>();
  #next = 0;

  get size(): number {
    return this.#results.size;
  }

  put(result: R, index: number): void {
    this.#results.set(index, result);
  }

  take(): R | undefined {
    const result = this.#results.get(this.#next);
    if (result && this.#results.delete(this.#next)) this.#next++;
    return result;
  }
}

/** Wakes everybody who waits for a change; they look again for themselves. */
class Bell {
  #rung = Promise.withResolvers<void>();
  #awaited = false;

  next(): Promise<void> {
    this.#awaited = true;
    return this.#rung.promise;
  }

  ring(): void {
    if (!this.#awaited) return;
    this.#awaited = false;
    this.#rung.resolve();
    this.#rung = Promise.withResolvers();
  }
}
