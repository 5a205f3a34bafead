/**
 * The keys of one queue, and whose turn it is.
 *
 *   key a   a3 a4 a5 a6 …   head a3 ─┐
 *   key b   b1              head b1 ─┤ heads: by priority, tag, arrival
 *   key c   c9 … (busy)              ┘ timed: keys whose rate allows none yet
 *
 * Each key stands in line with at most one job, so a key with a million jobs costs the others nothing. The line is start-time
 * fair queueing (Goyal, Vin, Cheng 1996): a head's tag is when its turn began in virtual time, and a turn of a key takes
 * 1 / its weight. O(log keys) for what changes a head. What a key is remembered by is dropped when it is idle.
 */
import { nextPermit, permits, taken } from '../bucket.ts';
import type { KeySettings } from '../settings.ts';
import { Heap, type Placed } from './heap.ts';
import { isWaiting, type StoredJob } from './job.ts';
import { Line } from './line.ts';

export interface Key extends Placed {
  readonly name: string;
  /** Available jobs that need a slot, and those that hold one already if the settings say so. */
  readonly fresh: Line<StoredJob>;
  readonly stopped: Line<StoredJob>;
  running: number;
  waiting: number;
  /** Jobs that have stopped, and wait for another attempt. */
  again: number;
  /** Jobs that have stopped for good. */
  parked: number;
  /** When its last turn ended, in virtual time. */
  finish: number;
  /** The bucket of its rate. */
  fullAt: number;
  head: StoredJob | undefined;
  /** With what its head stands in line: priority and arrival, here so that to compare keys is to look at no job. */
  rank: number;
  number: number;
  tag: number;
  /** When its head may start, if its rate does not allow it now. */
  permitAt: number | undefined;
  isIdle: boolean;
  /** Forgotten: a job that comes back to it is one of a new key of that name. */
  isDropped: boolean;
}

const isAhead = (a: StoredJob, b: StoredJob) =>
  a.priority < b.priority || (a.priority === b.priority && a.number < b.number);

export class Keys {
  readonly #keys = new Map<string, Key>();
  readonly #heads = new Heap<Key>(isNext);
  readonly #timed = new Heap<Key>((a, b) => (a.permitAt as number) < (b.permitAt as number));
  /** Keys without jobs that still have a turn or a start to answer for. */
  readonly #idle = new Heap<Key>((a, b) => a.fullAt < b.fullAt);
  /** Keys whose next job may be another one. */
  readonly #touched = new Set<Key>();
  readonly #pending: Set<Keys>;
  #settings: KeySettings;
  #virtual = 0;
  /** The last turn of the jobs without a key. */
  #finish = 0;

  /** @param pending where those note themselves that are to be arranged */
  constructor(settings: KeySettings, pending: Set<Keys>) {
    this.#settings = settings;
    this.#pending = pending;
  }

  /** There is no turn to take: jobs without a key need not ask. */
  get isQuiet(): boolean {
    return this.#heads.size === 0;
  }

  /** Claimable now, or as soon as a rate allows. */
  get nextPermit(): number | undefined {
    return this.#timed.peek()?.permitAt;
  }

  get(name: string): Key {
    const known = this.#keys.get(name);
    if (known) return known;
    const key: Key = {
      name,
      fresh: new Line(isAhead),
      stopped: new Line(isAhead),
      running: 0,
      waiting: 0,
      again: 0,
      parked: 0,
      finish: 0,
      fullAt: 0,
      head: undefined,
      rank: 0,
      number: 0,
      tag: 0,
      permitAt: undefined,
      isIdle: false,
      isDropped: false,
      spot: 0,
    };
    this.#keys.set(name, key);
    return key;
  }

