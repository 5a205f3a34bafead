/**
 * Jobs in one file, durable: the default backend. This is the caller's side; the connection lives in `thread.ts`.
 *
 *   caller's thread                        thread
 *   add ─ pack ──── one buffer, moved ───▶ insert ┐
 *   claim ───────────────────────────────▶ update ├─ one COMMIT
 *   settle ─ pack ───────────────────────▶ delete ┘
 *   payload views ◀── one buffer, moved ── claims        │
 *   ids, endings  ◀─────────────────────── the others ◀──┴─ synced
 *
 * Loss table (what an acknowledged `add` or `settle` survives):
 *
 *                       this process killed   machine loses power
 *   synchronous: full   survives              survives, if the disk keeps what it has synced
 *   synchronous: normal survives              the last moments may be lost; the file stays sound
 *
 * Several processes may share the file on one machine. Not on a network file system: SQLite's log needs shared memory.
 *
 * Bounded by its callers: calls that were not answered yet wait in the port, whole. Whoever calls without waiting should
 * limit what it has under way, as the client's and the settler's batchers do.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption } from '../../errors.ts';
import type {
  AddGroup,
  AddResult,
  Backend,
  ChangeResult,
  ClaimRequest,
  ClaimResult,
  HeartOptions,
  JobChange,
  Order,
  Outcome,
  Report,
  ServerInfo,
  SettleResult,
  Topic,
} from '../backend.ts';
import {
  assertAction,
  assertChange,
  assertFilter,
  assertFiring,
  assertHeart,
  assertLimit,
  assertPage,
  assertReport,
  assertSchedule,
} from '../check.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import { Ids } from '../ids.ts';
import { Listeners } from '../listeners.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from '../schedule.ts';
import { changed, defaultSettings, type QueueSettings, type SettingsChange } from '../settings.ts';
import { packAdd, packSettle, toClaimed, toId, toRef, toResult } from './pack.ts';
import { Port } from './port.ts';
import type { AddAnswer, Answers, ClaimAnswer, Heard, WireFilter } from './wire.ts';

export interface SqliteOptions {
  /** Default: the system's. `startHeart` keeps to the system's in any case. */
  readonly clock?: Clock;
  /** `full`: a commit is on the disk when it is acknowledged. `normal`: faster alone, see the loss table. Default `full`. */
  readonly synchronous?: 'full' | 'normal';
  /** Longest wait for another process's transaction, ms; then BACKEND_UNAVAILABLE. Minimum 0. Default 5000. */
  readonly busyTimeout?: number;
  /**
   * Largest size of the file without its log, bytes; an `add` beyond it rejects with BACKEND_DISK_FULL, and succeeds
   * again when jobs have gone. Minimum 65536. Default: no bound but the disk's.
   */
  readonly maxBytes?: number;
  /**
   * The file may be another program's: the jobs live in tables of their own, `millrace_…`, beside its tables, and may be
   * added in its transactions, see `sqliteInbox`. Its header is not touched; its journal becomes a write-ahead log. Default
   * false: such a file is refused.
   */
  readonly shared?: boolean;
}

export class SqliteBackend implements Backend {
  readonly name: string;
  /** One group of callers goes on while the disk works for the other. Outcomes need no more syncs than they have. */
  readonly ahead = { add: 64 };
  readonly #clock: Clock;
  readonly #port: Port;
  readonly #listeners = new Listeners();
  #ids = new Ids('');

  /** @param path the file; it and its folder are made when they are not there */
  constructor(path: string, options: SqliteOptions = {}) {
    const {
      clock = systemClock,
      synchronous = 'full',
      busyTimeout = 5000,
      maxBytes = Number.POSITIVE_INFINITY,
      shared = false,
    } = options;
    assertOption('path', path, typeof path === 'string' && path.length > 0, 'a non-empty string');
    assertOption('synchronous', synchronous, ['full', 'normal'].includes(synchronous), '"full" or "normal"');
    assertOption('busyTimeout', busyTimeout, busyTimeout >= 0, 'a number of milliseconds from 0');
    assertOption('maxBytes', maxBytes, maxBytes >= 65_536, 'a number of bytes from 65536');
    assertOption('shared', shared, typeof shared === 'boolean', 'true or false');
    this.name = `sqlite:${path}`;
    this.#clock = clock;
    const database = { path, synchronous, busyTimeout, maxBytes, shared };
    this.#port = new Port(this.name, database, (heard) => this.#tell(heard));
  }

