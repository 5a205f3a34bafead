/**
 * Jobs in this process's memory: for tests, scripts, and as the yardstick that durable backends are measured by.
 *
 * Loss table: everything is lost when the process ends, however it ends. The two exceptions that durability has no part
 * in hold: a group is stored whole or not at all, and a job is claimed by one server at a time.
 *
 * Add, claim, settle and what is done to one job cost the same however many jobs wait, as long as those come in order
 * of their time; O(log n) for the others, and O(log keys) for jobs of keys. Counts and `maxWaiting` O(1). One object has
 * one set of jobs: servers share them by sharing the object.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption, MillraceError } from '../../errors.ts';
import type * as B from '../backend.ts';
import * as check from '../check.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import { Listeners } from '../listeners.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from '../schedule.ts';
import type { QueueSettings, SettingsChange } from '../settings.ts';
import { isWaiting, type StoredJob, toClaimed, toRecord } from './job.ts';
import { Repeats } from './repeats.ts';
import { Schedules } from './schedules.ts';
import { find } from './search.ts';
import { Store } from './store.ts';

export interface MemoryOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
}

interface Server {
  readonly info: B.ServerInfo;
  readonly held: Set<StoredJob>;
  beatAt: number;
}

/** What one `tidy` removes at most. */
const TIDY = 1_000;

export class MemoryBackend implements B.Backend {
  readonly name = 'memory:';
  readonly #clock: Clock;
  readonly #listeners = new Listeners();
  readonly #store = new Store(this.#listeners);
  readonly #servers = new Map<string, Server>();
  readonly #repeats = new Repeats();
  readonly #schedules = new Schedules();
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(options: MemoryOptions = {}) {
    this.#clock = options.clock ?? systemClock;
  }

