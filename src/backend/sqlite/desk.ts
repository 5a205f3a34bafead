/**
 * Looking at jobs and acting on them from outside. Not the hot path: a filter that names no ids reads the whole table.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { AttemptError, JobRecord, JobState, QueueCounts } from '../backend.ts';
import { type Registry, states } from './registry.ts';
import { appended } from './store.ts';
import { stateNumbers as S, type WireFilter } from './wire.ts';

type Bind = string | number | null;

interface JobRow {
  readonly number: number;
  readonly state: number;
  readonly server: string | null;
  readonly queue: number;
  readonly name: number;
  readonly priority: number;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly crashes: number;
  readonly run_at: number;
  readonly added_at: number;
  readonly ended_at: number | null;
  readonly errors: string | null;
  readonly payload: Uint8Array;
}

/** A JobRecord that has its number for an id. */
export type NumberedRecord = Omit<JobRecord, 'id'> & { readonly number: number };

const WAITING: readonly JobState[] = ['scheduled', 'retryable', 'available'];
const ENDED: readonly JobState[] = ['discarded', 'cancelled'];

export class Desk {
  readonly #db: DatabaseSync;
  readonly #registry: Registry;

  constructor(db: DatabaseSync, registry: Registry) {
    this.#db = db;
    this.#registry = registry;
  }

  counts(): QueueCounts[] {
    return this.#registry.queues.map(({ name, paused, counts }) => ({ queue: name, paused, ...counts }));
  }

  pause(queue: string, paused: boolean): void {
    const row = this.#registry.queue(queue);
    row.paused = paused;
    row.changed = true;
    if (!paused) row.woken = true;
  }

  list(filter: WireFilter, limit: number): NumberedRecord[] {
    const { where, values } = this.#where(filter, states);
    const sql = `SELECT jobs.*, (SELECT servers.name FROM servers WHERE servers.id = jobs.server) AS server
      FROM jobs WHERE ${where} ORDER BY number LIMIT ?`;
    const rows = this.#db.prepare(sql).all(...values, limit) as unknown as JobRow[];
    return rows.map((row) => this.#toRecord(row));
  }

  retry(filter: WireFilter, now: number): number {
    const over = `state >= ${S.discarded}`;
    const set = `state = ${S.available}, run_at = ?, ended_at = NULL,
      attempt = iif(${over}, 1, attempt), crashes = iif(${over}, 0, crashes)`;
    return this.#update(filter, ['scheduled', 'retryable', ...ENDED], 'available', set, [now]);
  }

  cancel(filter: WireFilter, reason: string, now: number): number {
    const error = `json_object('attempt', attempt, 'at', ?, 'message', ?)`;
    const set = `state = ${S.cancelled}, ended_at = ?, errors = ${appended(error)}`;
    return this.#update(filter, WAITING, 'cancelled', set, [now, now, reason, now, reason]);
  }

  remove(filter: WireFilter): number {
    const { where, values } = this.#where(filter, [...WAITING, ...ENDED]);
    const count = this.#count(where, values);
    if (count > 0) this.#db.prepare(`DELETE FROM jobs WHERE ${where}`).run(...values);
    return count;
  }

  #update(filter: WireFilter, from: readonly JobState[], to: JobState, set: string, bind: readonly Bind[]): number {
    const { where, values } = this.#where(filter, from);
    const count = this.#count(where, values, to);
    if (count > 0) this.#db.prepare(`UPDATE jobs SET ${set} WHERE ${where}`).run(...bind, ...values);
    return count;
  }

  /** How many jobs match; in the queues' counts they leave their states, for `to` if there is one. */
  #count(where: string, values: readonly Bind[], to?: JobState): number {
    const sql = `SELECT queue, state, count(*) AS jobs FROM jobs WHERE ${where} GROUP BY queue, state`;
    let total = 0;
    for (const row of this.#db.prepare(sql).all(...values) as { queue: number; state: number; jobs: number }[]) {
      const queue = this.#registry.queueById(row.queue);
      queue.change(stateOf(row.state), -row.jobs);
      if (to) queue.change(to, row.jobs);
      total += row.jobs;
    }
    return total;
  }

  /** SQL for a filter, within `possible` states. An unknown queue or name matches nothing: its number is that of none. */
  #where(filter: WireFilter, possible: readonly JobState[]): { where: string; values: Bind[] } {
    const wanted = possible.filter((state) => filter.states?.includes(state) ?? true).map((state) => S[state]);
    const parts = [`state IN (${wanted.join(', ')})`];
    const values: Bind[] = [];
    const add = (part: string, value: Bind) => {
      parts.push(part);
      values.push(value);
    };
    if (filter.numbers) add('number IN (SELECT value FROM json_each(?))', JSON.stringify(filter.numbers));
    if (filter.queue !== undefined) add('queue = ?', this.#registry.findQueue(filter.queue)?.id ?? -1);
    if (filter.name !== undefined) add('jobs.name = ?', this.#registry.findName(filter.name) ?? -1);
    return { where: parts.join(' AND '), values };
  }

  #toRecord(row: JobRow): NumberedRecord {
    const { number, priority, attempt, crashes, payload, server, ended_at: endedAt } = row;
    return {
      number,
      queue: this.#registry.queueById(row.queue).name,
      name: this.#registry.nameById(row.name),
      state: stateOf(row.state),
      payload,
      priority,
      attempt,
      maxAttempts: row.max_attempts,
      crashes,
      addedAt: row.added_at,
      runAt: row.run_at,
      errors: JSON.parse(row.errors ?? '[]') as AttemptError[],
      ...(endedAt !== null && { endedAt }),
      ...(server !== null && { server }),
    };
  }
}

function stateOf(number: number): JobState {
  return states.find((state) => S[state] === number) as JobState;
}