  configure(settings: KeySettings, now: number): void {
    this.#settings = settings;
    for (const key of this.#keys.values()) this.#touched.add(key);
    this.arrange(now);
  }

  /** A job is in the state that it carries. To be followed by `arrange`, as `exit` is. */
  enter(job: StoredJob): void {
    if (!job.key) return;
    if (job.key.isDropped) job.key = this.get(job.key.name);
    const { key } = job;
    this.#count(key, job, 1);
    if (job.state === 'available') (job.stopped ? key.stopped : key.fresh).push(job);
    this.#touch(key);
  }

  /** The opposite, before a change, or for good. */
  exit(job: StoredJob): void {
    const { key } = job;
    if (!key || key.isDropped) return;
    this.#count(key, job, -1);
    if (job.state === 'available') (job.stopped ? key.stopped : key.fresh).remove(job);
    this.#touch(key);
  }

  /** After one or many steps: each key stands where it belongs now, and what was so in between has left no mark. */
  arrange(now: number): void {
    if (this.#touched.size === 0) return;
    for (const key of this.#touched) this.#place(key, now);
    this.#touched.clear();
  }

  /** Keys whose rate allows a job by now stand in line again. */
  promote(now: number): void {
    for (let key = this.#timed.peek(); key && (key.permitAt as number) <= now; key = this.#timed.peek()) {
      this.#place(key, now);
    }
  }

  /** A clock that was put back may forbid what it allowed before: such a key leaves the line again. */
  check(now: number): void {
    const { rate } = this.#settings;
    if (!rate) return;
    for (let key = this.#heads.peek(); key && permits(rate, key.fullAt, now) < 1; key = this.#heads.peek()) {
      this.#place(key, now);
    }
  }

  /**
   * Whose turn it is, given the next job without a key: the job of a key, or undefined for that one. What the turn costs
   * is charged.
   */
  turn(plain: StoredJob | undefined, now: number): StoredJob | undefined {
    const key = this.#heads.peek() as Key;
    const head = key.head as StoredJob;
    const { weights, rate } = this.#settings;
    if (plain) {
      const tag = Math.max(this.#virtual, this.#finish);
      const isPlain =
        plain.priority < head.priority ||
        (plain.priority === head.priority && (tag < key.tag || (tag === key.tag && plain.number < head.number)));
      if (isPlain) {
        this.#virtual = tag;
        this.#finish = tag + 1 / weightOf(weights, '');
        return undefined;
      }
    }
    this.#virtual = Math.max(this.#virtual, key.tag);
    key.finish = key.tag + 1 / weightOf(weights, key.name);
    if (rate) key.fullAt = taken(rate, key.fullAt, now, 1);
    this.#heads.pop();
    key.head = undefined;
    return head;
  }

  /**
   * Forgets idle keys whose bucket is full, at most `limit`; how many.
   * @param isPlainIdle no job without a key waits or runs
   */
  tidy(now: number, limit: number, isPlainIdle: boolean): number {
    if (isPlainIdle) this.#finish = 0;
    let count = 0;
    for (let key = this.#idle.peek(); key && key.fullAt <= now && count < limit; key = this.#idle.peek()) {
      this.#wake(key);
      this.#drop(key);
      count++;
    }
    return count;
  }

  #touch(key: Key): void {
    if (this.#touched.size === 0) this.#pending.add(this);
    this.#touched.add(key);
  }

  #count(key: Key, job: StoredJob, by: 1 | -1): void {
    if (job.state === 'running') key.running += by;
    else if (isWaiting(job)) {
      key.waiting += by;
      if (job.stopped) key.again += by;
    } else if (job.stopped) key.parked += by;
  }

  /** The key stands where it belongs: in line with its next job, in wait of its rate, or nowhere. */
  #place(key: Key, now: number): void {
    const { rate } = this.#settings;
    this.#wake(key);
    const next = this.#next(key);
    const isEarly = next !== undefined && rate !== null && permits(rate, key.fullAt, now) < 1;
    const permitAt = isEarly ? Math.max(now + 1, nextPermit(rate, key.fullAt, now)) : undefined;
    const head = isEarly ? undefined : next;
    if (head !== key.head || permitAt !== key.permitAt || (head && head.priority !== key.rank)) {
      if (key.head) this.#heads.remove(key);
      if (key.permitAt !== undefined) this.#timed.remove(key);
      if (head && head !== key.head) key.tag = Math.max(this.#virtual, key.finish);
      key.head = head;
      key.rank = head?.priority ?? 0;
      key.number = head?.number ?? 0;
      key.permitAt = permitAt;
      if (head) this.#heads.push(key);
      if (permitAt !== undefined) this.#timed.push(key);
    }
    this.#rest(key, now);
  }

  #next(key: Key): StoredJob | undefined {
    const { concurrency, onFailure } = this.#settings;
    const holding = (onFailure === 'skip' ? 0 : key.again) + (onFailure === 'park' ? key.parked : 0);
    const isFree = concurrency === null || key.running + holding < concurrency;
    const fresh = isFree ? key.fresh.peek() : undefined;
    const stopped = isFree || onFailure !== 'skip' ? key.stopped.peek() : undefined;
    return fresh && stopped ? (isAhead(fresh, stopped) ? fresh : stopped) : (fresh ?? stopped);
  }

  /** An idle key is dropped at once when nobody could tell the difference, else by `tidy`. */
  #rest(key: Key, now: number): void {
    const isIdle = key.running + key.waiting === 0 && (key.parked === 0 || this.#settings.onFailure !== 'park');
    if (!isIdle) return;
    if (key.parked === 0 && key.fullAt <= now && key.finish <= this.#virtual) this.#drop(key);
    else if (key.finish > 0 || key.fullAt > 0) {
      this.#idle.push(key);
      key.isIdle = true;
    }
  }

  #wake(key: Key): void {
    if (key.isIdle) this.#idle.remove(key);
    key.isIdle = false;
  }

  /** A key with jobs that have stopped for good is still counted; only its turns and starts are forgotten. */
  #drop(key: Key): void {
    key.finish = 0;
    key.fullAt = 0;
    if (key.parked > 0) return;
    key.isDropped = true;
    this.#keys.delete(key.name);
  }
}

/** A key's own weight may be named like something every object has. */
function weightOf(weights: KeySettings['weights'], name: string): number {
  return Object.hasOwn(weights, name) ? (weights[name] as number) : 1;
}

function isNext(a: Key, b: Key): boolean {
  if (a.rank !== b.rank) return a.rank < b.rank;
  return a.tag < b.tag || (a.tag === b.tag && a.number < b.number);
}
