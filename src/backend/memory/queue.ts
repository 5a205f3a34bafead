/**
 * One queue of the memory backend: where each of its jobs stands.
 *
 *   due      scheduled, retryable          by time ──promote──▶ available
 *   plain    available, without a key      a line per priority, by time
 *   keys     available, with a key         see keys.ts
 *   ended    completed, discarded, …       a line per state, by when they ended: what retention goes by
 *
 * A job stands in one of them, or in none while it runs. `change` is the only way from one to another. All of it costs O(1)
 * for jobs that come in order, whatever waits.
 */
import { type JobState, jobStates } from '../../job/state.ts';
import { nextPermit, permits, taken } from '../bucket.ts';
import type { QueueCounts } from '../records.ts';
import {
  changed,
  defaultSettings,
  type EndedState,
  endedStates,
  type QueueSettings,
  type SettingsChange,
} from '../settings.ts';
import { Heap } from './heap.ts';
import { type Expiry, isEarlier, isWaiting, type StoredJob } from './job.ts';
import { Keys } from './keys.ts';
import { Line } from './line.ts';
import { Uniques } from './uniques.ts';

export class Queue {
  readonly name: string;
  readonly keys: Keys;
  readonly uniques = new Uniques();
  settings: QueueSettings = defaultSettings;
  /** Jobs that completed, kept or not. */
  completed = 0;
  readonly #counts = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>;
  readonly #plain: (Line<StoredJob> | undefined)[] = new Array(10);
  readonly #due = new Line<StoredJob>(isEarlier);
  readonly #ended = Object.fromEntries(endedStates.map((state) => [state, new Line(hasEndedEarlier)])) as Record<
    EndedState,
    Line<StoredJob>
  >;
  readonly #expiring = new Heap<Expiry>((a, b) => a.at < b.at);
  /** Jobs without a key that wait or run. */
  #plainInUse = 0;
  /** The bucket of the queue's rate. */
  #fullAt = 0;

  /** @param pending where the keys of a queue are noted that are to be arranged */
  constructor(name: string, pending: Set<Keys>) {
    this.name = name;
    this.keys = new Keys(defaultSettings.keys, pending);
  }

  /** Neither running nor ended. */
  get waiting(): number {
    return this.#counts.scheduled + this.#counts.available + this.#counts.retryable;
  }

  count(state: JobState): number {
    return this.#counts[state];
  }