  async open(): Promise<void> {
    if (this.#state === 'closed') this.#assertOpen();
    this.#state = 'open';
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#listeners.clear();
    for (const part of [this.#store, this.#servers, this.#repeats, this.#schedules]) part.clear();
  }

  async add(groups: readonly B.AddGroup[]): Promise<readonly B.AddResult[]> {
    this.#assertOpen();
    for (const group of groups) {
      check.assertGroup(group);
      for (const job of group.jobs) this.#assertJob(job);
    }
    const now = this.#now();
    return groups.map((group) => {
      const { once } = group;
      const seen = once && this.#repeats.find(once, now);
      if (seen) return seen;
      const result = this.#store.add(group, now);
      this.#store.arrange(now);
      if (once && result.status === 'stored') this.#repeats.put(once, result.ids, now);
      return result;
    });
  }

  async claim({ server: id, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    this.#assertOpen();
    check.assertLimit(limit);
    const server = this.#servers.get(id);
    if (!server) throw new MillraceError('SERVER_UNKNOWN', { server: id });
    const now = this.#now();
    const jobs: B.ClaimedJob[] = [];
    let nextAt = Infinity;
    for (const name of queues) {
      const queue = this.#store.queues.get(name);
      if (!queue || jobs.length === limit) continue;
      queue.promote(now);
      for (const job of this.#store.start(queue, limit - jobs.length, id, now)) {
        server.held.add(job);
        jobs.push(toClaimed(job));
      }
      nextAt = Math.min(nextAt, queue.nextAt(now) ?? Infinity);
    }
    return jobs.length < limit && nextAt < Infinity ? { jobs, nextAt } : { jobs };
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    for (const { ending } of outcomes) check.assertEnding(ending);
    const now = this.#now();
    return outcomes.map(({ id, claim, ending }) => {
      const job = this.#held(server, id, claim);
      if (!job) return 'stale';
      this.#servers.get(server)?.held.delete(job);
      this.#store.settle(job, ending, now);
      this.#store.arrange(now);
      return 'taken';
    });
  }

  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    for (const report of reports) check.assertReport(report);
    const now = this.#now();
    return reports.map((report) => {
      const job = this.#held(server, report.id, report.claim);
      if (!job) return 'stale';
      this.#store.report(job, report, now);
      return 'taken';
    });
  }

  async beat(info: B.ServerInfo): Promise<void> {
    this.#assertOpen();
    const server = this.#servers.get(info.id);
    const held = server?.held ?? new Set();
    this.#servers.set(info.id, { info, held, beatAt: this.#now() });
  }

  async leave(id: string): Promise<void> {
    this.#assertOpen();
    const server = this.#servers.get(id);
    if (server) this.#dismiss(server, false, this.#now());
  }

  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    const now = this.#now();
    let rescued = 0;
    for (const server of [...this.#servers.values()]) {
      if (now - server.beatAt < lease) continue;
      rescued += server.held.size;
      this.#dismiss(server, true, now);
    }
    return rescued;
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    this.#assertOpen();
    const orders: B.Order[] = [];
    for (const { id, claim, order: reason } of this.#servers.get(server)?.held ?? []) {
      if (reason !== undefined) orders.push({ kind: 'cancel', id, claim, reason });
    }
    return orders;
  }

  async tidy(): Promise<number> {
    this.#assertOpen();
    const now = this.#now();
    const removed = this.#store.tidy(now, TIDY);
    return removed + this.#repeats.tidy(now, TIDY - removed);
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    this.#assertOpen();
    return this.#listeners.add(topic, listener);
  }

  async putSchedule(schedule: Schedule): Promise<void> {
    this.#assertOpen();
    check.assertSchedule(schedule);
    this.#schedules.put(schedule);
    this.#listeners.schedules();
  }

  async removeSchedule(key: string): Promise<boolean> {
    this.#assertOpen();
    const wasThere = this.#schedules.remove(key);
    if (wasThere) this.#listeners.schedules();
    return wasThere;
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    this.#assertOpen();
    return this.#schedules.all();
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    this.#assertOpen();
    check.assertLimit(limit);
    return this.#schedules.due(this.#now(), limit);
  }

  async fire(firings: readonly Firing[]): Promise<readonly FiringResult[]> {
    this.#assertOpen();
    for (const firing of firings) {
      check.assertFiring(firing);
      for (const job of firing.jobs) this.#assertJob(job);
    }
    const now = this.#now();
    return firings.map((firing) => {
      if (!this.#schedules.step(firing)) return { status: 'stale' };
      const result = this.#store.add({ jobs: firing.jobs }, now);
      this.#store.arrange(now);
      return { status: 'fired', ids: result.status === 'stored' ? result.ids : [] };
    });
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    return Array.from(this.#store.queues.values(), (queue) => queue.counts());
  }

  async servers(): Promise<readonly ServerRecord[]> {
    this.#assertOpen();
    return Array.from(this.#servers.values(), ({ info, beatAt, held }) => ({ ...info, beatAt, running: held.size }));
  }

  async get(id: string): Promise<JobRecord | undefined> {
    this.#assertOpen();
    const job = this.#store.jobs.get(id);
    return job && toRecord(job);
  }

  async list(filter: JobFilter, page: Page = {}): Promise<{ jobs: readonly JobRecord[]; next?: string }> {
    this.#assertOpen();
    const { jobs, ...rest } = this.#find(filter, { limit: 100, ...page });
    return { jobs: jobs.map(toRecord), ...rest };
  }

  async act(action: Action, filter: JobFilter, page: Page = {}): Promise<{ count: number; next?: string }> {
    this.#assertOpen();
    check.assertAction(action);
    const concerns = (job: StoredJob) => isFor(action, filter, job);
    const { jobs, ...rest } = this.#find(filter, { limit: 1_000, ...page }, concerns);
    const now = this.#now();
    for (const [i, job] of jobs.entries()) this.#act(action, job, i, now);
    this.#store.arrange(now);
    return { count: jobs.length, ...rest };
  }

  async update(changes: readonly B.JobChange[]): Promise<readonly B.ChangeResult[]> {
    this.#assertOpen();
    for (const change of changes) check.assertChange(change);
    const now = this.#now();
    return changes.map((change) => {
      const job = this.#store.jobs.get(change.id);
      if (!job) return 'unknown';
      if (!isWaiting(job)) return 'busy';
      this.#store.update(job, change, now);
      this.#store.arrange(now);
      return 'changed';
    });
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    this.#assertOpen();
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    return this.#store.configure(queue, change, this.#now());
  }

  async events(after?: number, limit = 1_000): Promise<JobEvents> {
    this.#assertOpen();
    check.assertPage({ limit });
    return this.#store.events.read(after, limit);
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  #assertJob(job: B.NewJob): void {
    check.assertJob(job);
    if (job.id !== undefined) check.assertOwnId(job.id, this.#store.ids);
  }

  #now(): number {
    return Math.ceil(this.#clock.now());
  }

  #held(server: string, id: string, claim: number): StoredJob | undefined {
    const job = this.#store.jobs.get(id);
    return job?.state === 'running' && job.server === server && job.claim === claim ? job : undefined;
  }

  /** Removes a server; what it holds goes on without it. */
  #dismiss({ info, held }: Server, crashed: boolean, now: number): void {
    this.#servers.delete(info.id);
    for (const job of [...held].sort(byArrival)) this.#store.dismiss(job, crashed, now);
    this.#store.arrange(now);
  }

  #find(filter: JobFilter, page: Page & { limit: number }, isWanted?: (job: StoredJob) => boolean) {
    check.assertFilter(filter);
    check.assertPage(page);
    const running = () => Array.from(this.#servers.values(), ({ held }) => [...held]).flat();
    return find(this.#store, running, filter, page, isWanted);
  }

  #act(action: Action, job: StoredJob, place: number, now: number): void {
    if (action.kind === 'retry') this.#store.retry(job, (action.at ?? now) + place * (action.every ?? 0), now);
    else if (action.kind === 'remove') this.#store.remove(job, false, now);
    else if (action.kind === 'discard') this.#store.stop(job, 'discarded', action.reason, now);
    else if (job.state !== 'running') this.#store.stop(job, 'cancelled', action.reason, now);
    else {
      job.order = action.reason;
      this.#listeners.order(job.server as string);
    }
  }
}

function byArrival(a: StoredJob, b: StoredJob): number {
  return a.number - b.number;
}

/** Whether the action has a meaning for the job; completed and quarantined ones are run again only when that is meant. */
function isFor({ kind }: Action, { ids, states }: JobFilter, job: StoredJob): boolean {
  const { state } = job;
  if (kind === 'remove') return state !== 'running';
  if (kind === 'cancel') return state === 'running' || isWaiting(job);
  if (kind === 'discard') return isWaiting(job);
  const isSpecial = state === 'completed' || state === 'quarantined';
  if (isSpecial) return ids !== undefined || (states?.includes(state) ?? false);
  return state !== 'running' && state !== 'available';
}
