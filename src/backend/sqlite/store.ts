/**
 * The hot path as SQL: add, claim, settle. Runs inside a transaction that is the caller's.
 *
 * Each method refuses before its first write, so a call either throws having changed nothing, or fails together with the
 * transaction. Costs per job: one insert, one update and one delete, each with one index entry.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { type JobState, maxErrors } from '../backend.ts';
import type { QueueRow, Registry } from './registry.ts';
import type { Servers } from './servers.ts';
import {
  type AddAnswer,
  type AddRequest,
  type ClaimAnswer,
  type ClaimRequest,
  type Detail,
  endingKinds,
  type Once,
  stateNumbers as S,
  type SettleRequest,
  type Template,
} from './wire.ts';

/** At most this many due jobs are promoted by one claim: it must not hold the file for long after a night of waiting. */
const PROMOTE_LIMIT = 10_000;

/** At most this many expired keys are removed by one add; it brings fewer new ones than this. */
const FORGET_LIMIT = 1_000;

/** About so many bytes of payload leave with one claim; with large payloads it comes in parts, see ClaimResult. */
const CLAIM_BYTES = 64 * 1024 * 1024;

/** What a payload is taken for before any was seen: a first look is at 64 jobs. */
const LARGE = 1024 * 1024;

/** number, name, priority, attempt, max_attempts, crashes, claim, run_at, added_at, payload */
type ClaimRow = [number, number, number, number, number, number, number, number, number, Uint8Array];

interface Claimed {
  readonly queue: QueueRow;
  readonly rows: readonly ClaimRow[];
}

/** number, claim, queue */
type HeldRow = [number, number, number];

/** A template with its numbers in this file. */
interface Kind {
  readonly queue: QueueRow;
  readonly name: number;
  readonly priority: number;
  readonly maxAttempts: number;
}

export class Store {
  readonly #registry: Registry;
  readonly #servers: Servers;
  readonly #insert: StatementSync;
  readonly #findOnce: StatementSync;
  readonly #putOnce: StatementSync;
  readonly #forget: StatementSync;
  readonly #promote: Record<'scheduled' | 'retryable', StatementSync>;
  readonly #nextDue: Record<'scheduled' | 'retryable', StatementSync>;
  readonly #select: StatementSync;
  readonly #lease: StatementSync;
  readonly #held: StatementSync;
  readonly #delete: StatementSync;
  readonly #end: StatementSync;

