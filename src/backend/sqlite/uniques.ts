/**
 * One job for many adds: which jobs earlier adds left under a unique key, and whether one is still in the way.
 *
 * The states of those jobs decide, so there is nothing that a crash could leave locked; the entries are only a way to find
 * them. A look costs O(jobs of the key that have not ended), nearly always one; those that have are gone through only by a
 * rule that names an ended state.
 */
import type { Unique } from '../backend.ts';
import type { Connection, Statement } from './connection.ts';
import { ended, type JobRow, type Jobs, stateOf } from './jobs.ts';
import type { Ref } from './wire.ts';

/** A job that is in the way; `job` is absent when it left no record and only the period counts. */
export interface Found {
  readonly ref: Ref;
  readonly job: JobRow | undefined;
}

interface Row {
  readonly number: number;
  readonly own: string | null;
  readonly added_at: number;
}

export class Uniques {
  readonly #jobs: Jobs;
  readonly #live: Statement;
  readonly #over: Statement;
  readonly #put: Statement;
  readonly #past: Statement;
  readonly #drop: Statement;
  readonly #keep: Statement;

  constructor(db: Connection, jobs: Jobs) {
    this.#jobs = jobs;
    const of = (over: 0 | 1) =>
      `SELECT job AS number, own, added_at FROM millrace_uniques WHERE queue = ? AND key = ? AND over = ${over}
         ORDER BY job DESC`;
    this.#live = db.prepare(of(0));
    this.#over = db.prepare(`${of(1)} LIMIT ?`);
    this.#put = db.prepare(
      'INSERT INTO millrace_uniques (queue, key, over, job, own, added_at, until) VALUES (?, ?, 0, ?, ?, ?, ?)',
    );
    this.#past = db.prepare(
      'SELECT job FROM millrace_uniques WHERE until IS NOT NULL AND until <= ? ORDER BY until LIMIT ?',
    );
    this.#drop = db.prepare('DELETE FROM millrace_uniques WHERE job = ?');
    this.#keep = db.prepare('UPDATE millrace_uniques SET until = NULL WHERE job = ?');
  }

  /** The latest job that is in the way. */
  find(queue: number, { key, states, period }: Unique, now: number): Found | undefined {
    const live = this.#live.all(queue, key) as Row[];
    // Of those that have ended the latest is the youngest: when its period is over, so are the others'.
    const some = states.some((state) => ended.has(state)) ? -1 : period === undefined ? 0 : 1;
    const over = some === 0 ? [] : (this.#over.all(queue, key, some) as Row[]);
    const rows = over.length === 0 ? live : [...live, ...over].sort((a, b) => b.number - a.number);
    for (const { number, own, added_at: addedAt } of rows) {
      const job = this.#jobs.find(number);
      const isYoung = period !== undefined && now < addedAt + period;
      if (isYoung || (job && states.includes(stateOf(job.state)))) return { ref: own ?? number, job };
    }
    return undefined;
  }

  put(queue: number, { key, period }: Unique, job: number, own: string | undefined, now: number): void {
    this.#put.run(queue, key, job, own ?? null, now, period === undefined ? null : now + Math.ceil(period));
  }

  /**
   * Forgets up to `limit` periods that are over; how many entries went. One whose job is still there stays, as that may be
   * in the way by its state, and goes with it.
   */
  forget(now: number, limit: number): number {
    let forgotten = 0;
    for (const { job } of this.#past.all(now, limit) as { job: number }[]) {
      const isKept = this.#jobs.find(job) !== undefined;
      (isKept ? this.#keep : this.#drop).run(job);
      if (!isKept) forgotten++;
    }
    return forgotten;
  }
}