  /**
   * Rejects with NOT_A_DATABASE, SCHEMA_TOO_NEW, BACKEND_READ_ONLY, BACKEND_DISK_FULL or BACKEND_UNAVAILABLE, and then
   * holds nothing; it may be tried again.
   */
  async open(): Promise<void> {
    this.#ids = new Ids(await this.#port.open());
  }

  close(): Promise<void> {
    this.#listeners.clear();
    return this.#port.close();
  }

  async add(groups: readonly AddGroup[]): Promise<readonly AddResult[]> {
    const request = packAdd(groups, this.#ids, this.#now());
    const stored = this.#port.ask<AddAnswer>(request);
    // A claim that is made at once reaches the thread together with the add: one commit stores the jobs and hands them out.
    for (const [queue] of request.templates) this.#listeners.wake(queue);
    this.#listeners.flush();
    const answer = await stored;
    return answer.map((each, i) => toResult(each, groups[i]?.maxWaiting ?? 0, this.#ids));
  }

  async claim({ server, queues, limit }: ClaimRequest): Promise<ClaimResult> {
    assertLimit(limit);
    const answer = await this.#port.ask<ClaimAnswer>({ kind: 'claim', now: this.#now(), server, queues, limit });
    const jobs = toClaimed(answer, this.#ids);
    return answer.nextAt === undefined ? { jobs } : { jobs, nextAt: answer.nextAt };
  }

  async settle(server: string, outcomes: readonly Outcome[]): Promise<readonly SettleResult[]> {
    const taken = await this.#port.ask<Uint8Array>(packSettle(server, outcomes, this.#ids, this.#now()));
    return Array.from(taken, (each) => (each === 1 ? 'taken' : 'stale'));
  }

  async report(server: string, reports: readonly Report[]): Promise<readonly SettleResult[]> {
    reports.forEach(assertReport);
    const packed = reports.map(({ id, ...rest }) => ({ ref: toRef(id, this.#ids), ...rest }));
    return this.#port.ask({ kind: 'report', now: this.#now(), server, reports: packed });
  }

  beat(server: ServerInfo): Promise<void> {
    return this.#port.ask({ kind: 'beat', now: this.#now(), server });
  }

  async startHeart(server: ServerInfo, options: HeartOptions): Promise<void> {
    assertHeart(options);
    const { every, stallTimeout, pulse } = options;
    await this.#port.ask({ kind: 'beat', now: Date.now(), server });
    this.#port.post({ kind: 'heart', server, options: { every, stallTimeout, pulse } });
  }

  leave(server: string): Promise<void> {
    return this.#port.ask({ kind: 'leave', now: this.#now(), server });
  }

  rescue(lease: number): Promise<number> {
    return this.#port.ask({ kind: 'rescue', now: this.#now(), lease });
  }

  async orders(server: string): Promise<readonly Order[]> {
    const orders = await this.#port.ask<Answers['orders']>({ kind: 'orders', server });
    return orders.map(({ ref, ...rest }) => ({ id: toId(ref, this.#ids), ...rest }));
  }

  tidy(): Promise<number> {
    return this.#port.ask({ kind: 'tidy', now: this.#now() });
  }

  listen(topic: Topic, listener: () => void): () => void {
    this.#port.assertOpen();
    const remove = this.#listeners.add(topic, listener);
    this.#port.listen(true);
    return () => {
      remove();
      this.#port.listen(this.#listeners.size > 0);
    };
  }

  async putSchedule(schedule: Schedule): Promise<void> {
    assertSchedule(schedule);
    const { key, rule, job, nextAt } = schedule;
    const copied = { ...job, payload: Uint8Array.from(job.payload) };
    await this.#port.ask({ kind: 'putSchedule', schedule: { key, rule, job: copied, nextAt } });
  }

  removeSchedule(key: string): Promise<boolean> {
    return this.#port.ask({ kind: 'removeSchedule', key });
  }

  schedules(): Promise<readonly ScheduleRecord[]> {
    return this.#port.ask({ kind: 'schedules' });
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    assertLimit(limit);
    return this.#port.ask({ kind: 'dueSchedules', now: this.#now(), limit });
  }

  async fire(firings: readonly Firing[]): Promise<readonly FiringResult[]> {
    firings.forEach(assertFiring);
    const ticks = firings.map(({ key, tick, nextAt }) => ({
      key,
      tick: Math.ceil(tick),
      nextAt: nextAt === undefined ? null : Math.ceil(nextAt),
    }));
    const jobs = packAdd(firings, this.#ids, this.#now());
    const fired = await this.#port.ask<Answers['fire']>({ ...jobs, kind: 'fire', firings: ticks });
    return fired.map((refs) =>
      refs ? { status: 'fired', ids: refs.map((ref) => toId(ref, this.#ids)) } : { status: 'stale' },
    );
  }

  counts(): Promise<readonly QueueCounts[]> {
    return this.#port.ask({ kind: 'counts' });
  }

  servers(): Promise<readonly ServerRecord[]> {
    return this.#port.ask({ kind: 'servers' });
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return (await this.list({ ids: [id] }, { limit: 1 })).jobs[0];
  }

  async list(
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }> {
    const request = { kind: 'list', filter: this.#toWire(filter), page: checked(page) } as const;
    const { jobs, ...rest } = await this.#port.ask<Answers['list']>(request);
    return { jobs: jobs.map(({ ref, ...record }) => ({ id: toId(ref, this.#ids), ...record })), ...rest };
  }

  async act(action: Action, filter: JobFilter, page: Page = {}): Promise<Answers['act']> {
    assertAction(action);
    const wire = this.#toWire(filter);
    return this.#port.ask({ kind: 'act', now: this.#now(), action, filter: wire, page: checked(page) });
  }

  async update(changes: readonly JobChange[]): Promise<readonly ChangeResult[]> {
    changes.forEach(assertChange);
    const packed = changes.map(({ id, payload, ...rest }) => ({
      ref: toRef(id, this.#ids),
      ...rest,
      ...(payload && { payload: Uint8Array.from(payload) }),
    }));
    return this.#port.ask({ kind: 'update', now: this.#now(), changes: packed });
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    changed(defaultSettings, change); // what is wrong is wrong whatever the settings are
    return this.#port.ask({ kind: 'configure', now: this.#now(), queue, change });
  }

  async events(after?: number, limit = 1_000): Promise<JobEvents> {
    assertLimit(limit);
    const request = { kind: 'events', after: after ?? null, limit } as const;
    const { events, ...rest } = await this.#port.ask<Answers['events']>(request);
    return { events: events.map(({ ref, ...event }) => ({ ...event, job: toId(ref, this.#ids) })), ...rest };
  }

  #now(): number {
    return Math.ceil(this.#clock.now());
  }

  #tell({ queues, servers, news, schedules }: Heard): void {
    for (const queue of queues) this.#listeners.wake(queue);
    for (const server of servers) this.#listeners.order(server);
    if (news) this.#listeners.news();
    if (schedules) this.#listeners.schedules();
    this.#listeners.flush();
  }

  #toWire(filter: JobFilter): WireFilter {
    assertFilter(filter);
    const { ids, ...rest } = filter;
    return ids ? { ...rest, refs: ids.map((id) => toRef(id, this.#ids)) } : rest;
  }
}

function checked(page: Page): Page {
  assertPage(page);
  return page;
}