  constructor(db: DatabaseSync, registry: Registry, servers: Servers) {
    this.#registry = registry;
    this.#servers = servers;
    const perState = (sql: (state: number) => string) => ({
      scheduled: db.prepare(sql(S.scheduled)),
      retryable: db.prepare(sql(S.retryable)),
    });
    const arrays = (sql: string) => {
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };

    this.#insert = db.prepare(
      `INSERT INTO jobs (number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes, run_at,
         added_at, payload) VALUES (?, ?, NULL, 0, ?, ?, ?, 1, ?, 0, ?, ?, ?)`,
    );
    this.#findOnce = db.prepare('SELECT fingerprint, first_job AS first, jobs FROM once WHERE key = ? AND until > ?');
    this.#putOnce = db.prepare(
      'INSERT OR REPLACE INTO once (key, fingerprint, first_job, jobs, until) VALUES (?, ?, ?, ?, ?)',
    );
    this.#forget = db.prepare(
      'DELETE FROM once WHERE key IN (SELECT key FROM once WHERE until <= ? ORDER BY until LIMIT ?)',
    );

    // `state <= 3` and `state = 4` are spelled as the partial indexes spell them, or SQLite would not use those.
    this.#promote = perState(
      (state) => `UPDATE jobs SET state = ${S.available} WHERE number IN (SELECT number FROM jobs
         WHERE state <= 3 AND state = ${state} AND queue = ? AND run_at <= ? ORDER BY run_at LIMIT ?)`,
    );
    this.#nextDue = perState(
      (state) => `SELECT run_at FROM jobs WHERE state <= 3 AND state = ${state} AND queue = ? ORDER BY run_at LIMIT 1`,
    );
    this.#select = arrays(
      `SELECT number, name, priority, attempt, max_attempts, crashes, claim, run_at, added_at, payload FROM jobs
         WHERE state = 4 AND queue = ? ORDER BY priority, run_at, number LIMIT ?`,
    );
    this.#lease = db.prepare(
      `UPDATE jobs SET state = ${S.running}, server = ?, claim = claim + 1
         WHERE number IN (SELECT value FROM json_each(?))`,
    );

    this.#held = arrays(
      `SELECT number, claim, queue FROM jobs
         WHERE number IN (SELECT value FROM json_each(?)) AND state = ${S.running} AND server = ?`,
    );
    this.#delete = db.prepare('DELETE FROM jobs WHERE number IN (SELECT value FROM json_each(?))');
    this.#end = db.prepare(
      `UPDATE jobs SET state = ?, server = NULL, run_at = coalesce(?, run_at), attempt = attempt + ?, ended_at = ?,
         errors = ${appended('?')} WHERE number = ?`,
    );
  }

  add({ now, templates, groups, jobs, bytes, runAt, once }: AddRequest): AddAnswer {
    if (once.length > 0) this.#forget.run(now, FORGET_LIMIT);
    const keys = new Map(once.map((entry) => [entry.group, entry]));
    const kinds: (Kind | undefined)[] = templates.map(() => undefined);
    const answer: AddAnswer[number][] = [];
    let at = 0;
    let start = 0;
    for (let group = 0; 2 * group < groups.length; group++) {
      const count = groups[2 * group] as number;
      const limit = groups[2 * group + 1] as number;
      const key = keys.get(group);
      const refusal = (key && this.#repeated(key, now)) ?? this.#full(templates, jobs, at, count, limit);
      if (key && !refusal) this.#remember(key, count, now);
      answer.push(refusal ?? [0, this.#registry.next, count]);
      for (const end = at + count; at < end; at++) {
        const index = jobs[2 * at] as number;
        const payload = bytes.subarray(start, start + (jobs[2 * at + 1] as number));
        start += payload.byteLength;
        if (refusal) continue;
        kinds[index] ??= this.#kind(templates[index] as Template);
        this.#store(kinds[index], now, runAt?.[at] ?? now, payload);
      }
    }
    return answer;
  }

  claim({ now, server, queues, limit }: ClaimRequest): ClaimAnswer {
    const holder = this.#servers.find(server);
    if (holder === undefined) throw new MillraceError('SERVER_UNKNOWN', { server });
    const claimed: Claimed[] = [];
    let left = limit;
    let size = 0;
    let nextAt: number | undefined;
    for (const name of queues) {
      const queue = this.#registry.findQueue(name);
      if (!queue || queue.paused) continue;
      this.#promoteDue(queue, now);
      while (left > 0 && size < CLAIM_BYTES && queue.counts.available > 0) {
        const mean = left < limit ? Math.max(1, size / (limit - left)) : LARGE;
        const rows = this.#take(queue, holder, Math.min(left, Math.ceil((CLAIM_BYTES - size) / mean)));
        if (rows.length === 0) break; // never, while the counts are right
        claimed.push({ queue, rows });
        left -= rows.length;
        for (const row of rows) size += row[9].byteLength;
      }
      if (left > 0) nextAt = earlier(nextAt, queue.counts.available > 0 ? now : this.#nextDueAt(queue));
    }
    return pack(claimed, limit - left, size, left > 0 ? nextAt : undefined, (id) => this.#registry.nameById(id));
  }

  /** 1 = taken, 0 = stale, per outcome. */
  settle({ now, server, numbers, claims, kinds, details }: SettleRequest): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(numbers.length);
    const holder = this.#servers.find(server);
    if (holder === undefined) return taken;
    const rows = this.#held.all(JSON.stringify(Array.from(numbers)), holder) as unknown as HeldRow[];
    const held = new Map(rows.map((row) => [row[0], row]));
    const completed: number[] = [];
    let detail = 0;
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i] as number;
      const kind = endingKinds[kinds[i] as number] as (typeof endingKinds)[number];
      const { at, error } = kind === 'completed' || kind === 'returned' ? NO_DETAIL : (details[detail++] as Detail);
      const job = held.get(number);
      if (!job || job[1] !== claims[i]) continue;
      held.delete(number); // the same job twice in one call: the second is stale
      taken[i] = 1;
      const queue = this.#registry.queueById(job[2]);
      if (kind === 'completed') {
        completed.push(number);
        move(queue, 'running', 'completed', 1);
        continue;
      }
      const retries = kind === 'failed' && at !== null;
      const state = retries ? 'retryable' : nextState[kind];
      const ended = state === 'discarded' || state === 'cancelled';
      const text = error && JSON.stringify(error);
      this.#end.run(S[state], at, Number(retries), ended ? now : null, text, text, number);
      move(queue, 'running', state, 1);
    }
    if (completed.length > 0) this.#delete.run(JSON.stringify(completed));
    return taken;
  }

  #repeated({ key, fingerprint }: Once, now: number): AddAnswer[number] | undefined {
    const seen = this.#findOnce.get(key, now) as { fingerprint: string; first: number; jobs: number } | undefined;
    if (!seen) return undefined;
    return seen.fingerprint === fingerprint ? [1, seen.first, seen.jobs] : [2];
  }

  /** The group's jobs get the numbers from the next one on. */
  #remember({ key, fingerprint, ttl }: Once, count: number, now: number): void {
    this.#putOnce.run(key, fingerprint, this.#registry.next, count, now + Math.ceil(ttl));
  }

  #full(templates: readonly Template[], jobs: Int32Array, from: number, count: number, limit: number) {
    if (limit < 0) return undefined;
    const coming = new Map<string, number>();
    for (let at = from; at < from + count; at++) {
      const [queue] = templates[jobs[2 * at] as number] as Template;
      coming.set(queue, (coming.get(queue) ?? 0) + 1);
    }
    for (const [queue, more] of coming) {
      const waiting = this.#registry.findQueue(queue)?.waiting ?? 0;
      if (waiting + more > limit) return [3, queue, waiting] as const;
    }
    return undefined;
  }

  #kind([queue, name, priority, maxAttempts]: Template): Kind {
    return { queue: this.#registry.queue(queue), name: this.#registry.nameId(name), priority, maxAttempts };
  }

  #store({ queue, name, priority, maxAttempts }: Kind, now: number, runAt: number, payload: Uint8Array): void {
    const state = runAt > now ? 'scheduled' : 'available';
    this.#insert.run(this.#registry.next++, S[state], queue.id, name, priority, maxAttempts, runAt, now, payload);
    queue.change(state, 1);
  }

  /** The next `limit` available jobs, now held by `holder`. */
  #take(queue: QueueRow, holder: number, limit: number): ClaimRow[] {
    const rows = this.#select.all(queue.id, limit) as unknown as ClaimRow[];
    this.#lease.run(holder, JSON.stringify(rows.map((row) => row[0])));
    move(queue, 'available', 'running', rows.length);
    return rows;
  }

  #promoteDue(queue: QueueRow, now: number): void {
    for (const state of ['scheduled', 'retryable'] as const) {
      if (queue.counts[state] === 0) continue;
      const { changes } = this.#promote[state].run(queue.id, now, PROMOTE_LIMIT);
      move(queue, state, 'available', Number(changes));
    }
  }

  #nextDueAt(queue: QueueRow): number | undefined {
    let next: number | undefined;
    for (const state of ['scheduled', 'retryable'] as const) {
      if (queue.counts[state] === 0) continue;
      const row = this.#nextDue[state].get(queue.id) as { run_at: number } | undefined;
      next = earlier(next, row?.run_at);
    }
    return next;
  }
}

