/**
 * Claiming. Runs inside a transaction that is the caller's.
 *
 * While no key stands in line, a batch is one select and one update, whatever waits behind it. While keys do, they and
 * the jobs without a key take turns, one at a time, see `lines.ts`.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { nextPermit, permits, taken } from '../bucket.ts';
import type { Jobs } from './jobs.ts';
import type { Journal } from './journal.ts';
import type { Lines } from './lines.ts';
import type { QueueRow, Registry } from './registry.ts';
import type { Servers } from './servers.ts';
import { type ClaimAnswer, type ClaimRequest, stateNumbers as S, special, type Template } from './wire.ts';

/** At most this many due jobs are promoted by one claim: it must not hold the file for long after a night of waiting. */
const PROMOTE_LIMIT = 10_000;

/** About so many bytes of payload leave with one claim; with large payloads it comes in parts, see ClaimResult. */
const CLAIM_BYTES = 64 * 1024 * 1024;

/** What a payload is taken for before any was seen: a first look is at 64 jobs. */
const LARGE = 1024 * 1024;

/** How many jobs without a key are looked up at once, while keys stand in line. */
const AHEAD = 64;

/** number, name, priority, attempt, max_attempts, crashes, claim, run_at, added_at, payload, extras */
type ClaimRow = [number, number, number, number, number, number, number, number, number, Uint8Array, string | null];

/** The same, and: key, tag, whether it has stopped before */
type HeadRow = [...ClaimRow, number, number, number];

const claimColumns = 'number, name, priority, attempt, max_attempts, crashes, claim, run_at, added_at, payload, extras';

interface Claimed {
  readonly queue: QueueRow;
  readonly rows: ClaimRow[];
}

export class Claimer {
  readonly #registry: Registry;
  readonly #servers: Servers;
  readonly #jobs: Jobs;
  readonly #lines: Lines;
  readonly #journal: Journal;
  readonly #promote: Record<'scheduled' | 'retryable', StatementSync>;
  readonly #due: Record<'scheduled' | 'retryable', StatementSync>;
  readonly #nextDue: Record<'scheduled' | 'retryable', StatementSync>;
  readonly #ready: StatementSync;
  readonly #singles: StatementSync;
  readonly #head: StatementSync;
  readonly #lease: StatementSync;
  readonly #leaseHead: StatementSync;

