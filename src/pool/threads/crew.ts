/**
 * Threads that run the jobs of one module: who gets which job, when it is taken back, and how it is stopped.
 *
 *   start ─▶ unassigned ─▶ least busy thread ─▶ [running │ window of prefetched jobs] ─▶ ended · failed
 *              ▲                                    │
 *              └──────────── taken back ────────────┘   abort · a thread without jobs · a long body in front · a death
 *
 * Promises: never more bodies at once than `threads` × `concurrency`. `ended` or `failed` is called once per `start`, never
 * inside it; only an `abort` that took the job back spares both. Whether a body was started is known exactly, from shared
 * memory, also after its thread has died: started jobs then fail with THREAD_DIED, the others go to another thread.
 *
 * Order: jobs are handed out in the order of `start`. Within a thread they begin in that order; between threads one may
 * begin before an older one that lies in the window of another thread, for as long as that one is not idle and its running
 * body is younger than 10 ms.
 *
 * A job that was arriving when its thread died without having started any is suspect: it goes to an empty thread, alone. If
 * that dies too, the job fails, so that a payload that kills its reader does not take one thread after the other.
 *
 * Costs: about a microsecond of the main thread per small job; one timer for all aborts, one for all idle threads, one
 * while jobs are prefetched. Idle threads do not keep the process alive.
 */
import type { Clock } from '../../clock.ts';
import { MillraceError } from '../../errors.ts';
import { Balance } from './balance.ts';
import { Grace } from './grace.ts';
import { type CrewJob, IN_LINE, NO_SEAT } from './job.ts';
import { assertThreads, type Settings, type ThreadOptions, toSettings } from './options.ts';
import type { Placed } from './places.ts';
import { Prefetch } from './prefetch.ts';
import { Roster } from './roster.ts';
import type { CrewStats } from './stats.ts';
import type { Remains, Thread } from './thread.ts';
import { Unassigned } from './unassigned.ts';

export type { CrewJob } from './job.ts';
export type { ThreadOptions } from './options.ts';
export type { CrewStats } from './stats.ts';

export interface CrewOptions {
  /** Its default export is the body. */
  readonly module: URL;
  /** Most threads. Integer from 1. */
  readonly threads: number;
  readonly options: ThreadOptions;
  readonly clock: Clock;
  /** Called with the new `capacity` whenever it changes, never inside the constructor. */
  readonly onCapacity: (jobs: number) => void;
}

export class Crew {
  readonly #settings: Settings;
  readonly #clock: Clock;
  readonly #onCapacity: (jobs: number) => void;
  readonly #prefetch: Prefetch;
  readonly #roster: Roster;
  readonly #unassigned = new Unassigned();
  readonly #suspects = new Set<CrewJob>();
  readonly #size: number;
  readonly #dirty = new Set<Thread>();
  readonly #grace: Grace;
  readonly #balance: Balance;
  #flushing = false;
  #bursts = 0;
  #order = 0;
  #end: Error | undefined;
  #closing: Promise<void> | undefined;
  readonly #counts = { recycled: 0, terminated: 0, moved: 0 };

