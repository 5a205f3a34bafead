/**
 * Keys. Each key of a queue stands in line with at most one job, its next one, and only while it may start one:
 *
 *   key a   [a1]  a2  a3            in line: head      waiting for their turn: behind (holding, with a slot already)
 *   key b   [b1]                    the line: a1 b1 d2, by priority, then by turn, then by arrival
 *   key c    c1 runs, c2 behind     its only slot is in use
 *   key d   [d2]  d3
 *
 * Turns are start-time fair queueing (Goyal, Vin, Cheng 1996): a job that becomes the head gets the later of the queue's
 * virtual time and the end of its key's turn before as its tag; being claimed moves both on, the key's by 1 / weight. So
 * a claim looks at the first of the line only, however many keys and jobs wait behind it.
 *
 * A key that anything happened to is noted, and looked at once, in `arrange`: before a claim and before the commit.
 */
import { nextPermit, permits, taken } from '../bucket.ts';
import type { Connection, Statement } from './connection.ts';
import type { QueueRow, Registry } from './registry.ts';
import { stateNumbers as S, special } from './wire.ts';

/** Most keys that one claim lets into the line because their rate allows it again. */
const WAKE_LIMIT = 1_000;

interface KeyRow {
  readonly id: number;
  readonly queue: number;
  readonly name: string;
  running: number;
  waiting: number;
  /** Those of the waiting ones that have stopped before: they failed or were snoozed. */
  again: number;
  /** Those that have stopped for good. */
  parked: number;
  finish: number;
  full_at: number;
  head: number | null;
  wake_at: number | null;
}

/** A job that may be the next one. */
interface Candidate {
  readonly number: number;
  readonly priority: number;
  readonly state: number;
}

/** A job of a key, as far as its key is concerned. */
export interface KeyedJob {
  readonly number: number;
  readonly queue: number;
  readonly key: number;
  /** As stored. */
  readonly state: number;
  /** It failed or was snoozed, and nobody has done anything about it: it may hold its slot. */
  readonly stopped: boolean;
}

export class Lines {
  readonly #registry: Registry;
  readonly #find: Statement;
  readonly #named: Statement;
  readonly #insert: Statement;
  readonly #save: Statement;
  readonly #job: Statement;
  readonly #first: Statement;
  readonly #put: Statement;
  readonly #due: Statement;
  readonly #wake: Statement;
  readonly #all: Statement;
  readonly #idle: Statement;
  readonly #drop: Statement;
  readonly #keys = new Map<number, KeyRow>();
  readonly #touched = new Set<KeyRow>();