  counts(): QueueCounts {
    return { queue: this.name, ...this.#counts, completed: this.completed, settings: this.settings };
  }

  configure(change: SettingsChange, now: number): void {
    this.settings = changed(this.settings, change);
    this.keys.configure(this.settings.keys, now);
  }

  /** A job comes in, in the state that it carries. Its keys are to be arranged then, as after the next two. */
  enter(job: StoredJob): void {
    const { state } = job;
    this.#counts[state]++;
    if (!job.key && (state === 'running' || isWaiting(job))) this.#plainInUse++;
    if (state === 'scheduled' || state === 'retryable') this.#due.push(job);
    else if (state === 'available') {
      if (!job.key) this.#line(job.priority).push(job);
    } else if (state !== 'running') this.#keep(job, state);
    this.keys.enter(job);
  }

  /** `to` is what is new of the job. */
  change(job: StoredJob, to: Partial<StoredJob>): void {
    this.#exit(job);
    Object.assign(job, to);
    this.enter(job);
  }

  /** The job goes for good. */
  leave(job: StoredJob): void {
    this.#exit(job);
  }

  /** What is due by now becomes available. */
  promote(now: number): void {
    for (let job = this.#due.peek(); job && job.runAt <= now; job = this.#due.peek()) this.#move(job, 'available');
    this.keys.arrange(now);
    this.keys.promote(now);
  }

  /** At most `limit` jobs whose turn it is, now running. To be promoted first. */
  take(limit: number, now: number): StoredJob[] {
    const room = Math.min(limit, this.#room(now));
    const jobs: StoredJob[] = [];
    while (jobs.length < room) {
      const job = this.#next(now);
      if (!job) break;
      this.#move(job, 'running');
      this.keys.arrange(now);
      jobs.push(job);
    }
    const { rate } = this.settings;
    if (rate && jobs.length > 0) this.#fullAt = taken(rate, this.#fullAt, now, jobs.length);
    return jobs;
  }

  /** After a claim that left some room: when there may be more without anybody doing anything. */
  nextAt(now: number): number | undefined {
    const { paused, concurrency, rate } = this.settings;
    if (paused || (concurrency !== null && this.#counts.running >= concurrency)) return undefined;
    const isReady = !this.keys.isQuiet || this.#firstPlain() !== undefined;
    const at = isReady ? now : Math.min(this.#due.peek()?.runAt ?? Infinity, this.keys.nextPermit ?? Infinity);
    const allowed = rate && permits(rate, this.#fullAt, now) < 1 ? nextPermit(rate, this.#fullAt, now) : now;
    return at === Infinity ? undefined : Math.max(now + 1, at, allowed);
  }

  /** Jobs of a state in which they are not waiting for anything, in no particular order. */
  ended(state: EndedState): Iterable<StoredJob> {
    return this.#ended[state];
  }

  /** The next one that retention no longer keeps. Numbers first: one that is too old as well still counts for them. */
  expired(now: number): StoredJob | undefined {
    const { retention } = this.settings;
    for (const state of endedStates) {
      if (this.#ended[state].size > retention[state].count) return this.#ended[state].peek();
    }
    const expiry = this.#expiring.peek();
    if (expiry && expiry.at <= now) return expiry.job;
    for (const state of endedStates) {
      const oldest = this.#ended[state].peek();
      if (oldest && (oldest.endedAt as number) + retention[state].age <= now) return oldest;
    }
    return undefined;
  }

  /** Forgets what nobody asks for any more, at most `limit`; how much. */
  tidy(now: number, limit: number): number {
    const forgotten = this.uniques.tidy(now, limit);
    return forgotten + this.keys.tidy(now, limit - forgotten, this.#plainInUse === 0);
  }

  #exit(job: StoredJob): void {
    const { state, key } = job;
    this.#counts[state]--;
    if (!key && (state === 'running' || isWaiting(job))) this.#plainInUse--;
    if (state === 'scheduled' || state === 'retryable') this.#due.remove(job);
    else if (state === 'available') {
      if (!key) this.#line(job.priority).remove(job);
    } else if (state !== 'running') {
      this.#ended[state].remove(job);
      if (job.expiry) this.#expiring.remove(job.expiry);
      job.expiry = undefined;
    }
    this.keys.exit(job);
  }

  #move(job: StoredJob, state: JobState): void {
    this.#exit(job);
    job.state = state;
    this.enter(job);
  }

  #keep(job: StoredJob, state: EndedState): void {
    this.#ended[state].push(job);
    if (state !== 'completed') return;
    job.expiry = { at: (job.endedAt as number) + (job.keepFor as number), job, spot: 0 };
    this.#expiring.push(job.expiry);
  }

  #room(now: number): number {
    const { paused, concurrency, rate } = this.settings;
    if (paused) return 0;
    const slots = concurrency === null ? Infinity : concurrency - this.#counts.running;
    return rate ? Math.min(slots, permits(rate, this.#fullAt, now)) : slots;
  }

  #next(now: number): StoredJob | undefined {
    const plain = this.#firstPlain();
    this.keys.check(now);
    return this.keys.isQuiet ? plain : (this.keys.turn(plain, now) ?? plain);
  }

  #firstPlain(): StoredJob | undefined {
    for (const line of this.#plain) {
      const first = line?.peek();
      if (first) return first;
    }
    return undefined;
  }

  #line(priority: number): Line<StoredJob> {
    const known = this.#plain[priority];
    if (known) return known;
    const line = new Line<StoredJob>(isEarlier);
    this.#plain[priority] = line;
    return line;
  }
}

/** By when they ended, then by arrival. */
function hasEndedEarlier(a: StoredJob, b: StoredJob): boolean {
  const [x, y] = [a.endedAt as number, b.endedAt as number];
  return x < y || (x === y && a.number < b.number);
}