  constructor(db: DatabaseSync, registry: Registry, servers: Servers, jobs: Jobs, lines: Lines, journal: Journal) {
    this.#registry = registry;
    this.#servers = servers;
    this.#jobs = jobs;
    this.#lines = lines;
    this.#journal = journal;
    const perState = (sql: (state: number) => string) => ({
      scheduled: db.prepare(sql(S.scheduled)),
      retryable: db.prepare(sql(S.retryable)),
    });
    const arrays = (sql: string) => {
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };

    // `state <= 3`, `state = 4` and `state >= 6` are spelled as the partial indexes spell them, or SQLite would not use those.
    const due = (state: number) => `WHERE state <= 3 AND state = ${state} AND queue = ?`;
    this.#promote = perState(
      (state) => `UPDATE millrace_jobs SET state = ${S.available} WHERE number IN (SELECT number FROM millrace_jobs
         ${due(state)} AND run_at <= ? ORDER BY run_at LIMIT ?)`,
    );
    this.#due = perState(
      (state) => `SELECT number, key FROM millrace_jobs ${due(state)} AND run_at <= ? ORDER BY run_at LIMIT ?`,
    );
    this.#ready = db.prepare(
      `UPDATE millrace_jobs SET state = ${S.available} WHERE number IN (SELECT value FROM json_each(?))`,
    );
    this.#nextDue = perState((state) => `SELECT run_at FROM millrace_jobs ${due(state)} ORDER BY run_at LIMIT 1`);
    this.#singles = arrays(
      `SELECT ${claimColumns} FROM millrace_jobs
         WHERE state = 4 AND queue = ? ORDER BY priority, run_at, number LIMIT ? OFFSET ?`,
    );
    this.#head = arrays(
      `SELECT ${claimColumns}, key, minor, special & ${special.stopped} FROM millrace_jobs
         WHERE state >= 6 AND queue = ? AND state = ${S.head} ORDER BY major, minor, number LIMIT 1`,
    );
    this.#lease = db.prepare(
      `UPDATE millrace_jobs SET state = ${S.running}, server = ?, claim = claim + 1, started_at = ?
         WHERE number IN (SELECT value FROM json_each(?))`,
    );
    this.#leaseHead = db.prepare(
      `UPDATE millrace_jobs SET state = ${S.running}, server = ?, claim = claim + 1, started_at = ?, major = NULL, minor = NULL,
         special = special & ~${special.stopped} WHERE number = ?`,
    );
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
      if (!queue || queue.settings.paused) continue;
      this.#promoteDue(queue, now);
      this.#lines.wake(queue, now);
      let room = Math.min(left, roomIn(queue, now));
      while (room > 0 && size < CLAIM_BYTES && isClaimable(queue)) {
        const mean = left < limit ? Math.max(1, size / (limit - left)) : LARGE;
        const most = Math.min(room, Math.ceil((CLAIM_BYTES - size) / mean));
        const rows =
          queue.read('line') > 0 ? this.#takeTurns(queue, holder, most, now) : this.#take(queue, holder, most, now);
        if (rows.length === 0) break; // never, while the counts are right
        claimed.push({ queue, rows });
        left -= rows.length;
        room -= rows.length;
        for (const row of rows) size += row[9].byteLength;
        this.#started(queue, rows, now);
      }
      if (left > 0) nextAt = earlier(nextAt, this.#nextAt(queue, now));
    }
    return pack(claimed, limit - left, size, left > 0 ? nextAt : undefined, (id) => this.#registry.nameById(id));
  }

  /** The next available jobs without a key, at most `limit`, now held by `holder`. */
  #take(queue: QueueRow, holder: number, limit: number, now: number): ClaimRow[] {
    const rows = this.#singles.all(queue.id, limit, 0) as unknown as ClaimRow[];
    this.#lease.run(holder, now, JSON.stringify(rows.map((row) => row[0])));
    return rows;
  }

  /** The next jobs of the line and of those without a key, in turn. */
  #takeTurns(queue: QueueRow, holder: number, limit: number, now: number): ClaimRow[] {
    const rows: ClaimRow[] = [];
    const free: number[] = [];
    const freeInAll = queue.free;
    let ahead: ClaimRow[] = [];
    let next = 0;
    let head: HeadRow | undefined;
    while (rows.length < limit) {
      if (next === ahead.length && free.length < freeInAll) {
        ahead = this.#singles.all(queue.id, Math.min(AHEAD, limit - rows.length), free.length) as unknown as ClaimRow[];
        next = 0;
      }
      const single = ahead[next];
      head ??= this.#nextHead(queue, now);
      if (head && (!single || isBefore(head, single, this.#lines.freeTag(queue)))) {
        this.#takeHead(queue, holder, head, now);
        rows.push(head as unknown as ClaimRow);
        head = undefined;
      } else if (single) {
        if (head) this.#lines.takeFree(queue);
        rows.push(single);
        free.push(single[0]);
        next++;
      } else break;
    }
    if (free.length > 0) this.#lease.run(holder, now, JSON.stringify(free));
    return rows;
  }

  #nextHead(queue: QueueRow, now: number): HeadRow | undefined {
    while (queue.read('line') > 0) {
      const head = this.#head.get(queue.id) as unknown as HeadRow | undefined;
      if (!head || this.#lines.allows(queue, head[11], now)) return head; // never absent, while the counts are right
    }
    return undefined;
  }

  /** The one behind it may be the next in line already, so the line is put in order at once. */
  #takeHead(queue: QueueRow, holder: number, head: HeadRow, now: number): void {
    const [number, key, tag, stopped] = [head[0], head[11], head[12], head[13] !== 0];
    this.#leaseHead.run(holder, now, number);
    this.#lines.take(queue, { number, queue: queue.id, key, state: S.head, stopped }, tag, now);
    this.#lines.arrange(now, false);
  }

  #started(queue: QueueRow, rows: readonly ClaimRow[], now: number): void {
    queue.change('available', -rows.length);
    queue.change('running', rows.length);
    const { rate } = queue.settings;
    if (rate) queue.write('full_at', taken(rate, queue.read('full_at'), now, rows.length));
    if (!queue.isWatched) return;
    for (const [number, name, , attempt, , , , , , , extras] of rows) {
      this.#journal.record(queue, { number, name, attempt, extras }, 'started', now);
    }
  }

  #promoteDue(queue: QueueRow, now: number): void {
    for (const state of ['scheduled', 'retryable'] as const) {
      if (queue.counts[state] === 0) continue;
      const changes =
        queue.read('keys') > 0
          ? this.#promoteKeyed(queue, state, now)
          : Number(this.#promote[state].run(queue.id, now, PROMOTE_LIMIT).changes);
      queue.change(state, -changes);
      queue.change('available', changes);
    }
  }

  /** The same among jobs of which some have keys; how many had none. */
  #promoteKeyed(queue: QueueRow, state: 'scheduled' | 'retryable', now: number): number {
    const free: number[] = [];
    for (const row of this.#due[state].all(queue.id, now, PROMOTE_LIMIT) as { number: number; key: number | null }[]) {
      if (row.key === null) free.push(row.number);
      else this.#jobs.promote(row.number, now);
    }
    if (free.length > 0) this.#ready.run(JSON.stringify(free));
    return free.length;
  }

  /** When more can be had from the queue without anybody doing anything. */
  #nextAt(queue: QueueRow, now: number): number | undefined {
    const { concurrency, rate } = queue.settings;
    if (concurrency !== null && queue.counts.running >= concurrency) return undefined;
    const at = isClaimable(queue) ? now : earlier(this.#nextDueAt(queue), this.#lines.nextWake(queue));
    return at === undefined || rate === null ? at : Math.max(at, nextPermit(rate, queue.read('full_at'), now));
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

/** How many jobs of the queue may start now, over all servers. */
function roomIn(queue: QueueRow, now: number): number {
  const { concurrency, rate } = queue.settings;
  const slots = concurrency === null ? Number.POSITIVE_INFINITY : Math.max(0, concurrency - queue.counts.running);
  return rate === null ? slots : Math.min(slots, permits(rate, queue.read('full_at'), now));
}

function isClaimable(queue: QueueRow): boolean {
  return queue.free > 0 || queue.read('line') > 0;
}

/** Whether the head of the line comes before a job without a key that has `tag`. */
function isBefore(head: HeadRow, single: ClaimRow, tag: number): boolean {
  if (head[2] !== single[2]) return head[2] < single[2];
  if (head[12] !== tag) return head[12] < tag;
  return head[0] < single[0];
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
  const extras: (readonly [number, string])[] = [];
  let at = 0;
  let end = 0;
  for (const { queue, rows } of claimed) {
    // Jobs of one kind come in runs, so comparing with the one before finds nearly every repeat.
    let last: ClaimRow | undefined;
    for (const row of rows) {
      const [number, name, priority, attempt, maxAttempts, crashes, claim, runAt, addedAt, payload, more] = row;
      if (!last || last[1] !== name || last[2] !== priority || last[4] !== maxAttempts) {
        templates.push([queue.name, nameOf(name), priority, maxAttempts]);
        last = row;
      }
      if (more !== null) extras.push([at, more]);
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
  return { templates, times, jobs, bytes, nextAt, ...(extras.length > 0 && { extras }) };
}
