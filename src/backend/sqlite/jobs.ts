/**
 * One job at a time, with everything that belongs to it. Every way that is not the plain one comes through here: jobs with
 * a key, a unique rule, a kept result, notes or an order, queues that record events, and whatever is done from outside.
 */

import type { JobState } from '../../job/state.ts';
import { type AttemptError, maxErrors } from '../backend.ts';
import type { JobEventKind } from '../records.ts';
import { endedStates } from '../settings.ts';
import type { Connection, Statement } from './connection.ts';
import type { Journal } from './journal.ts';
import type { KeyedJob, Lines } from './lines.ts';
import type { Notes } from './notes.ts';
import type { QueueRow, Registry } from './registry.ts';
import { type Extras, type Ref, stateNumbers as S, special } from './wire.ts';

export interface JobRow {
  readonly number: number;
  readonly state: number;
  readonly server: number | null;
  readonly claim: number;
  readonly queue: number;
  readonly name: number;
  readonly priority: number;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly crashes: number;
  readonly run_at: number;
  readonly added_at: number;
  readonly started_at: number | null;
  readonly special: number | null;
  readonly key: number | null;
  /** When it ended, if it has. */
  readonly major: number | null;
  readonly errors: string | null;
  readonly extras: string | null;
}

export const jobColumns = `number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes, run_at,
  added_at, started_at, special, key, major, errors, extras`;

/** What changes besides the state; absent: stays. */
export interface Change {
  readonly runAt?: number;
  readonly attempt?: number;
  readonly crashes?: number;
  readonly errors?: readonly AttemptError[];
  /** It failed or was snoozed. */
  readonly stopped?: boolean;
}

/** What a waiting job can be told to be instead; absent: stays. */
export interface Content {
  readonly payload?: Uint8Array;
  readonly priority?: number;
  readonly maxAttempts?: number;
  readonly runAt?: number;
  readonly facts?: Facts;
}

/** `undefined`: there are none from now on. Absent: as before. */
interface Facts {
  readonly tags?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

const stateOfNumber = new Map<number, JobState>([
  [S.scheduled, 'scheduled'],
  [S.retryable, 'retryable'],
  [S.available, 'available'],
  [S.running, 'running'],
  [S.discarded, 'discarded'],
  [S.cancelled, 'cancelled'],
  [S.completed, 'completed'],
  [S.quarantined, 'quarantined'],
  [S.head, 'available'],
  [S.behind, 'available'],
  [S.holding, 'available'],
]);

export function stateOf(number: number): JobState {
  return stateOfNumber.get(number) as JobState;
}

export const ended: ReadonlySet<JobState> = new Set(endedStates);
export const waiting: ReadonlySet<JobState> = new Set(['scheduled', 'retryable', 'available']);

export class Jobs {
  readonly #registry: Registry;
  readonly #lines: Lines;
  readonly #notes: Notes;
  readonly #journal: Journal;
  readonly #find: Statement;
  readonly #own: Statement;
  readonly #move: Statement;
  readonly #complete: Statement;
  readonly #keep: Statement;
  readonly #unkeep: Statement;
  readonly #delete: Statement;
  readonly #mark: Statement;
  readonly #rewrite: Statement;
  readonly #dropOwn: Statement;
  readonly #dropUnique: Statement;
  readonly #setOver: Statement;
  readonly #dropEveryUnique: Statement;

