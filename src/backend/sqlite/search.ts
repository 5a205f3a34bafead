/**
 * Finding jobs. A look goes through the jobs in order of arrival, at most `scanLimit` of them, and says where to go on.
 *
 * Ended and running jobs are found by index however many others wait, at the price of a look at the numbers of all that are
 * kept; whatever else narrows a search is compared job by job, the payload last.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { assertOption } from '../../errors.ts';
import type { JobState } from '../../job/state.ts';
import type { AttemptError } from '../backend.ts';
import { type Condition, type Page, scanLimit } from '../filter.ts';
import { holds, parsed } from '../memory/payload.ts';
import { ended, has, type JobRow, type Jobs, jobColumns, refOf, stateOf } from './jobs.ts';
import type { Notes } from './notes.ts';
import type { Registry } from './registry.ts';
import { type Answers, type Extras, stateNumbers as S, special, type WireFilter, type WireRecord } from './wire.ts';

/** Rows that are read at once. */
const CHUNK = 256;

/** What most filters look at. */
interface Seen {
  readonly number: number;
  readonly state: number;
  readonly queue: number;
  readonly name: number;
  readonly added_at: number;
  readonly errors: string | null;
  readonly extras: string | null;
}

type Full = JobRow & {
  readonly payload: Uint8Array;
  readonly result: Uint8Array | null;
  readonly holder: string | null;
};

export class Search {
  readonly #registry: Registry;
  readonly #jobs: Jobs;
  readonly #notes: Notes;
  readonly #next: StatementSync;
  readonly #one: StatementSync;
  readonly #payload: StatementSync;
  readonly #full: StatementSync;
  readonly #running: StatementSync;
  readonly #ended: StatementSync;

