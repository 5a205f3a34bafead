/**
 * Adding. Runs inside a transaction that is the caller's. A group is stored whole or refused before its first write.
 *
 * A plain job costs one insert with one index entry. One with extras has its place looked up first: its own id or its
 * unique rule may lead to a job that is there.
 */
import type { Unique } from '../backend.ts';
import type { Connection, Statement, Value } from './connection.ts';
import { type Jobs, stateOf, waiting } from './jobs.ts';
import type { Journal } from './journal.ts';
import type { Lines } from './lines.ts';
import type { QueueRow, Registry } from './registry.ts';
import type { Found, Uniques } from './uniques.ts';
import {
  type AddAnswer,
  type AddRequest,
  type Extras,
  type NewExtras,
  type Once,
  type Ref,
  stateNumbers as S,
  special,
  type Template,
} from './wire.ts';

/** At most this many expired keys are removed by one add; it brings fewer new ones than this. */
const FORGET_LIMIT = 1_000;

/** Stands for a time in `started_at`, and is as long as one. */
const NEVER = 1e14;

/** Plain jobs that one statement stores: each run of a statement costs nearly as much as a row. */
const AT_ONCE = 8;

/** Values of a row of `#insert`. */
const WIDTH = 9;

/** A template with its numbers in this file. */
interface Kind {
  readonly queue: QueueRow;
  readonly name: number;
  readonly priority: number;
  readonly maxAttempts: number;
}

/** One job of a group with extras. */
interface Item {
  readonly kind: Kind;
  readonly runAt: number;
  readonly payload: Uint8Array;
  readonly extra: NewExtras | undefined;
  /** What was there before: a stored job, or the position of an earlier one of the group. */
  readonly before: Found | number | undefined;
}

type Answer = AddAnswer[number];

export class Adder {
  readonly #registry: Registry;
  readonly #jobs: Jobs;
  readonly #lines: Lines;
  readonly #uniques: Uniques;
  readonly #journal: Journal;
  readonly #insert: Statement;
  readonly #insertAtOnce: Statement;
  readonly #insertMore: Statement;
  readonly #putOwn: Statement;
  readonly #findOnce: Statement;
  readonly #putOnce: Statement;
  readonly #forget: Statement;
  /** Of plain jobs that are not written yet: what `#insert` takes, row after row. */
  #rows: Value[] = [];

