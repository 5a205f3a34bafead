/**
 * The small tables, kept in memory: queues with their counts and settings, job names, the next numbers.
 *
 * True inside a transaction only. `refresh` begins one: it reads again what another process has changed (SQLite's
 * data_version tells, for the price of one read). `save` ends one: it writes each changed row once, however many jobs moved.
 * After a rollback `reset` forgets everything.
 */
import type { JobState } from '../../job/state.ts';
import { jobStates } from '../../job/state.ts';
import { defaultSettings, type QueueSettings } from '../settings.ts';
import type { Connection, Statement, Value } from './connection.ts';
import type { Heard } from './wire.ts';

/** Columns of numbers, besides the counts. What they mean stands in the migration. */
const columns = ['kept', 'keyed', 'live', 'line', 'keys', 'recorded', 'virtual', 'finish', 'full_at'] as const;
type Column = (typeof columns)[number];

export class QueueRow {
  readonly id: number;
  readonly name: string;
  readonly counts: Record<JobState, number>;
  readonly #numbers: Record<Column, number>;
  #settings: QueueSettings;
  /** The same as JSON; null: the defaults. */
  #text: string | null;
  changed = false;
  /** Something may have become available, or be due earlier, since the last commit. */
  woken = false;

  /** @param before the same queue as it was known: settings that have not changed are not read again */
  constructor(row: Readonly<Record<string, Value>>, before?: QueueRow) {
    this.id = row.id as number;
    this.name = row.name as string;
    this.counts = pick(row, jobStates);
    this.#numbers = pick(row, columns);
    this.#text = row.settings as string | null;
    if (before && before.#text === this.#text) this.#settings = before.#settings;
    else this.#settings = { ...defaultSettings, ...(JSON.parse(this.#text ?? '{}') as Partial<QueueSettings>) };
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  set settings(settings: QueueSettings) {
    this.#settings = settings;
    this.#text = JSON.stringify(settings);
    this.changed = true;
    this.woken = true;
  }

  get waiting(): number {
    return this.counts.scheduled + this.counts.available + this.counts.retryable;
  }

  /** Whether each step of its jobs leaves an event. */
  get isWatched(): boolean {
    return this.#settings.events > 0;
  }

  /** Available jobs without a key. */
  get free(): number {
    return this.counts.available - this.#numbers.keyed;
  }

  read(column: Column): number {
    return this.#numbers[column];
  }

  write(column: Column, value: number): void {
    this.#numbers[column] = value;
    this.changed = true;
  }

  add(column: Column, count: number): void {
    if (count !== 0) this.write(column, this.#numbers[column] + count);
  }

  /** Whether a job without a key waits or runs. */
  get isFreeBusy(): boolean {
    return this.waiting + this.counts.running > this.#numbers.live;
  }

  /** `count` jobs more in `state`, or fewer. */
  change(state: JobState, count: number): void {
    if (count === 0) return;
    this.counts[state] += count;
    this.changed = true;
    const waits = state === 'available' || state === 'scheduled' || state === 'retryable';
    if (count > 0 ? waits : state === 'running' && this.#settings.concurrency !== null) this.woken = true;
  }

  /** In the order of `saveColumns`. */
  values(): Value[] {
    const counts = jobStates.map((state) => this.counts[state]);
    return [...counts, ...columns.map((column) => this.#numbers[column]), this.#text];
  }
}

const saveColumns = [...jobStates, ...columns, 'settings'];

/** Numbers that go up when something changed that other processes listen for. */
const stamps = ['orders', 'news', 'schedules'] as const;
type Stamp = (typeof stamps)[number];

interface Store {
  next_job: number;
  next_event: number;
  orders: number;
  news: number;
  schedules: number;
}

export class Registry {
  readonly #version: Statement;
  readonly #readQueues: Statement;
  readonly #addQueue: Statement;
  readonly #saveQueue: Statement;
  readonly #readNames: Statement;
  readonly #addName: Statement;
  readonly #readStore: Statement;
  readonly #saveStore: Statement;
  readonly #ordered: Statement;

  #seen: unknown;
  #fresh = false;
  #queues = new Map<string, QueueRow>();
  #queuesById = new Map<number, QueueRow>();
  #names = new Map<string, number>();
  #namesById = new Map<number, string>();
  #store: Store | undefined;
  #changed = false;
  #orders = new Set<string>();
  #heard = new Set<Stamp>();

  constructor(db: Connection) {
    this.#version = db.prepare('PRAGMA data_version');
    this.#readQueues = db.prepare('SELECT * FROM millrace_queues');
    this.#addQueue = db.prepare('INSERT INTO millrace_queues (name) VALUES (?) RETURNING *');
    const set = saveColumns.map((column) => `${column} = ?`).join(', ');
    this.#saveQueue = db.prepare(`UPDATE millrace_queues SET ${set} WHERE id = ?`);
    this.#readNames = db.prepare('SELECT id, name FROM millrace_names');
    this.#addName = db.prepare('INSERT INTO millrace_names (name) VALUES (?)');
    this.#readStore = db.prepare('SELECT next_job, next_event, orders, news, schedules FROM millrace_store');
    this.#saveStore = db.prepare(
      `UPDATE millrace_store SET next_job = ?, next_event = ?, orders = ?, news = ?, schedules = ?`,
    );
    this.#ordered = db.prepare(
      `SELECT DISTINCT millrace_servers.name FROM millrace_orders
         JOIN millrace_servers ON millrace_servers.id = millrace_orders.server`,
    );
  }

  /** From here on what others tell is news. Queues are not looked at: who has just come should hear what waits. */
  attend(): void {
    this.#store = this.#readStore.get() as Store;
  }

  /** True when another connection has committed since the last `refresh`. */
  isStale(): boolean {
    return this.#readVersion() !== this.#seen;
  }

  refresh(): void {
    if (this.#fresh && !this.isStale()) return;
    const before = this.#queuesById;
    this.#queues = new Map();
    this.#queuesById = new Map();
    for (const row of this.#readQueues.all() as Record<string, Value>[]) {
      this.#keep(new QueueRow(row, before.get(row.id as number)));
    }
    for (const queue of this.#queues.values()) queue.woken = hasMore(before.get(queue.id), queue);
    this.#names = new Map();
    this.#namesById = new Map();
    for (const row of this.#readNames.all() as { id: number; name: string }[]) this.#keepName(row.id, row.name);
    const stored = this.#store;
    this.#store = this.#readStore.get() as Store;
    for (const stamp of stamps) if (stored && stored[stamp] !== this.#store[stamp]) this.#heard.add(stamp);
    if (this.#heard.has('orders'))
      for (const { name } of this.#ordered.all() as { name: string }[]) this.#orders.add(name);
    this.#seen = this.#readVersion();
    this.#fresh = true;
  }

  /** The next `refresh` reads everything again. */
  reset(): void {
    this.#fresh = false;
    this.#changed = false;
  }

  save(): void {
    for (const queue of this.#queues.values()) {
      if (!queue.changed) continue;
      this.#saveQueue.run(...queue.values(), queue.id);
      queue.changed = false;
    }
    if (!this.#changed) return;
    const { next_job, next_event, orders, news, schedules } = this.#known;
    this.#saveStore.run(next_job, next_event, orders, news, schedules);
    this.#changed = false;
  }

  /** What has happened since the last call; undefined: nothing that anybody listens for. */
  takeHeard(): Heard | undefined {
    const queues: string[] = [];
    for (const queue of this.#queues.values()) {
      if (queue.woken) queues.push(queue.name);
      queue.woken = false;
    }
    if (queues.length === 0 && this.#heard.size === 0) return undefined;
    const heard = {
      queues,
      servers: [...this.#orders],
      news: this.#heard.has('news'),
      schedules: this.#heard.has('schedules'),
    };
    this.#heard.clear();
    this.#orders.clear();
    return heard;
  }

  get queues(): readonly QueueRow[] {
    return [...this.#queues.values()];
  }

  findQueue(name: string): QueueRow | undefined {
    return this.#queues.get(name);
  }

  /** Makes it when it is new. */
  queue(name: string): QueueRow {
    return this.#queues.get(name) ?? this.#keep(new QueueRow(this.#addQueue.get(name) as Record<string, Value>));
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

  /** The number that the next job will get. */
  get next(): number {
    return this.#known.next_job;
  }

  takeNumber(): number {
    this.#changed = true;
    return this.#known.next_job++;
  }

  takeEventNumber(): number {
    this.#changed = true;
    return this.#known.next_event++;
  }

  get lastEvent(): number {
    return this.#known.next_event - 1;
  }

  /** A kept job has ended, an event was recorded, or a schedule was put or removed. */
  tell(stamp: 'news' | 'schedules'): void {
    this.#heard.add(stamp);
    this.#known[stamp]++;
    this.#changed = true;
  }

  /** There is an order for `server`. */
  order(server: string): void {
    this.#heard.add('orders');
    this.#orders.add(server);
    this.#known.orders++;
    this.#changed = true;
  }

  get #known(): Store {
    return this.#store as Store;
  }

  #readVersion(): number {
    return (this.#version.get() as { data_version: number }).data_version;
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

function pick<Name extends string>(row: Readonly<Record<string, Value>>, names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, row[name] as number])) as Record<Name, number>;
}

/** Whether another process left work in `now` that a fetcher here may not know of. */
function hasMore(before: QueueRow | undefined, now: QueueRow): boolean {
  const waitsForTime = ({ counts }: QueueRow) => counts.scheduled + counts.retryable;
  if (before?.woken) return true;
  return now.counts.available > 0 || waitsForTime(now) > (before ? waitsForTime(before) : 0);
}