  constructor(db: Connection, registry: Registry, lines: Lines, notes: Notes, journal: Journal) {
    this.#registry = registry;
    this.#lines = lines;
    this.#notes = notes;
    this.#journal = journal;
    this.#find = db.prepare(`SELECT ${jobColumns} FROM millrace_jobs WHERE number = ?`);
    this.#own = db.prepare('SELECT job FROM millrace_ids WHERE id = ?');
    this.#move = db.prepare(
      `UPDATE millrace_jobs SET state = ?, server = NULL, key = ?, run_at = ?, attempt = ?, crashes = ?, major = ?,
         minor = ?, special = ?, errors = ?, result = NULL WHERE number = ?`,
    );
    this.#complete = db.prepare(
      `UPDATE millrace_jobs SET state = ${S.completed}, server = NULL, major = ?, special = ?, result = ?
         WHERE number = ?`,
    );
    this.#keep = db.prepare('INSERT INTO millrace_kept (at, job) VALUES (?, ?)');
    this.#unkeep = db.prepare('DELETE FROM millrace_kept WHERE at = ? AND job = ?');
    this.#delete = db.prepare('DELETE FROM millrace_jobs WHERE number = ?');
    this.#mark = db.prepare('UPDATE millrace_jobs SET special = ? WHERE number = ?');
    this.#rewrite = db.prepare(
      `UPDATE millrace_jobs SET payload = coalesce(?, payload), priority = ?, max_attempts = ?, run_at = ?, extras = ?,
         major = iif(state = ${S.head}, ?, major), minor = iif(state >= ${S.behind}, ?, minor) WHERE number = ?`,
    );
    this.#dropOwn = db.prepare('DELETE FROM millrace_ids WHERE id = ?');
    this.#dropUnique = db.prepare('DELETE FROM millrace_uniques WHERE job = ? AND coalesce(until <= ?, 1)');
    this.#setOver = db.prepare('UPDATE millrace_uniques SET over = ? WHERE job = ?');
    this.#dropEveryUnique = db.prepare('DELETE FROM millrace_uniques WHERE job = ?');
  }

  find(number: number): JobRow | undefined {
    return this.#find.get(number) as JobRow | undefined;
  }

  /** The number of a job; -1: nobody's. */
  resolve(ref: Ref): number {
    if (typeof ref === 'number') return ref;
    return (this.#own.get(ref) as { job: number } | undefined)?.job ?? -1;
  }

  queueOf(job: JobRow): QueueRow {
    return this.#registry.queueById(job.queue);
  }

  /** Takes a job from its state to another one, and settles what follows. Not for `running`, nor for `completed`. */
  move(job: JobRow, to: Exclude<JobState, 'running' | 'completed'>, now: number, change: Change = {}): void {
    const { stopped = false, runAt = job.run_at, attempt = job.attempt, crashes = job.crashes, errors } = change;
    const isEnded = ended.has(to);
    this.#count(job, to);
    if (has(job, special.ordered)) this.#notes.withdraw(job.number);
    const key = this.#revive(job, isEnded);
    const at = { queue: job.queue, key: key ?? 0, number: job.number, state: S[to], stopped };
    const state = key === null ? S[to] : this.#lines.step(keyedOf(job), at);
    const bits = ((job.special ?? 0) & ~special.ordered & ~special.stopped) | (stopped ? special.stopped : 0);
    const history = errors ? JSON.stringify(errors) : job.errors;
    const [major, minor] = isEnded ? [now, null] : state >= S.behind ? [key, job.priority] : [null, null];
    this.#move.run(state, key, runAt, attempt, crashes, major, minor, bits || null, history, job.number);
    if (has(job, special.unique)) this.#setOver.run(Number(isEnded), job.number);
    if (isEnded) this.#registry.tell('news');
  }

  /** A running job is done: it is removed, or kept with its result if that was asked for. */
  complete(job: JobRow, result: Uint8Array | undefined, now: number): void {
    const queue = this.#count(job, 'completed');
    this.record(job, 'completed', now);
    if (!has(job, special.kept)) {
      this.#erase(job, now, false);
      return;
    }
    if (has(job, special.ordered)) this.#notes.withdraw(job.number);
    if (has(job, special.keyed)) this.#lines.step(keyedOf(job), undefined);
    if (has(job, special.unique)) this.#setOver.run(1, job.number);
    this.#complete.run(now, (job.special ?? 0) & ~special.ordered, result ?? null, job.number);
    this.#keep.run(keptUntil(job, now), job.number);
    queue.add('kept', 1);
    this.#registry.tell('news');
  }

  /** Removes a job that is not running. `wholly`: without the trace that a unique rule's period would leave. */
  remove(job: JobRow, now: number, wholly: boolean): void {
    this.#count(job, undefined);
    this.#erase(job, now, wholly);
  }

  /** Ends a job from outside, after `before`, which is its own history. */
  stop(
    job: JobRow,
    to: 'cancelled' | 'discarded',
    reason: string,
    now: number,
    before: { readonly crashes?: number; readonly errors?: readonly AttemptError[] } = {},
  ): void {
    const { crashes = job.crashes, errors = [] } = before;
    const ending = { attempt: job.attempt, at: now, message: reason };
    this.record(job, to, now, reason);
    this.move(job, to, now, { crashes, errors: withError(job, ...errors, ending) });
  }

  /** A waiting job is due. What it holds it keeps. */
  promote(number: number, now: number): void {
    const job = this.find(number) as JobRow;
    this.move(job, 'available', now, { stopped: has(job, special.stopped) });
  }

  /** Gives a waiting job another content or time. */
  rewrite(job: JobRow, content: Content, now: number): void {
    const { payload, priority = job.priority, maxAttempts = job.max_attempts, runAt, facts } = content;
    const extras = facts ? withFacts(job.extras, facts) : job.extras;
    this.#rewrite.run(
      payload ?? null,
      priority,
      maxAttempts,
      runAt ?? job.run_at,
      extras,
      priority,
      priority,
      job.number,
    );
    const state = stateOf(job.state);
    const later = state === 'retryable' ? state : 'scheduled';
    const to = runAt === undefined ? state : runAt > now ? later : 'available';
    const changed = { ...job, priority, extras };
    if (to === state) this.#lines.touch(job);
    else
      this.move(changed, to as 'scheduled', now, {
        ...(runAt !== undefined && { runAt }),
        stopped: has(job, special.stopped),
      });
    this.queueOf(job).woken = true; // a `nextAt` may have moved
  }

  /** Adds to what belongs to the job. */
  mark(job: Pick<JobRow, 'number' | 'special'>, bit: number): void {
    if (!has(job, bit)) this.#mark.run((job.special ?? 0) | bit, job.number);
  }

  record(job: JobRow, kind: JobEventKind, now: number, text?: string): void {
    this.#journal.record(this.queueOf(job), job, kind, now, text);
  }

  #erase(job: JobRow, now: number, wholly: boolean): void {
    const { number, extras } = job;
    if (has(job, special.keyed)) this.#lines.step(keyedOf(job), undefined);
    if (has(job, special.ordered)) this.#notes.withdraw(number);
    if (has(job, special.noted)) this.#notes.drop(number);
    if (has(job, special.own)) this.#dropOwn.run((JSON.parse(extras as string) as Extras).id as string);
    if (has(job, special.unique)) {
      if (wholly) this.#dropEveryUnique.run(number);
      else {
        this.#dropUnique.run(number, now);
        this.#setOver.run(1, number);
      }
    }
    this.#delete.run(number);
  }

  /** Completed jobs stay counted for ever. */
  #count(job: JobRow, to: JobState | undefined): QueueRow {
    const queue = this.queueOf(job);
    const from = stateOf(job.state);
    if (from === 'completed') {
      queue.add('kept', -1);
      this.#unkeep.run(keptUntil(job, job.major as number), job.number);
    } else queue.change(from, -1);
    if (to) queue.change(to, 1);
    return queue;
  }

  /** The job's key; made again when it was dropped while the job was not waiting for anything. */
  #revive(job: JobRow, isEnded: boolean): number | null {
    if (job.key === null || isEnded || !ended.has(stateOf(job.state)) || has(job, special.stopped)) return job.key;
    const { key } = JSON.parse(job.extras as string) as Extras;
    return this.#lines.keyId(this.queueOf(job), key as string);
  }
}

/** A job's number, or the id that its caller gave. */
export function refOf(number: number, extras: string | null): Ref {
  return (extras === null ? undefined : (JSON.parse(extras) as Extras).id) ?? number;
}

export function has(job: Pick<JobRow, 'special'>, bit: number): boolean {
  return ((job.special ?? 0) & bit) !== 0;
}

function withFacts(before: string | null, facts: Facts): string | null {
  const text = JSON.stringify({ ...(before === null ? {} : (JSON.parse(before) as Extras)), ...facts });
  return text === '{}' ? null : text;
}

/** Until when a completed job was to be kept. */
function keptUntil({ extras }: JobRow, endedAt: number): number {
  return endedAt + Math.ceil((JSON.parse(extras as string) as Extras).keepFor as number);
}

/** The history with one more error, the oldest falling out. */
export function withError(job: Pick<JobRow, 'errors'>, ...more: readonly AttemptError[]): AttemptError[] {
  const before = job.errors === null ? [] : (JSON.parse(job.errors) as AttemptError[]);
  return [...before, ...more].slice(-maxErrors);
}

function keyedOf(job: JobRow): KeyedJob {
  return { ...job, key: job.key as number, stopped: has(job, special.stopped) };
}