const NO_DETAIL: Detail = { at: null, error: null };

/** Where an ending leads when there is no retry. */
const nextState = {
  completed: 'completed',
  failed: 'discarded',
  discarded: 'discarded',
  cancelled: 'cancelled',
  snoozed: 'scheduled',
  returned: 'available',
} as const satisfies Record<(typeof endingKinds)[number], JobState>;

/** SQL: the history with one more error, the oldest falling out; unchanged when there is none. `error` stands in it twice. */
export function appended(error: string): string {
  const history = `coalesce(errors, '[]')`;
  const room = `CASE WHEN json_array_length(${history}) >= ${maxErrors} THEN json_remove(errors, '$[0]') ELSE ${history} END`;
  return `CASE WHEN ${error} IS NULL THEN errors ELSE json_insert(${room}, '$[#]', json(${error})) END`;
}

function move(queue: QueueRow, from: JobState, to: JobState, count: number): void {
  queue.change(from, -count);
  queue.change(to, count);
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a;
}

function pack(
  claimed: readonly Claimed[],
  count: number,
  size: number,
  nextAt: number | undefined,
  nameOf: (id: number) => string,
): ClaimAnswer {
  const templates: Template[] = [];
  const times = new Float64Array(3 * count);
  const jobs = new Int32Array(5 * count);
  const bytes = new Uint8Array(size);
  let at = 0;
  let end = 0;
  for (const { queue, rows } of claimed) {
    // Jobs of one kind come in runs, so comparing with the one before finds nearly every repeat.
    let last: ClaimRow | undefined;
    for (const row of rows) {
      const [number, name, priority, attempt, maxAttempts, crashes, claim, runAt, addedAt, payload] = row;
      if (!last || last[1] !== name || last[2] !== priority || last[4] !== maxAttempts) {
        templates.push([queue.name, nameOf(name), priority, maxAttempts]);
        last = row;
      }
      times[3 * at] = number;
      times[3 * at + 1] = addedAt;
      times[3 * at + 2] = runAt;
      jobs[5 * at] = templates.length - 1;
      jobs[5 * at + 1] = attempt;
      jobs[5 * at + 2] = crashes;
      jobs[5 * at + 3] = claim + 1;
      jobs[5 * at + 4] = payload.byteLength;
      bytes.set(payload, end);
      end += payload.byteLength;
      at++;
    }
  }
  return { templates, times, jobs, bytes, nextAt };
}
