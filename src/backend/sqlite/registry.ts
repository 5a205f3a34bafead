/**
 * The small tables, kept in memory: queues with their counts, job names, the next job number.
 *
 * True inside a transaction only. `refresh` begins one: it reads again what another process has changed (SQLite's
 * data_version tells, for the price of one read). `save` ends one: it writes each changed row once, however many jobs moved.
 * After a rollback `reset` forgets everything.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { JobState } from '../backend.ts';
import { stateNumbers } from './wire.ts';

export const states = Object.keys(stateNumbers) as readonly JobState[];

export class QueueRow {
  readonly id: number;
  readonly name: string;
  paused: boolean;
  readonly counts: Record<JobState, number>;
  changed = false;
  /** Something may have become available, or be due earlier, since the last commit. */
  woken = false;

  constructor(row: Readonly<Record<string, unknown>>) {
    this.id = row.id as number;
    this.name = row.name as string;
    this.paused = row.paused === 1;
    this.counts = Object.fromEntries(states.map((state) => [state, row[state] as number])) as Record<JobState, number>;
  }

  get waiting(): number {
    return this.counts.scheduled + this.counts.available + this.counts.retryable;
  }

  /** `count` jobs more in `state`, or fewer. */
  change(state: JobState, count: number): void {
    if (count === 0) return;
    this.counts[state] += count;
    this.changed = true;
    if (count > 0 && (state === 'available' || state === 'scheduled' || state === 'retryable')) this.woken = true;
  }
}

export class Registry {
  readonly #version: StatementSync;
  readonly #readQueues: StatementSync;
  readonly #addQueue: StatementSync;
  readonly #saveQueue: StatementSync;
  readonly #readNames: StatementSync;
  readonly #addName: StatementSync;
  readonly #readNext: StatementSync;
  readonly #saveNext: StatementSync;

  #seen: unknown;
  #fresh = false;
  #queues = new Map<string, QueueRow>();
  #queuesById = new Map<number, QueueRow>();
  #names = new Map<string, number>();
  #namesById = new Map<number, string>();
  #savedNext = 0;
  /** The number of the next job. */
  next = 0;

  constructor(db: DatabaseSync) {
    this.#version = db.prepare('PRAGMA data_version');
    this.#readQueues = db.prepare('SELECT * FROM queues');
    this.#addQueue = db.prepare('INSERT INTO queues (name) VALUES (?) RETURNING *');
    const columns = ['paused', ...states].map((column) => `${column} = ?`).join(', ');
    this.#saveQueue = db.prepare(`UPDATE queues SET ${columns} WHERE id = ?`);
    this.#readNames = db.prepare('SELECT id, name FROM names');
    this.#addName = db.prepare('INSERT INTO names (name) VALUES (?)');
    this.#readNext = db.prepare('SELECT next_job AS next FROM store');
    this.#saveNext = db.prepare('UPDATE store SET next_job = ?');
  }

  /** True when another connection has committed since the last `refresh`. */
  isStale(): boolean {
    return (this.#version.get() as { data_version: number }).data_version !== this.#seen;
  }

  refresh(): void {
    if (this.#fresh && !this.isStale()) return;
    const before = this.#queuesById;
    this.#queues = new Map();
    this.#queuesById = new Map();
    for (const row of this.#readQueues.all()) this.#keep(new QueueRow(row));
    for (const queue of this.#queues.values()) queue.woken = hasMore(before.get(queue.id), queue);
    this.#names = new Map();
    this.#namesById = new Map();
    for (const row of this.#readNames.all() as { id: number; name: string }[]) this.#keepName(row.id, row.name);
    this.next = this.#savedNext = (this.#readNext.get() as { next: number }).next;
    this.#seen = (this.#version.get() as { data_version: number }).data_version;
    this.#fresh = true;
  }

  /** The next `refresh` reads everything again. */
  reset(): void {
    this.#fresh = false;
  }

  save(): void {
    for (const queue of this.#queues.values()) {
      if (!queue.changed) continue;
      this.#saveQueue.run(Number(queue.paused), ...states.map((state) => queue.counts[state]), queue.id);
      queue.changed = false;
    }
    if (this.next !== this.#savedNext) this.#saveNext.run(this.next);
    this.#savedNext = this.next;
  }

  /** The queues that were woken since the last call. */
  takeWoken(): string[] {
    const woken: string[] = [];
    for (const queue of this.#queues.values()) {
      if (queue.woken) woken.push(queue.name);
      queue.woken = false;
    }
    return woken;
  }

  get queues(): readonly QueueRow[] {
    return [...this.#queues.values()];
  }

  findQueue(name: string): QueueRow | undefined {
    return this.#queues.get(name);
  }

  /** Makes it when it is new. */
  queue(name: string): QueueRow {
    return this.#queues.get(name) ?? this.#keep(new QueueRow(this.#addQueue.get(name) as Record<string, unknown>));
  }

  queueById(id: number): QueueRow {
    return this.#queuesById.get(id) as QueueRow;
  }

  findName(name: string): number | undefined {
    return this.#names.get(name);
  }

  /** The number of a job name; made when it is new. */
  nameId(name: string): number {
    return this.#names.get(name) ?? this.#keepName(Number(this.#addName.run(name).lastInsertRowid), name);
  }

  nameById(id: number): string {
    return this.#namesById.get(id) as string;
  }

  #keep(queue: QueueRow): QueueRow {
    this.#queues.set(queue.name, queue);
    this.#queuesById.set(queue.id, queue);
    return queue;
  }

  #keepName(id: number, name: string): number {
    this.#names.set(name, id);
    this.#namesById.set(id, name);
    return id;
  }
}

/** Whether another process left work in `now` that a fetcher here may not know of. */
function hasMore(before: QueueRow | undefined, now: QueueRow): boolean {
  const waitsForTime = ({ counts }: QueueRow) => counts.scheduled + counts.retryable;
  if (before?.woken) return true;
  return now.counts.available > 0 || waitsForTime(now) > (before ? waitsForTime(before) : 0);
}
