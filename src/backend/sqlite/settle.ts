/**
 * How running jobs end, and what they report. Runs inside a transaction that is the caller's.
 *
 * Plain jobs that are done leave with one delete for all of them; plain ones that are not, with one update each. What
 * anything else belongs to goes through `jobs.ts`.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { JobState } from '../../job/state.ts';
import { maxErrors, type SettleResult } from '../backend.ts';
import { has, type JobRow, type Jobs, withError } from './jobs.ts';
import type { Journal } from './journal.ts';
import type { Notes } from './notes.ts';
import type { Registry } from './registry.ts';
import type { Servers } from './servers.ts';
import {
  type Detail,
  type EndingKind,
  endingKinds,
  stateNumbers as S,
  type SettleRequest,
  special,
  type WireReport,
} from './wire.ts';

/** number, claim, queue, special */
type HeldRow = [number, number, number, number | null];

type Next = Exclude<JobState, 'running' | 'completed'>;

export class Settler {
  readonly #registry: Registry;
  readonly #servers: Servers;
  readonly #jobs: Jobs;
  readonly #notes: Notes;
  readonly #journal: Journal;
  readonly #held: StatementSync;
  readonly #delete: StatementSync;
  readonly #end: StatementSync;

  constructor(db: DatabaseSync, registry: Registry, servers: Servers, jobs: Jobs, notes: Notes, journal: Journal) {
    this.#registry = registry;
    this.#servers = servers;
    this.#jobs = jobs;
    this.#notes = notes;
    this.#journal = journal;
    this.#held = db.prepare(
      `SELECT number, claim, queue, special FROM millrace_jobs
         WHERE number IN (SELECT value FROM json_each(?)) AND state = ${S.running} AND server = ?`,
    );
    this.#held.setReturnArrays(true);
    this.#delete = db.prepare('DELETE FROM millrace_jobs WHERE number IN (SELECT value FROM json_each(?))');
    this.#end = db.prepare(
      `UPDATE millrace_jobs SET state = ?, server = NULL, run_at = coalesce(?, run_at), attempt = attempt + ?,
         major = ?, errors = ${appended('?')} WHERE number = ?`,
    );
  }

  /** 1 = taken, 0 = stale, per outcome. */
  settle({ now, server, numbers, claims, kinds, details, own, results }: SettleRequest): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(numbers.length);
    for (const [at, id] of own ?? []) numbers[at] = this.#jobs.resolve(id);
    const held = this.#heldBy(server, Array.from(numbers));
    if (held.size === 0) return taken;
    const kept = results && new Map(results);
    const completed: number[] = [];
    let detail = 0;
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i] as number;
      const kind = endingKinds[kinds[i] as number] as EndingKind;
      const more = kind === 'completed' || kind === 'returned' ? NO_DETAIL : (details[detail++] as Detail);
      const job = held.get(number);
      if (!job || job[1] !== claims[i]) continue;
      held.delete(number); // the same job twice in one call: the second is stale
      taken[i] = 1;
      const queue = this.#registry.queueById(job[2]);
      if (job[3] !== null || queue.isWatched) {
        this.#endSpecial(this.#jobs.find(number) as JobRow, kind, more, kept?.get(i), now);
        continue;
      }
      queue.change('running', -1);
      if (kind === 'completed') {
        completed.push(number);
        queue.change('completed', 1);
        continue;
      }
      const state = nextState(kind, more);
      const ended = state === 'discarded' || state === 'cancelled';
      const text = more.error && JSON.stringify(more.error);
      this.#end.run(S[state], more.at, Number(state === 'retryable'), ended ? now : null, text, text, number);
      queue.change(state, 1);
      if (ended) this.#registry.tell('news');
    }
    if (completed.length > 0) this.#delete.run(JSON.stringify(completed));
    return taken;
  }

  report(server: string, reports: readonly WireReport[], now: number): SettleResult[] {
    const numbers = reports.map(({ ref }) => this.#jobs.resolve(ref));
    const held = this.#heldBy(server, numbers);
    return reports.map(({ claim, progress, log }, i) => {
      const number = numbers[i] as number;
      const job = held.get(number);
      if (!job || job[1] !== claim) return 'stale';
      if (progress === undefined && log === undefined) return 'taken';
      this.#jobs.mark({ number, special: job[3] }, special.noted);
      job[3] = (job[3] ?? 0) | special.noted;
      this.#notes.add(number, progress, log);
      const queue = this.#registry.queueById(job[2]);
      if (progress !== undefined && queue.isWatched) {
        this.#journal.record(queue, this.#jobs.find(number) as JobRow, 'progress', now, progress);
      }
      return 'taken';
    });
  }

  #heldBy(server: string, numbers: readonly number[]): Map<number, HeldRow> {
    const holder = this.#servers.find(server);
    if (holder === undefined) return new Map();
    const rows = this.#held.all(JSON.stringify(numbers), holder) as unknown as HeldRow[];
    return new Map(rows.map((row) => [row[0], row]));
  }

  #endSpecial(job: JobRow, kind: EndingKind, more: Detail, result: Uint8Array | undefined, now: number): void {
    if (kind === 'completed') {
      this.#jobs.complete(job, result, now);
      return;
    }
    const state = nextState(kind, more);
    const isOver = state === 'discarded' || state === 'cancelled';
    const reason = !isOver && has(job, special.ordered) ? this.#notes.reason(job.number) : undefined;
    if (reason !== undefined) {
      // It was asked to stop while it ended: another run is what nobody wants.
      this.#jobs.stop(job, 'cancelled', reason, now, more.error ? { errors: [more.error] } : {});
      return;
    }
    this.#jobs.record(job, kind === 'failed' && state === 'discarded' ? state : kind, now, more.error?.message);
    this.#jobs.move(job, state, now, {
      ...(more.at !== null && { runAt: more.at }),
      ...(state === 'retryable' && { attempt: job.attempt + 1 }),
      ...(more.error && { errors: withError(job, more.error) }),
      stopped: kind === 'failed' || kind === 'discarded' || kind === 'snoozed',
    });
  }
}

const NO_DETAIL: Detail = { at: null, error: null };

/** Where an ending leads, other than to completion. */
function nextState(kind: Exclude<EndingKind, 'completed'>, { at }: Detail): Next {
  return kind === 'failed' && at !== null ? 'retryable' : nextStates[kind];
}

const nextStates = {
  failed: 'discarded',
  discarded: 'discarded',
  cancelled: 'cancelled',
  snoozed: 'scheduled',
  returned: 'available',
} as const satisfies Record<Exclude<EndingKind, 'completed'>, Next>;

/** SQL: the history with one more error, the oldest falling out; unchanged when there is none. `error` stands in it twice. */
function appended(error: string): string {
  const history = `coalesce(errors, '[]')`;
  const room = `CASE WHEN json_array_length(${history}) >= ${maxErrors} THEN json_remove(errors, '$[0]') ELSE ${history} END`;
  return `CASE WHEN ${error} IS NULL THEN errors ELSE json_insert(${room}, '$[#]', json(${error})) END`;
}