  constructor(db: Connection, registry: Registry) {
    this.#registry = registry;
    this.#find = db.prepare('SELECT * FROM millrace_keys WHERE id = ?');
    this.#named = db.prepare('SELECT * FROM millrace_keys WHERE queue = ? AND name = ?');
    this.#insert = db.prepare('INSERT INTO millrace_keys (queue, name) VALUES (?, ?) RETURNING *');
    this.#save = db.prepare(
      `UPDATE millrace_keys SET running = ?, waiting = ?, again = ?, parked = ?, finish = ?, full_at = ?, head = ?,
         wake_at = ?, idle = ? WHERE id = ?`,
    );
    this.#job = db.prepare(
      `SELECT priority, special & ${special.stopped} AS stopped FROM millrace_jobs WHERE number = ?`,
    );
    this.#first = db.prepare(
      `SELECT number, priority, state FROM millrace_jobs
         WHERE state >= 6 AND queue = ? AND state = ? AND major = ? ORDER BY minor, number LIMIT 1`,
    );
    this.#put = db.prepare('UPDATE millrace_jobs SET state = ?, major = ?, minor = ? WHERE number = ?');
    this.#due = db.prepare(
      'SELECT id FROM millrace_keys WHERE wake_at IS NOT NULL AND queue = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?',
    );
    this.#wake = db.prepare(
      'SELECT wake_at FROM millrace_keys WHERE wake_at IS NOT NULL AND queue = ? ORDER BY wake_at LIMIT 1',
    );
    this.#all = db.prepare('SELECT id FROM millrace_keys WHERE queue = ?');
    this.#idle = db.prepare('SELECT id FROM millrace_keys WHERE idle = 1 AND full_at <= ? ORDER BY full_at LIMIT ?');
    this.#drop = db.prepare('DELETE FROM millrace_keys WHERE id = ?');
  }

  /** The number of a key; made when it is new. */
  keyId(queue: QueueRow, name: string): number {
    const known = this.#named.get(queue.id, name) as KeyRow | undefined;
    if (known) return known.id;
    queue.add('keys', 1);
    return (this.#insert.get(queue.id, name) as KeyRow).id;
  }

  /**
   * Books that a job goes from `from` to `to`; undefined: it is new, or gone. Returns the state to store for one that is
   * available. The queue's counts are the caller's.
   */
  step(from: KeyedJob | undefined, to: KeyedJob | undefined): number {
    const { queue: queueId, key: keyId } = (to ?? from) as KeyedJob;
    const queue = this.#registry.queueById(queueId);
    const key = this.#touch(keyId);
    for (const [job, by] of [
      [from, -1],
      [to, 1],
    ] as const) {
      if (!job) continue;
      const isWaiting = waits(job.state);
      if (key) {
        if (job.state === S.running) key.running += by;
        else if (isWaiting) key.waiting += by;
        if (job.stopped && isWaiting) key.again += by;
        else if (job.stopped && job.state !== S.running) key.parked += by;
      }
      queue.add('live', isWaiting || job.state === S.running ? by : 0);
      queue.add('keyed', isAvailable(job.state) ? by : 0);
    }
    if (from?.state === S.head) {
      queue.add('line', -1);
      if (key) key.head = null;
    }
    if (!to || !isAvailable(to.state)) return to?.state ?? 0;
    return to.stopped ? S.holding : S.behind;
  }

  /** The job's place among those of its key may be another one. */
  touch(job: { readonly key: number | null }): void {
    if (job.key !== null) this.#touch(job.key);
  }

  /** The head `job` with `tag` is being claimed: time goes on, for its key and for all. */
  take(queue: QueueRow, job: KeyedJob, tag: number, now: number): void {
    const key = this.#touch(job.key) as KeyRow;
    const { rate, weights } = queue.settings.keys;
    this.step(job, { ...job, state: S.running, stopped: false });
    key.finish = this.#turn(queue, tag, weights, key.name);
    if (rate) key.full_at = taken(rate, key.full_at, now, 1);
  }

  /** The tag that the next job without a key has. */
  freeTag(queue: QueueRow): number {
    return Math.max(queue.read('virtual'), queue.read('finish'));
  }

  /** A job without a key is being claimed while keys stand in line. */
  takeFree(queue: QueueRow): void {
    const finish = this.#turn(queue, this.freeTag(queue), queue.settings.keys.weights, '');
    queue.write('finish', finish);
  }

  /** Lets those keys into the line whose rate allows it by now. */
  wake(queue: QueueRow, now: number): void {
    if (queue.read('keys') === 0) return;
    for (const { id } of this.#due.all(queue.id, now, WAKE_LIMIT) as { id: number }[]) this.#touch(id);
    this.arrange(now);
  }

  /** When the rate of a key allows its next job. */
  nextWake(queue: QueueRow): number | undefined {
    if (queue.read('keys') === 0) return undefined;
    return (this.#wake.get(queue.id) as { wake_at: number } | undefined)?.wake_at;
  }

  /** The settings of the queue's keys may be others. */
  changed(queue: QueueRow): void {
    for (const { id } of this.#all.all(queue.id) as { id: number }[]) this.#touch(id);
  }

  /** Whether the rate of the head's key still allows it: a clock that was put back says no. Then it leaves the line. */
  allows(queue: QueueRow, keyId: number, now: number): boolean {
    const { rate } = queue.settings.keys;
    const key = rate ? this.#touch(keyId) : undefined;
    if (!rate || !key || permits(rate, key.full_at, now) >= 1) return true;
    this.arrange(now);
    return false;
  }

  /**
   * Puts the right job of each noted key in line.
   * @param isNews whoever listens should hear of it: not when a claim goes on to the next job, which it may still take
   */
  arrange(now: number, isNews = true): void {
    if (this.#touched.size === 0) return;
    for (const key of this.#touched) {
      const isOther = this.#arrange(key, now);
      if (isOther && isNews) this.#registry.queueById(key.queue).woken = true;
      this.#rest(key, now);
    }
    this.#touched.clear();
  }

  /** Forgets up to `limit` keys that have neither jobs nor a debt, and the turns of jobs without a key; how many. */
  forget(now: number, limit: number): number {
    for (const queue of this.#registry.queues) {
      if (queue.read('finish') > 0 && !queue.isFreeBusy) queue.write('finish', 0);
    }
    const idle = this.#idle.all(now, limit) as { id: number }[];
    for (const { id } of idle) {
      const key = this.#touch(id) as KeyRow;
      key.finish = 0;
      key.full_at = 0;
    }
    this.arrange(now);
    return idle.length;
  }

  /** What is kept in memory holds for one transaction. */
  reset(): void {
    this.#keys.clear();
    this.#touched.clear();
  }

  /** Whether there is more to claim than before, now or at a known time. */
  #arrange(key: KeyRow, now: number): boolean {
    const queue = this.#registry.queueById(key.queue);
    const { concurrency, rate, onFailure } = queue.settings.keys;
    const holding = (onFailure === 'skip' ? 0 : key.again) + (onFailure === 'park' ? key.parked : 0);
    const isFree = concurrency === null || key.running + holding < concurrency;
    const hasSlot = isFree || onFailure !== 'skip';
    const head = key.head === null ? undefined : this.#headOf(key.head);
    let next = head && (head.state === S.holding ? hasSlot : isFree) ? head : undefined;
    if (hasSlot && key.again > 0) next = firstOf(next, this.#firstOf(key, S.holding));
    if (isFree && key.waiting > key.again) next = firstOf(next, this.#firstOf(key, S.behind));
    key.wake_at = null;
    if (next && rate && permits(rate, key.full_at, now) < 1) {
      key.wake_at = Math.max(nextPermit(rate, key.full_at, now), now + 1);
      next = undefined;
    }
    if (head && head !== next) {
      this.#put.run(head.state, key.id, head.priority, head.number);
      queue.add('line', -1);
      key.head = null;
    }
    if (next && head !== next) {
      const tag = Math.max(queue.read('virtual'), key.finish);
      this.#put.run(S.head, next.priority, tag, next.number);
      queue.add('line', 1);
      key.head = next.number;
      return true;
    }
    return key.wake_at !== null;
  }

  /** Writes the key down, or forgets it when nobody could tell the difference. */
  #rest(key: KeyRow, now: number): void {
    const queue = this.#registry.queueById(key.queue);
    const isQuiet = key.running + key.waiting === 0;
    if (isQuiet && key.parked === 0 && key.full_at <= now && key.finish <= queue.read('virtual')) {
      this.#drop.run(key.id);
      this.#keys.delete(key.id);
      queue.add('keys', -1);
      return;
    }
    const isParked = key.parked > 0 && (queue.settings.keys.onFailure === 'park' || key.finish + key.full_at === 0);
    const counts = [key.running, key.waiting, key.again, key.parked] as const;
    this.#save.run(...counts, key.finish, key.full_at, key.head, key.wake_at, Number(isQuiet && !isParked), key.id);
  }

  /** The head, with the state that it would have behind the line. */
  #headOf(number: number): Candidate {
    const { priority, stopped } = this.#job.get(number) as { priority: number; stopped: number | null };
    return { number, priority, state: stopped ? S.holding : S.behind };
  }

  #firstOf(key: KeyRow, state: number): Candidate | undefined {
    return this.#first.get(key.queue, state, key.id) as Candidate | undefined;
  }

  /** Moves the queue's time to `tag`; the end of a turn that begins there. */
  #turn(queue: QueueRow, tag: number, weights: Readonly<Record<string, number>>, name: string): number {
    queue.write('virtual', Math.max(queue.read('virtual'), tag));
    return tag + 1 / (Object.hasOwn(weights, name) ? (weights[name] as number) : 1);
  }

  /** Undefined for the key of an ended job that was dropped meanwhile. */
  #touch(id: number): KeyRow | undefined {
    let key = this.#keys.get(id);
    if (!key) {
      key = this.#find.get(id) as KeyRow | undefined;
      if (!key) return undefined;
      this.#keys.set(id, key);
    }
    this.#touched.add(key);
    return key;
  }
}

function firstOf(a: Candidate | undefined, b: Candidate | undefined): Candidate | undefined {
  if (!a || !b) return a ?? b;
  return b.priority < a.priority || (b.priority === a.priority && b.number < a.number) ? b : a;
}

/** Of a number of a state: neither running nor ended. */
function waits(state: number): boolean {
  return state <= S.available || state >= S.head;
}

function isAvailable(state: number): boolean {
  return state === S.available || state >= S.head;
}
