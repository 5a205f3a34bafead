/**
 * The turn-taking of the reference model: which job of a queue is next. Everything is found anew from the list of jobs;
 * only what the contract gives a memory has one: buckets, the virtual time, and when a key's next job took its place.
 */
import type { AttemptError, NewJob } from '../backend.ts';
import { nextPermit, permits, taken } from '../bucket.ts';
import type { JobRecord } from '../records.ts';
import { defaultSettings, type QueueSettings } from '../settings.ts';

export type ModelJob = { -readonly [K in keyof Omit<JobRecord, 'errors'>]: JobRecord[K] | undefined } & {
  id: string;
  queue: string;
  state: JobRecord['state'];
  unique: NewJob['unique'];
  errors: AttemptError[];
  /** Why it was asked to stop while it ran. */
  order: string | undefined;
  /** It failed or was snoozed, so it may hold the slot of its key. */
  stopped: boolean;
} & Record<'number' | 'claim' | 'priority' | 'attempt' | 'maxAttempts' | 'crashes' | 'addedAt' | 'runAt', number>;

/** What is remembered of a key; '' is that of the jobs without one. */
interface Line {
  finish: number;
  fullAt: number;
  tag: number;
  head: number | undefined;
}

export const isWaiting = ({ state }: ModelJob) =>
  state === 'scheduled' || state === 'available' || state === 'retryable';
const isDue = (job: ModelJob, at: number) => isWaiting(job) && (job.state === 'available' || job.runAt <= at);

export class ModelQueue {
  settings: QueueSettings = defaultSettings;
  completed = 0;
  /** Jobs of this queue, in order of arrival. */
  readonly jobs: () => ModelJob[];
  #fullAt = 0;
  #virtual = 0;
  readonly #lines = new Map<string, Line>();

  constructor(jobs: () => ModelJob[]) {
    this.jobs = jobs;
  }

  /** What a claim at that moment would give first. */
  next(at: number): ModelJob | undefined {
    const { paused, concurrency, rate } = this.settings;
    const running = this.jobs().filter(({ state }) => state === 'running').length;
    const isBusy = concurrency !== null && running >= concurrency;
    if (paused || isBusy || (rate && permits(rate, this.#fullAt, at) < 1)) return undefined;
    const plain = this.jobs().filter((job) => job.key === undefined && isDue(job, at));
    const [first] = plain.sort((a, b) => a.priority - b.priority || a.runAt - b.runAt || a.number - b.number);
    const heads = [...this.#heads(at), ...(first ? [first] : [])];
    return heads.sort((a, b) => a.priority - b.priority || this.#tag(a) - this.#tag(b) || a.number - b.number)[0];
  }

  /** `job` is the next one and starts: what that takes from buckets and turns. */
  start(job: ModelJob, now: number): void {
    const { rate, keys } = this.settings;
    if (rate) this.#fullAt = taken(rate, this.#fullAt, now, 1);
    // A queue in which no key waits is a plain one: no turns are counted.
    if (this.#heads(now).length === 0) return;
    const { key = '' } = job;
    const line = this.#line(key);
    const tag = this.#tag(job);
    this.#virtual = Math.max(this.#virtual, tag);
    line.finish = tag + 1 / (keys.weights[key] ?? 1);
    line.head = undefined;
    if (keys.rate && key !== '') line.fullAt = taken(keys.rate, line.fullAt, now, 1);
  }

  /**
   * A job that has become the next of its key gets its tag. To be called whenever that may have happened.
   * @param due jobs of which moments count as available already: all up to now while a claim looks
   */
  lineUp(now: number, due = Number.NEGATIVE_INFINITY): void {
    for (const key of this.#keys()) {
      const line = this.#line(key);
      const head = this.#head(key, now, due)?.number;
      if (head !== line.head) line.tag = Math.max(this.#virtual, line.finish);
      line.head = head;
    }
  }

  /** Moments at which a claim may give what it does not give now. */
  moments(now: number): number[] {
    const { rate, keys } = this.settings;
    const permits = [...this.#lines.values()].flatMap(({ fullAt }) =>
      keys.rate ? nextPermit(keys.rate, fullAt, now) : [],
    );
    if (rate) permits.push(nextPermit(rate, this.#fullAt, now));
    return [
      ...permits,
      ...this.jobs()
        .filter(isWaiting)
        .map(({ runAt }) => runAt),
    ].filter((at) => at > now);
  }

  /** Forgets keys of which no job waits, runs or holds a slot. */
  tidy(now: number): void {
    const busy = this.jobs().filter((job) => isWaiting(job) || job.state === 'running' || this.#holds(job));
    const used = new Set(busy.map(({ key = '' }) => key));
    for (const [key, { fullAt }] of this.#lines) if (!used.has(key) && fullAt <= now) this.#lines.delete(key);
  }

  #keys(): string[] {
    return [...new Set(this.jobs().flatMap(({ key }) => key ?? []))];
  }

  #line(key: string): Line {
    const line = this.#lines.get(key) ?? { finish: 0, fullAt: 0, tag: 0, head: undefined };
    this.#lines.set(key, line);
    return line;
  }

  #tag({ key }: ModelJob): number {
    return key === undefined ? Math.max(this.#virtual, this.#line('').finish) : this.#line(key).tag;
  }

  #heads(at: number): ModelJob[] {
    return this.#keys().flatMap((key) => this.#head(key, at) ?? []);
  }

  /** The next job of the key, if it may start. */
  #head(key: string, at: number, due = at): ModelJob | undefined {
    const { concurrency, rate } = this.settings.keys;
    if (rate && permits(rate, this.#line(key).fullAt, at) < 1) return undefined;
    const jobs = this.jobs().filter((job) => job.key === key);
    const used = jobs.filter((job) => job.state === 'running' || this.#holds(job)).length;
    const isFree = concurrency === null || used < concurrency;
    const ready = jobs.filter((job) => isDue(job, due) && (isFree || this.#holds(job)));
    return ready.sort((a, b) => a.priority - b.priority || a.number - b.number)[0];
  }

  #holds(job: ModelJob): boolean {
    const { onFailure } = this.settings.keys;
    return job.key !== undefined && job.stopped && (onFailure === 'park' || (onFailure === 'block' && isWaiting(job)));
  }
}