  constructor(db: DatabaseSync, registry: Registry, jobs: Jobs, notes: Notes) {
    this.#registry = registry;
    this.#jobs = jobs;
    this.#notes = notes;
    const seen = 'SELECT number, state, queue, name, added_at, errors, extras FROM millrace_jobs';
    this.#next = db.prepare(`${seen} WHERE number > ? ORDER BY number LIMIT ${CHUNK}`);
    this.#one = db.prepare(`${seen} WHERE number = ?`);
    this.#payload = db.prepare('SELECT payload FROM millrace_jobs WHERE number = ?');
    this.#full = db.prepare(
      `SELECT ${jobColumns}, payload, result,
           (SELECT millrace_servers.name FROM millrace_servers WHERE millrace_servers.id = server) AS holder
         FROM millrace_jobs WHERE number = ?`,
    );
    // The conditions of the partial indexes are spelled as there, or SQLite would not use them.
    const some = `number > ? ORDER BY number LIMIT ${scanLimit + 1}`;
    const from = 'SELECT number FROM millrace_jobs INDEXED BY';
    this.#running = db.prepare(`${from} millrace_held WHERE state = 5 AND ${some}`);
    this.#ended = db.prepare(`${from} millrace_other WHERE state >= 6 AND queue = ? AND state = ? AND ${some}`);
  }

  list(filter: WireFilter, { after, limit = 100 }: Page): Answers['list'] {
    const jobs: WireRecord[] = [];
    const next = this.scan(filter, { limit, ...(after !== undefined && { after }) }, (number) => {
      jobs.push(this.#toRecord(this.#full.get(number) as unknown as Full));
      return true;
    });
    return next === undefined ? { jobs } : { jobs, next };
  }

  /**
   * Shows every job that matches to `visit`, which says whether it counts, until `limit` have counted or enough were gone
   * through. Returns where to go on.
   */
  scan(filter: WireFilter, { after, limit }: Page, visit: (number: number) => boolean): string | undefined {
    let last = toCursor(after);
    let gone = 0;
    let counted = 0;
    const matches = this.#matcher(filter);
    for (const job of this.#candidates(filter, last)) {
      if (counted === limit || gone === scanLimit) return String(last);
      gone++;
      last = job.number;
      if (matches(job) && visit(job.number)) counted++;
    }
    return undefined;
  }

  /** Oldest first, those behind `after`. Those that were changed meanwhile are seen as they are then. */
  *#candidates({ refs, queue, states }: WireFilter, after: number): Generator<Seen> {
    if (refs || states?.every((state) => state === 'running' || ended.has(state))) {
      for (const number of refs ? this.#numbersOf(refs) : this.#numbersIn(states ?? [], queue, after)) {
        const job = number > after ? (this.#one.get(number) as unknown as Seen | undefined) : undefined;
        if (job) yield job;
      }
      return;
    }
    for (let last = after; ; ) {
      const jobs = this.#next.all(last) as unknown as Seen[];
      yield* jobs;
      if (jobs.length < CHUNK) return;
      last = (jobs.at(-1) as Seen).number;
    }
  }

  #numbersOf(refs: NonNullable<WireFilter['refs']>): number[] {
    const numbers = new Set(refs.map((ref) => this.#jobs.resolve(ref)));
    return [...numbers].sort((a, b) => a - b);
  }

  /** Of jobs that run or have ended, as many as one look goes through; of one queue, or of all. */
  #numbersIn(states: readonly JobState[], queue: string | undefined, after: number): number[] {
    const found: { number: number }[] = [];
    for (const state of new Set(states)) {
      if (state === 'running') found.push(...(this.#running.all(after) as { number: number }[]));
      else {
        for (const { id, name } of this.#registry.queues) {
          if (queue !== undefined && name !== queue) continue;
          found.push(...(this.#ended.all(id, S[state], after) as { number: number }[]));
        }
      }
    }
    const numbers = found.map(({ number }) => number).sort((a, b) => a - b);
    return numbers.slice(0, scanLimit + 1);
  }

  #matcher({ queue, name, states, key, tag, addedFrom, addedBefore, error, where = [] }: WireFilter) {
    const queueId = queue === undefined ? undefined : (this.#registry.findQueue(queue)?.id ?? -1);
    const nameId = name === undefined ? undefined : (this.#registry.findName(name) ?? -1);
    const wanted = states && new Set(states);
    const text = error?.toLowerCase();
    return (job: Seen): boolean => {
      if (queueId !== undefined && job.queue !== queueId) return false;
      if (nameId !== undefined && job.name !== nameId) return false;
      if (wanted && !wanted.has(stateOf(job.state))) return false;
      if (addedFrom !== undefined && job.added_at < addedFrom) return false;
      if (addedBefore !== undefined && job.added_at >= addedBefore) return false;
      if (key !== undefined && extrasOf(job).key !== key) return false;
      if (tag !== undefined && !extrasOf(job).tags?.includes(tag)) return false;
      if (text !== undefined && !latestError(job)?.toLowerCase().includes(text)) return false;
      return where.length === 0 || this.#payloadMatches(job, where);
    };
  }

  #payloadMatches({ number }: Seen, where: readonly Condition[]): boolean {
    const value = parsed((this.#payload.get(number) as { payload: Uint8Array }).payload);
    return value !== undefined && where.every((condition) => holds(condition, value.json));
  }

  #toRecord(row: Full): WireRecord {
    const { number, started_at: startedAt, major: endedAt, holder: server, result, extras } = row;
    const { id: _, ...more } = extrasOf(row);
    return {
      ref: refOf(number, extras),
      queue: this.#registry.queueById(row.queue).name,
      name: this.#registry.nameById(row.name),
      state: stateOf(row.state),
      payload: row.payload,
      priority: row.priority,
      attempt: row.attempt,
      maxAttempts: row.max_attempts,
      crashes: row.crashes,
      addedAt: row.added_at,
      runAt: row.run_at,
      errors: JSON.parse(row.errors ?? '[]') as AttemptError[],
      ...more,
      ...(startedAt !== null && row.claim > 0 && { startedAt }),
      ...(endedAt !== null && ended.has(stateOf(row.state)) && { endedAt }),
      ...(server !== null && { server }),
      ...(result !== null && { result }),
      ...(has(row, special.noted) && this.#notes.read(number)),
    };
  }
}

function extrasOf({ extras }: { readonly extras: string | null }): Extras {
  return extras === null ? {} : (JSON.parse(extras) as Extras);
}

function latestError({ errors }: Seen): string | undefined {
  return errors === null ? undefined : (JSON.parse(errors) as AttemptError[]).at(-1)?.message;
}

/** The number of the last job of the page before. */
function toCursor(after: string | undefined): number {
  const number = after === undefined ? -1 : /^\d{1,16}$/.test(after) ? Number(after) : Number.NaN;
  assertOption('after', after, Number.isSafeInteger(number), 'the `next` of a page');
  return number;
}
