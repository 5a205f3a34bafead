/**
 * Waiting for jobs to end, for all waiters of a client at once.
 *
 *   wait ─▶ fresh ─┐            ┌─▶ ended, or gone: its waiters are told
 *   news ─▶ all ───┼─▶ look ────┤
 *   poll ─▶ all ───┘            └─▶ goes on waiting
 *
 * One subscription to the backend's news and one timer, and neither while nobody waits. A look asks for many ids at a
 * time and never overlaps another; while there is news without end it pauses as long as it took, so watching takes at most
 * half of one caller's share of the backend.
 *
 * Promises: each waiter is settled exactly once; it sees every job that has ended and is kept, whichever process ran it;
 * a lost wake-up costs `poll` ms. A backend that is away is waited for.
 */
import type { Backend } from '../backend/backend.ts';
import type { JobRecord } from '../backend/records.ts';
import { type EndedState, endedStates } from '../backend/settings.ts';
import type { Clock, Timer } from '../clock.ts';
import { isError, MillraceError } from '../errors.ts';

export interface ResultsOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  /** Ms between looks when nothing wakes them. */
  readonly poll: number;
}

export interface WaitOptions {
  /** Stops waiting: the call rejects with its reason. The job is not touched. */
  readonly signal?: AbortSignal | undefined;
  /** Rejects with RESULT_TIMEOUT after this many ms. Minimum 0. Default: waits for ever. */
  readonly timeout?: number | undefined;
}

interface Waiter {
  resolve(record: JobRecord | undefined): void;
  reject(error: unknown): void;
}

/** Ids in one question. Each record brings its payload, so a page must not be long. */
const PAGE = 100;

export class Results {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #poll: number;
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** Waited for since the last look. */
  #fresh = new Set<string>();
  /** News came since the last look at all. */
  #news = false;
  #looking = false;
  #scheduled = false;
  #closed = false;
  #pause: Timer | undefined;
  #watch: { stop(): void } | undefined;

  constructor({ backend, clock, poll }: ResultsOptions) {
    this.#backend = backend;
    this.#clock = clock;
    this.#poll = poll;
  }

  /** The record of the job once it has ended; undefined when it is not known, or not any more. */
  wait(id: string, { signal, timeout }: WaitOptions = {}): Promise<JobRecord | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(stopped());
      if (signal?.aborted) return reject(signal.reason);
      let timer: Timer | undefined;
      const settle = (end: () => void) => {
        timer?.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#remove(id, waiter);
        end();
      };
      const waiter: Waiter = {
        resolve: (record) => settle(() => resolve(record)),
        reject: (error) => settle(() => reject(error)),
      };
      const onAbort = () => waiter.reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (timeout !== undefined) {
        const late = () => waiter.reject(new MillraceError('RESULT_TIMEOUT', { id, timeout }));
        timer = this.#clock.timer(timeout, late);
      }
      try {
        this.#add(id, waiter);
      } catch (error) {
        waiter.reject(error); // the backend is closed: there is nobody to listen to
      }
    });
  }

  /** Every waiter is rejected with STOPPED, now and from now on. */
  close(): void {
    this.#closed = true;
    this.#rejectAll(stopped());
  }

  #add(id: string, waiter: Waiter): void {
    const others = this.#waiters.get(id);
    if (others) others.add(waiter);
    else this.#waiters.set(id, new Set([waiter]));
    this.#fresh.add(id);
    this.#watch ??= this.#startWatch();
    this.#schedule();
  }

  /** News and the poll, while anybody waits. */
  #startWatch(): { stop(): void } {
    const lookAtAll = () => {
      this.#news = true;
      this.#schedule();
    };
    const stopListening = this.#backend.listen({ news: true }, lookAtAll);
    const poll = () => {
      timer = this.#clock.timer(this.#poll, poll);
      lookAtAll();
    };
    let timer = this.#clock.timer(this.#poll, poll);
    return {
      stop() {
        timer.cancel();
        stopListening();
      },
    };
  }

  #remove(id: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(id);
    waiters?.delete(waiter);
    if (waiters?.size !== 0) return;
    this.#waiters.delete(id);
    if (this.#waiters.size > 0) return;
    this.#watch?.stop();
    this.#watch = undefined;
    this.#fresh.clear();
    this.#news = false;
    if (!this.#pause) return;
    this.#pause.cancel();
    this.#pause = undefined;
    this.#looking = false;
  }

  /** A look in the next turn, so that all who begin to wait in this one are asked for together. */
  #schedule(): void {
    if (this.#scheduled || this.#looking) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#waiters.size > 0) void this.#look();
    });
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const startedAt = this.#clock.monotonic();
    const ids = [...(this.#news ? this.#waiters.keys() : this.#fresh)];
    this.#news = false;
    this.#fresh = new Set();
    try {
      for (let i = 0; i < ids.length; i += PAGE) await this.#ask(ids.slice(i, i + PAGE));
    } catch (error) {
      // What is away may come back; anything else will not get better by asking again.
      if (!isError(error, 'BACKEND_UNAVAILABLE')) this.#rejectAll(error);
    }
    const took = this.#clock.monotonic() - startedAt;
    const goOn = () => {
      this.#pause = undefined;
      this.#looking = false;
      if (this.#news || this.#fresh.size > 0) this.#schedule();
    };
    if (took < 1 || !this.#news) goOn();
    else this.#pause = this.#clock.timer(took, goOn);
  }

  async #ask(ids: readonly string[]): Promise<void> {
    // Those who begin to wait while the answer is on its way may know something newer.
    const unanswered = new Map(ids.map((id) => [id, [...(this.#waiters.get(id) ?? [])]]));
    const tell = (id: string, record: JobRecord | undefined) => {
      for (const waiter of unanswered.get(id) ?? []) waiter.resolve(record);
    };
    let after: string | undefined;
    do {
      const page = await this.#backend.list({ ids }, { limit: PAGE, ...(after !== undefined && { after }) });
      for (const record of page.jobs) {
        if (endedStates.includes(record.state as EndedState)) tell(record.id, record);
        unanswered.delete(record.id);
      }
      after = page.next;
    } while (after !== undefined);
    for (const id of unanswered.keys()) tell(id, undefined);
  }

  #rejectAll(error: unknown): void {
    for (const waiters of [...this.#waiters.values()]) for (const waiter of [...waiters]) waiter.reject(error);
  }
}

function stopped(): MillraceError<'STOPPED'> {
  return new MillraceError('STOPPED', { what: 'the client' });
}