  constructor(db: Connection, registry: Registry, jobs: Jobs, lines: Lines, uniques: Uniques, journal: Journal) {
    this.#registry = registry;
    this.#jobs = jobs;
    this.#lines = lines;
    this.#uniques = uniques;
    this.#journal = journal;
    const row = `(?, ?, NULL, 0, ?, ?, ?, 1, ?, 0, ?, ?, ${NEVER}, ?)`;
    const insert = (rows: number) =>
      db.prepare(
        `INSERT INTO millrace_jobs (number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes,
           run_at, added_at, started_at, payload) VALUES ${Array<string>(rows).fill(row).join(', ')}`,
      );
    this.#insert = insert(1);
    this.#insertAtOnce = insert(AT_ONCE);
    this.#insertMore = db.prepare(
      `INSERT INTO millrace_jobs (number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes,
         run_at, added_at, started_at, special, key, major, minor, extras, payload)
         VALUES (?, ?, NULL, 0, ?, ?, ?, 1, ?, 0, ?, ?, ${NEVER}, ?, ?, ?, ?, ?, ?)`,
    );
    this.#putOwn = db.prepare('INSERT INTO millrace_ids (id, job) VALUES (?, ?)');
    this.#findOnce = db.prepare(
      'SELECT fingerprint, first_job AS first, jobs, ids FROM millrace_once WHERE key = ? AND until > ?',
    );
    this.#putOnce = db.prepare(
      'INSERT OR REPLACE INTO millrace_once (key, fingerprint, first_job, jobs, ids, until) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#forget = db.prepare(
      'DELETE FROM millrace_once WHERE key IN (SELECT key FROM millrace_once WHERE until <= ? ORDER BY until LIMIT ?)',
    );
  }

  /** @param skips the groups that are not to be stored; they are answered with a mismatch */
  add(request: Omit<AddRequest, 'kind'>, skips?: ReadonlySet<number>): AddAnswer {
    const { now, templates, groups, jobs, bytes, runAt, once, extras } = request;
    if (once.length > 0) this.forgetOnce(now);
    const keys = new Map(once.map((entry) => [entry.group, entry]));
    const more = extras && new Map(extras.map((extra) => [extra.at, extra]));
    const kinds: (Kind | undefined)[] = templates.map(() => undefined);
    const kindOf = (at: number) => {
      const index = jobs[2 * at] as number;
      kinds[index] ??= this.#kind(templates[index] as Template);
      return kinds[index];
    };
    const answer: Answer[] = [];
    let at = 0;
    let start = 0;
    for (let group = 0; 2 * group < groups.length; group++) {
      const first = at;
      const count = groups[2 * group] as number;
      const limit = groups[2 * group + 1] as number;
      const key = keys.get(group);
      const seen: Answer | undefined = skips?.has(group) ? [2] : key && this.#repeated(key, now);
      if (more && !seen && hasAny(more, first, count)) {
        const drafts: Omit<Item, 'before'>[] = [];
        for (const end = first + count; at < end; at++) {
          const payload = bytes.subarray(start, start + (jobs[2 * at + 1] as number));
          start += payload.byteLength;
          drafts.push({ kind: kindOf(at), runAt: runAt?.[at] ?? now, payload, extra: more.get(at) });
        }
        const items = this.#resolve(drafts, now);
        const result = this.#full(countNew(items), limit) ?? this.#storeItems(items, now);
        if (key && result[0] !== 3) this.#remember(key, result, count, now);
        answer.push(result);
        continue;
      }
      const refusal = seen ?? (limit < 0 ? undefined : this.#full(countQueues(templates, jobs, first, count), limit));
      const result: Answer = refusal ?? [0, this.#registry.next, count];
      if (key && !refusal) this.#remember(key, result, count, now);
      answer.push(result);
      for (const end = at + count; at < end; at++) {
        const payload = bytes.subarray(start, start + (jobs[2 * at + 1] as number));
        start += payload.byteLength;
        if (!refusal) this.#store(kindOf(at), now, runAt?.[at] ?? now, payload);
      }
    }
    this.#flush();
    return answer;
  }

  /** Forgets what was not written: the transaction was rolled back. */
  reset(): void {
    this.#rows = [];
  }

  /** Drops some idempotency keys whose time is over; how many. */
  forgetOnce(now: number): number {
    return Number(this.#forget.run(now, FORGET_LIMIT).changes);
  }

  #repeated({ key, fingerprint }: Once, now: number): Answer | undefined {
    type Row = { fingerprint: string; first: number; jobs: number; ids: string | null };
    const seen = this.#findOnce.get(key, now) as Row | undefined;
    if (!seen) return undefined;
    if (seen.fingerprint !== fingerprint) return [2];
    return seen.ids === null ? [1, seen.first, seen.jobs] : [5, JSON.parse(seen.ids) as Ref[]];
  }

  #remember({ key, fingerprint, ttl }: Once, result: Answer, count: number, now: number): void {
    const [first, ids] = result[0] === 4 ? [0, JSON.stringify(result[1])] : [result[1] as number, null];
    this.#putOnce.run(key, fingerprint, first, count, ids, now + Math.ceil(ttl));
  }

  #full(coming: ReadonlyMap<string, number>, limit: number): Answer | undefined {
    if (limit < 0) return undefined;
    for (const [queue, more] of coming) {
      const waiting = this.#registry.findQueue(queue)?.waiting ?? 0;
      if (waiting + more > limit) return [3, queue, waiting];
    }
    return undefined;
  }

  #kind([queue, name, priority, maxAttempts]: Template): Kind {
    return { queue: this.#registry.queue(queue), name: this.#registry.nameId(name), priority, maxAttempts };
  }

  #store({ queue, name, priority, maxAttempts }: Kind, now: number, runAt: number, payload: Uint8Array): void {
    const state = runAt > now ? 'scheduled' : 'available';
    const number = this.#registry.takeNumber();
    this.#rows.push(number, S[state], queue.id, name, priority, maxAttempts, runAt, now, payload);
    if (this.#rows.length === AT_ONCE * WIDTH) {
      this.#insertAtOnce.run(...this.#rows);
      this.#rows = [];
    }
    queue.change(state, 1);
    if (queue.isWatched) this.#journal.record(queue, { number, name, attempt: 1, extras: null }, 'added', now);
  }

  /** Writes what is left of the plain jobs. */
  #flush(): void {
    const rows = this.#rows;
    this.#rows = [];
    for (let at = 0; at < rows.length; at += WIDTH) this.#insert.run(...rows.slice(at, at + WIDTH));
  }

  /** Finds what is there already, without a write: after this the group may still be refused. */
  #resolve(drafts: readonly Omit<Item, 'before'>[], now: number): Item[] {
    const seen = new Map<string, number>();
    return drafts.map((draft, position) => {
      const { extra, kind, runAt } = draft;
      if (!extra) return { ...draft, before: undefined };
      const { id, unique } = extra;
      const labels: string[] = [];
      if (id !== undefined) {
        const number = this.#jobs.resolve(id);
        const before = number >= 0 ? { ref: id, job: undefined } : seen.get(`id ${id}`);
        if (before !== undefined) return { ...draft, extra: { at: extra.at }, before };
        labels.push(`id ${id}`);
      }
      if (unique) {
        const label = `unique ${kind.queue.id} ${unique.key}`;
        const earlier = seen.get(label);
        const isEarlier = earlier !== undefined && isInTheWay(drafts[earlier] as Item, unique, now);
        const before = isEarlier ? earlier : this.#uniques.find(kind.queue.id, unique, now);
        if (before !== undefined) return { ...draft, before };
        labels.push(label);
      }
      for (const label of labels) seen.set(label, position);
      return { kind, runAt, payload: draft.payload, extra, before: undefined };
    });
  }

  #storeItems(items: readonly Item[], now: number): Answer {
    const first = this.#registry.next;
    const refs: Ref[] = [];
    const numbers: number[] = [];
    const existing: number[] = [];
    for (const item of items) {
      const { before, extra } = item;
      if (before === undefined) {
        const number = this.#registry.next;
        if (extra) this.#storeMore(item, extra, now);
        else this.#store(item.kind, now, item.runAt, item.payload);
        numbers.push(number);
        refs.push(extra?.id ?? number);
        continue;
      }
      existing.push(refs.length);
      const number = typeof before === 'number' ? (numbers[before] as number) : before.job?.number;
      refs.push(typeof before === 'number' ? (refs[before] as Ref) : before.ref);
      numbers.push(number ?? -1);
      if (number !== undefined && extra?.unique) this.#renew(number, item, extra, now);
    }
    const isPlain = existing.length === 0 && refs.every((ref) => typeof ref === 'number');
    return isPlain ? [0, first, items.length] : [4, refs, existing];
  }

  #storeMore({ kind, runAt, payload }: Item, extra: NewExtras, now: number): void {
    const { at: _, unique, ...extras } = extra;
    const { queue, name, priority, maxAttempts } = kind;
    const { id, key, keepFor } = extras as Extras;
    const state = runAt > now ? 'scheduled' : 'available';
    const number = this.#registry.takeNumber();
    const keyId = key === undefined ? null : this.#lines.keyId(queue, key);
    const keyed = { number, queue: queue.id, key: keyId ?? 0, state: S[state], stopped: false };
    const stored = keyId === null ? S[state] : this.#lines.step(undefined, keyed);
    const [major, minor] = stored === S.behind ? [keyId, priority] : [null, null];
    const bits =
      (keyId === null ? 0 : special.keyed) |
      (keepFor === undefined ? 0 : special.kept) |
      (unique ? special.unique : 0) |
      (id === undefined ? 0 : special.own);
    const text = Object.keys(extras).length > 0 ? JSON.stringify(extras) : null;
    const who = [number, stored, queue.id, name, priority, maxAttempts] as const;
    this.#insertMore.run(...who, runAt, now, bits || null, keyId, major, minor, text, payload);
    if (id !== undefined) this.#putOwn.run(id, number);
    if (unique) this.#uniques.put(queue.id, unique, number, id, now);
    queue.change(state, 1);
    this.#journal.record(queue, { number, name, attempt: 1, extras: text }, 'added', now);
  }

  /** The waiting job `number` gets what the new one would have been. */
  #renew(number: number, { kind, runAt, payload }: Item, extra: NewExtras, now: number): void {
    const { unique, tags, headers } = extra;
    const job = unique?.mode === 'keep' ? undefined : this.#jobs.find(number);
    if (!job || !waiting.has(stateOf(job.state))) return;
    const content = { payload, priority: kind.priority, facts: { tags, headers } };
    this.#jobs.rewrite(job, unique?.mode === 'debounce' ? { ...content, runAt } : content, now);
  }
}

/** Whether a job that the same group is about to store would be in the way of the next. */
function isInTheWay({ runAt }: Item, { states, period }: Unique, now: number): boolean {
  return period !== undefined || states.includes(runAt > now ? 'scheduled' : 'available');
}

function hasAny(extras: ReadonlyMap<number, NewExtras>, from: number, count: number): boolean {
  for (let at = from; at < from + count; at++) if (extras.has(at)) return true;
  return false;
}

function countNew(items: readonly Item[]): Map<string, number> {
  const coming = new Map<string, number>();
  for (const { kind, before } of items) {
    if (before === undefined) coming.set(kind.queue.name, (coming.get(kind.queue.name) ?? 0) + 1);
  }
  return coming;
}

function countQueues(templates: readonly Template[], jobs: Int32Array, from: number, count: number) {
  const coming = new Map<string, number>();
  for (let at = from; at < from + count; at++) {
    const [queue] = templates[jobs[2 * at] as number] as Template;
    coming.set(queue, (coming.get(queue) ?? 0) + 1);
  }
  return coming;
}
