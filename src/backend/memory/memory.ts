/**
 * Jobs in this process's memory: for tests, scripts, and as the yardstick that durable backends are measured by.
 *
 * Loss table: everything is lost when the process ends, however it ends. The two exceptions that durability has no part
 * in hold: a group is stored whole or not at all, and a job is claimed by one server at a time.
 *
 * Add, claim and settle cost O(log waiting) per job; counts and `maxWaiting` O(1); list, retry, cancel and remove O(all).
 * One object has one set of jobs: servers share them by sharing the object.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { MillraceError } from '../../errors.ts';
import type {
  AddGroup,
  AddResult,
  Backend,
  ClaimedJob,
  ClaimRequest,
  ClaimResult,
  Ending,
  JobFilter,
  JobRecord,
  JobState,
  NewJob,
  Outcome,
  QueueCounts,
  ServerInfo,
  ServerRecord,
  SettleResult,
} from '../backend.ts';
import { assertEnding, assertGroup, assertJob, assertLimit } from '../check.ts';
import { Ids, newStoreId } from '../ids.ts';
import { Listeners } from '../listeners.ts';
import { Heap } from './heap.ts';
import { remember, toClaimed, toRecord } from './job.ts';
import { Queue, type StoredJob } from './queue.ts';

export interface MemoryOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
}

interface Server {
  readonly info: ServerInfo;
  readonly held: Set<StoredJob>;
  beatAt: number;
}

interface Remembered {
  readonly key: string;
  readonly fingerprint: string;
  readonly ids: readonly string[];
  readonly until: number;
}

export class MemoryBackend implements Backend {
  readonly name = 'memory:';
  readonly #clock: Clock;
  readonly #ids = new Ids(newStoreId());
  readonly #jobs = new Map<string, StoredJob>();
  readonly #queues = new Map<string, Queue>();
  readonly #servers = new Map<string, Server>();
  readonly #remembered = new Map<string, Remembered>();
  readonly #forgetting = new Heap<Remembered>((a, b) => a.until < b.until);
  readonly #listeners = new Listeners();
  #number = 0;
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
    for (const part of [this.#jobs, this.#queues, this.#servers, this.#remembered]) part.clear();
  }

  async add(groups: readonly AddGroup[]): Promise<readonly AddResult[]> {
    this.#assertOpen();
    for (const group of groups) {
      assertGroup(group);
      for (const job of group.jobs) assertJob(job);
    }
    const now = this.#now();
    this.#forget(now);
    return groups.map((group) => this.#addGroup(group, now));
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    this.#assertOpen();
    assertLimit(request.limit);
    const server = this.#servers.get(request.server);
    if (!server) throw new MillraceError('SERVER_UNKNOWN', { server: request.server });
    const now = this.#now();
    const jobs: ClaimedJob[] = [];
    let nextAt = Number.POSITIVE_INFINITY;
    for (const name of request.queues) {
      const queue = this.#queues.get(name);
      if (!queue || queue.paused) continue;
      queue.promote(now);
      while (jobs.length < request.limit) {
        const job = queue.take();
        if (!job) break;
        job.server = request.server;
        job.claim++;
        server.held.add(job);
        jobs.push(toClaimed(job));
      }
      nextAt = Math.min(nextAt, queue.nextAt ?? nextAt);
    }
    return jobs.length < request.limit && nextAt < Number.POSITIVE_INFINITY ? { jobs, nextAt } : { jobs };
  }

  async settle(server: string, outcomes: readonly Outcome[]): Promise<readonly SettleResult[]> {
    this.#assertOpen();
    for (const { ending } of outcomes) assertEnding(ending);
    const now = this.#now();
    return outcomes.map(({ id, claim, ending }) => {
      const job = this.#jobs.get(id);
      if (job?.state !== 'running' || job.server !== server || job.claim !== claim) return 'stale';
      this.#end(job, ending, now);
      return 'taken';
    });
  }

  async beat(info: ServerInfo): Promise<void> {
    this.#assertOpen();
    const server = this.#servers.get(info.id);
    const held = server?.held ?? new Set();
    this.#servers.set(info.id, { info, held, beatAt: this.#now() });
  }

  async leave(id: string): Promise<void> {
    this.#assertOpen();
    const server = this.#servers.get(id);
    if (server) this.#dismiss(server);
  }

  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    const now = this.#now();
    let rescued = 0;
    for (const server of [...this.#servers.values()]) {
      if (now - server.beatAt < lease) continue;
      for (const job of server.held) job.crashes++;
      rescued += server.held.size;
      this.#dismiss(server);
    }
    return rescued;
  }

  wake(queues: readonly string[], listener: () => void): () => void {
    this.#assertOpen();
    return this.#listeners.add(queues, listener);
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    return Array.from(this.#queues.values(), (queue) => queue.counts());
  }

  async servers(): Promise<readonly ServerRecord[]> {
    this.#assertOpen();
    return Array.from(this.#servers.values(), ({ info, beatAt, held }) => ({ ...info, beatAt, running: held.size }));
  }

  async get(id: string): Promise<JobRecord | undefined> {
    this.#assertOpen();
    const job = this.#jobs.get(id);
    return job && toRecord(job);
  }

  async list(filter: JobFilter, limit = 100): Promise<readonly JobRecord[]> {
    this.#assertOpen();
    assertLimit(limit);
    return this.#match(filter, limit).map(toRecord);
  }

  async retry(filter: JobFilter): Promise<number> {
    const now = this.#now();
    return this.#change(filter, ['scheduled', 'retryable', 'discarded', 'cancelled'], (job) => {
      if (job.endedAt !== undefined) Object.assign(job, { attempt: 1, crashes: 0, endedAt: undefined });
      job.runAt = now;
      job.queue.move(job, 'available');
      this.#listeners.wake(job.queue.name);
    });
  }

  async cancel(filter: JobFilter, reason: string): Promise<number> {
    const now = this.#now();
    return this.#change(filter, ['scheduled', 'available', 'retryable'], (job) => {
      remember(job, { attempt: job.attempt, at: now, message: reason });
      this.#finish(job, 'cancelled', now);
    });
  }

  async remove(filter: JobFilter): Promise<number> {
    const states: JobState[] = ['scheduled', 'available', 'retryable', 'discarded', 'cancelled'];
    return this.#change(filter, states, (job) => {
      job.queue.leave(job);
      this.#jobs.delete(job.id);
    });
  }

  async pause(queue: string): Promise<void> {
    this.#assertOpen();
    this.#queue(queue).paused = true;
  }

  async resume(queue: string): Promise<void> {
    this.#assertOpen();
    this.#queue(queue).paused = false;
    this.#listeners.wake(queue);
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  #now(): number {
    return Math.ceil(this.#clock.now());
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known) return known;
    const queue = new Queue(name);
    this.#queues.set(name, queue);
    return queue;
  }

  /** The checks that can refuse a group come first; from `ids` on it is stored whole. */
  #addGroup(group: AddGroup, now: number): AddResult {
    const { jobs, maxWaiting, once } = group;
    const seen = once && this.#remembered.get(once.key);
    if (seen)
      return seen.fingerprint === once.fingerprint ? { status: 'repeated', ids: seen.ids } : { status: 'mismatch' };
    if (maxWaiting !== undefined) {
      const full = this.#full(jobs, maxWaiting);
      if (full) return full;
    }
    const ids = jobs.map((job) => this.#store(job, now));
    if (once) {
      const entry = { key: once.key, fingerprint: once.fingerprint, ids, until: now + once.ttl };
      this.#remembered.set(once.key, entry);
      this.#forgetting.push(entry);
    }
    return { status: 'stored', ids };
  }

  #full(jobs: readonly NewJob[], limit: number): AddResult | undefined {
    const coming = new Map<string, number>();
    for (const { queue } of jobs) coming.set(queue, (coming.get(queue) ?? 0) + 1);
    for (const [queue, count] of coming) {
      const waiting = this.#queues.get(queue)?.waiting ?? 0;
      if (waiting + count > limit) return { status: 'full', queue, waiting, limit };
    }
    return undefined;
  }

  #store(job: NewJob, now: number): string {
    const queue = this.#queue(job.queue);
    const number = this.#number++;
    const id = this.#ids.format(number);
    const runAt = job.runAt === undefined ? now : Math.ceil(job.runAt);
    const stored: StoredJob = {
      number,
      id,
      queue,
      name: job.name,
      payload: job.payload,
      priority: job.priority,
      maxAttempts: job.maxAttempts,
      addedAt: now,
      runAt,
      state: runAt > now ? 'scheduled' : 'available',
      attempt: 1,
      crashes: 0,
      claim: 0,
      server: undefined,
      endedAt: undefined,
      errors: [],
    };
    this.#jobs.set(id, stored);
    queue.enter(stored);
    this.#listeners.wake(job.queue);
    return id;
  }

  /** A key is remembered until its time is over, and not longer. */
  #forget(now: number): void {
    for (let entry = this.#forgetting.peek(); entry && entry.until <= now; entry = this.#forgetting.peek()) {
      this.#forgetting.pop();
      this.#remembered.delete(entry.key);
    }
  }

  #end(job: StoredJob, ending: Ending, now: number): void {
    this.#release(job);
    if ('error' in ending) remember(job, ending.error);
    switch (ending.kind) {
      case 'completed':
        job.queue.move(job, 'completed');
        this.#jobs.delete(job.id);
        return;
      case 'failed':
        if (ending.retryAt === undefined) {
          this.#finish(job, 'discarded', now);
        } else {
          job.attempt++;
          this.#wait(job, 'retryable', ending.retryAt);
        }
        return;
      case 'snoozed':
        this.#wait(job, 'scheduled', ending.runAt);
        return;
      case 'returned':
        this.#wait(job, 'available', job.runAt);
        return;
      default:
        this.#finish(job, ending.kind, now);
    }
  }

  #wait(job: StoredJob, state: JobState, runAt: number): void {
    job.runAt = Math.ceil(runAt);
    job.queue.move(job, state);
    this.#listeners.wake(job.queue.name);
  }

  #finish(job: StoredJob, state: 'discarded' | 'cancelled', now: number): void {
    job.endedAt = now;
    job.queue.move(job, state);
  }

  #release(job: StoredJob): void {
    if (job.server !== undefined) this.#servers.get(job.server)?.held.delete(job);
    job.server = undefined;
  }

  /** Removes a server; what it holds is available again. */
  #dismiss(server: Server): void {
    for (const job of server.held) {
      this.#release(job);
      this.#wait(job, 'available', job.runAt);
    }
    this.#servers.delete(server.info.id);
  }

  #change(filter: JobFilter, states: readonly JobState[], change: (job: StoredJob) => void): number {
    this.#assertOpen();
    const jobs = this.#match(filter).filter((job) => states.includes(job.state));
    for (const job of jobs) change(job);
    for (const queue of new Set(jobs.map((job) => job.queue))) queue.sweep();
    return jobs.length;
  }

  /** Oldest first: a Map keeps the order of arrival. */
  #match({ ids, queue, name, states }: JobFilter, limit = Number.POSITIVE_INFINITY): StoredJob[] {
    const wanted = ids && new Set(ids);
    const matching: StoredJob[] = [];
    for (const job of this.#jobs.values()) {
      if (matching.length >= limit) break;
      if (wanted && !wanted.has(job.id)) continue;
      if (queue !== undefined && job.queue.name !== queue) continue;
      if (name !== undefined && job.name !== name) continue;
      if (states && !states.includes(job.state)) continue;
      matching.push(job);
    }
    return matching;
  }
}