  constructor({ module, threads, options, clock, onCapacity }: CrewOptions) {
    assertThreads(threads);
    this.#settings = toSettings(options, threads);
    this.#clock = clock;
    this.#onCapacity = onCapacity;
    this.#prefetch = new Prefetch(this.#settings.window);
    // Twice what a thread may hold: slots that were taken back stay used until the thread has passed them.
    this.#size = 2 ** Math.ceil(Math.log2(2 * (this.#settings.concurrency + this.#prefetch.most)));
    this.#grace = new Grace(clock, this.#settings.abortGrace, (thread) => this.#endGrace(thread));
    const host = {
      needed: () => this.#needed(),
      activated: () => this.#activated(),
      returned: (placed: readonly Placed[]) => this.#returned(placed),
      broken: (error: Error) => this.#broken(error),
      burstBegins: () => this.#bursts++,
      burstEnds: (thread: Thread) => this.#burstEnds(thread),
      gone: (_thread: Thread, remains: Remains) => this.#gone(remains),
    };
    this.#roster = new Roster(host, { module, threads, settings: this.#settings, clock, size: this.#size });
    this.#balance = new Balance({
      clock,
      roster: this.#roster,
      prefetch: this.#prefetch,
      concurrency: this.#settings.concurrency,
      noneUnassigned: () => this.#unassigned.size === 0,
      taken: (thread, placed) => {
        this.#returned(placed);
        this.#settled(thread);
      },
    });
    this.#roster.grow();
  }

  /** Jobs it may hold at once now. */
  get capacity(): number {
    return this.#roster.max * this.#limit;
  }

  /** Bodies that run now. O(slots of all threads). */
  get started(): number {
    return this.#roster.all().reduce((sum, thread) => sum + thread.places.running, 0);
  }

  /** Takes a job. Only while fewer than `capacity` are held. */
  start(job: CrewJob): void {
    if (this.#end) {
      this.#failAll([job]);
      return;
    }
    const thread = this.#unassigned.size === 0 ? this.#pick(job) : undefined;
    if (thread) this.#give(thread, job, this.#order++);
    else {
      this.#unassigned.push(job, this.#order++);
      this.#fill();
    }
    if (!this.#roster.isComplete) this.#roster.grow();
    this.#flushSoon();
  }

  /** When its body began, ms of `clock.monotonic()`; undefined while it only waits, and when the crew does not hold it. */
  startedAt(job: CrewJob): number | undefined {
    const at = job.seat < 0 ? undefined : this.#threadOf(job)?.places.startedAt(job.seat % this.#size);
    return at === undefined ? undefined : this.#clock.monotonic() - (performance.now() - at);
  }

  /**
   * Before its body began: takes the job back, true, and neither `ended` nor `failed` is called. After: tells the body to
   * stop, with `reason`, and ends its thread if it has not stopped after `abortGrace`; false, `ended` or `failed` follows.
   */
  abort(job: CrewJob, reason: unknown): boolean {
    const { seat } = job;
    if (seat === NO_SEAT) return false;
    this.#suspects.delete(job);
    if (seat === IN_LINE) {
      this.#unassigned.delete(job);
      return true;
    }
    const slot = seat % this.#size;
    const thread = this.#threadOf(job) as Thread;
    if (thread.revoke(slot)) {
      this.#settled(thread);
      return true;
    }
    if (thread.stop(slot, reason)) {
      this.#grace.begin(thread, slot);
      if (this.#settings.abortGrace !== Number.POSITIVE_INFINITY) this.#roster.keepSpare();
    }
    return false;
  }

  /** Changes the number of threads. Those too many finish what they have started. */
  resize(threads: number): void {
    this.#roster.resize(threads);
    this.#onCapacity(this.capacity);
  }

  /** Starts threads, all at once, until there are so many. Default all. Rejects when threads do not start. */
  warm(threads?: number): Promise<void> {
    return this.#end ? Promise.reject(this.#end) : this.#roster.warm(threads);
  }

  stats(): CrewStats {
    const threads = this.#roster.all();
    const { started } = this;
    return {
      threads: this.#roster.active.length,
      starting: this.#roster.starting,
      benched: this.#roster.benched,
      leaving: this.#roster.out.size,
      started,
      prefetched: Math.max(0, threads.reduce((sum, { held }) => sum + held, 0) - started),
      waiting: this.#unassigned.size,
      window: this.#prefetch.window,
      runTime: this.#prefetch.mean,
      ...this.#roster.counts,
      ...this.#counts,
    };
  }

  /** Ends all threads. Jobs that are still held fail with STOPPED: those not started at once, the others when it is over. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // What the roster tells and asks.

  #needed(): number {
    let held = this.#unassigned.size;
    for (const thread of this.#roster.active) held += thread.held;
    return Math.ceil(held / this.#settings.concurrency);
  }

  #activated(): void {
    this.#fill();
    this.#balance.soon();
    this.#flushSoon();
  }

  #returned(placed: readonly Placed[]): void {
    if (this.#end) {
      this.#failAll(placed.map(({ job }) => job));
      return;
    }
    this.#unassigned.putBack(placed);
    this.#counts.moved += placed.length;
    this.#fill();
    this.#flushSoon();
  }

  #broken(error: Error): void {
    this.#end ??= error;
    this.#cancelAlarms();
    this.#failAll(this.#unassigned.takeAll());
  }

  #burstEnds(thread: Thread): void {
    const { runTime, bodies } = thread.takePace();
    if (thread.state === 'ready') {
      thread.most = Number.POSITIVE_INFINITY;
      thread.seenAt = this.#clock.monotonic();
    }
    if (bodies > 0) this.#roster.succeeded();
    for (const job of this.#suspects) if (job.seat === NO_SEAT) this.#suspects.delete(job);
    if (this.#prefetch.note(runTime / this.#settings.concurrency, bodies)) this.#onCapacity(this.capacity);
    if (thread.heap > this.#settings.maxHeap && thread.state === 'ready') {
      this.#counts.recycled++;
      this.#roster.leave(thread);
    }
    this.#settled(thread);
    this.#bursts--;
    this.#fill();
    if (thread.held === 0 && thread.state === 'ready') {
      this.#balance.soon();
    }
    this.#flush();
  }

  #gone({ unstarted, started, wanted, error }: Remains): void {
    const failures = started.map((one) => (this.#end && one.error === error ? { ...one, error: this.#end } : one));
    const again: Placed[] = [];
    for (const placed of unstarted) {
      const isGuilty = !wanted && started.length === 0 && this.#suspects.has(placed.job);
      if (this.#end || isGuilty) failures.push({ job: placed.job, error: this.#end ?? error });
      else again.push(placed);
      if (!wanted && started.length === 0) this.#suspects.add(placed.job);
    }
    if (again.length > 0) this.#returned(again);
    for (const { job, error } of failures) {
      this.#suspects.delete(job);
      job.failed(error);
    }
  }

  // Handing out.

  get #limit(): number {
    return this.#settings.concurrency + this.#prefetch.window;
  }

  #threadOf(job: CrewJob): Thread | undefined {
    return this.#roster.at(Math.floor(job.seat / this.#size));
  }

  /** The least busy thread that may take the job; of equals the first, so that the others become idle and can be ended. */
  #pick(job: CrewJob): Thread | undefined {
    let limit = this.#limit;
    // Buffers that have moved into a thread cannot be taken back: such a job goes where it starts at once.
    if (job.transfer !== undefined) limit = this.#settings.concurrency;
    if (this.#suspects.size > 0 && this.#suspects.has(job)) limit = 1;
    let best: Thread | undefined;
    for (const thread of this.#roster.active) {
      const { held } = thread;
      if (held >= limit || held >= thread.most || !thread.places.hasFree) continue;
      if (best === undefined || held < best.held) best = thread;
      if (held === 0) break;
    }
    return best;
  }

  #give(thread: Thread, job: CrewJob, order: number): void {
    if (thread.held === 0) thread.seenAt = this.#clock.monotonic();
    thread.give(job, order);
    this.#dirty.add(thread);
    if (this.#suspects.size > 0 && this.#suspects.has(job)) thread.most = 0;
    if (thread.held > this.#settings.concurrency) this.#balance.watch();
    if (thread.ended + thread.held >= this.#settings.maxTasks) {
      this.#counts.recycled++;
      this.#roster.leave(thread, true);
    }
  }

  #fill(): void {
    for (let first = this.#unassigned.first; first; first = this.#unassigned.first) {
      const thread = this.#pick(first.job);
      if (!thread) return;
      this.#unassigned.shift();
      this.#give(thread, first.job, first.order);
    }
  }

  #flushSoon(): void {
    if (this.#flushing || this.#bursts > 0 || this.#dirty.size === 0) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#bursts > 0 || this.#dirty.size === 0) return;
    for (const thread of this.#dirty) thread.flush();
    this.#dirty.clear();
  }

  /** Jobs have left a thread. */
  #settled(thread: Thread): void {
    this.#roster.endIfDone(thread);
    // Whatever it was to be left alone for has gone.
    if (thread.held === 0 && thread.state === 'ready') {
      thread.most = Number.POSITIVE_INFINITY;
      this.#roster.idle(thread);
    }
    if (this.#unassigned.size > 0 && this.#bursts === 0) {
      this.#fill();
      this.#flushSoon();
    }
  }

  // Stopping.

  #endGrace(thread: Thread): void {
    this.#counts.terminated++;
    this.#roster.kill(thread);
  }

  async #close(): Promise<void> {
    this.#end ??= new MillraceError('STOPPED', { what: 'the crew of threads' });
    this.#cancelAlarms();
    this.#failAll(this.#unassigned.takeAll());
    await this.#roster.close(this.#end);
  }

  #cancelAlarms(): void {
    this.#grace.cancel();
    this.#balance.close();
  }

  #failAll(jobs: readonly CrewJob[]): void {
    const error = this.#end;
    for (const job of jobs) job.seat = NO_SEAT;
    queueMicrotask(() => {
      for (const job of jobs) job.failed(error);
    });
  }
}
