/** Acting on jobs and queues from outside. Not the hot path: one job at a time, a bounded number per call. */
import type { JobState } from '../../job/state.ts';
import type { ChangeResult } from '../backend.ts';
import type { Action, Page } from '../filter.ts';
import type { QueueCounts } from '../records.ts';
import { changed, defaultSettings, type KeySettings, type QueueSettings, type SettingsChange } from '../settings.ts';
import { blob } from './connection.ts';
import { ended, type JobRow, type Jobs, stateOf, waiting } from './jobs.ts';
import type { Journal } from './journal.ts';
import type { Ledger } from './ledger.ts';
import type { Lines } from './lines.ts';
import type { Notes } from './notes.ts';
import type { Registry } from './registry.ts';
import type { Search } from './search.ts';
import type { Servers } from './servers.ts';
import { type Answers, special, type WireChange, type WireFilter } from './wire.ts';

export class Desk {
  readonly #registry: Registry;
  readonly #servers: Servers;
  readonly #jobs: Jobs;
  readonly #lines: Lines;
  readonly #notes: Notes;
  readonly #journal: Journal;
  readonly #search: Search;

  constructor({ registry, jobs, lines, notes, journal }: Ledger, servers: Servers, search: Search) {
    this.#registry = registry;
    this.#servers = servers;
    this.#jobs = jobs;
    this.#lines = lines;
    this.#notes = notes;
    this.#journal = journal;
    this.#search = search;
  }

  counts(): QueueCounts[] {
    return this.#registry.queues.map(({ name, counts, settings }) => ({ queue: name, ...counts, settings }));
  }

  configure(name: string, change: SettingsChange): QueueSettings {
    const before = this.#registry.findQueue(name)?.settings ?? defaultSettings;
    const settings = changed(before, change);
    const queue = this.#registry.queue(name);
    queue.settings = settings;
    if (isOtherLine(before.keys, settings.keys)) this.#lines.changed(queue);
    this.#journal.changed(queue);
    return settings;
  }

  act(action: Action, filter: WireFilter, { after, limit = 1_000 }: Page, now: number): Answers['act'] {
    let count = 0;
    const next = this.#search.scan(filter, { limit, ...(after !== undefined && { after }) }, (number) => {
      const isDone = this.#do(action, this.#jobs.find(number) as JobRow, filter, count, now);
      if (isDone) count++;
      return isDone;
    });
    return next === undefined ? { count } : { count, next };
  }

  update(changes: readonly WireChange[], now: number): ChangeResult[] {
    return changes.map(({ ref, payload, runAt, tags, ...rest }) => {
      const job = this.#jobs.find(this.#jobs.resolve(ref));
      if (!job) return 'unknown';
      if (!waiting.has(stateOf(job.state))) return 'busy';
      const content = {
        ...rest,
        ...(payload && { payload: blob(payload) }),
        ...(runAt !== undefined && { runAt: Math.ceil(runAt) }),
        ...(tags && { facts: { tags } }),
      };
      this.#jobs.rewrite(job, content, now);
      return 'changed';
    });
  }

  #do(action: Action, job: JobRow, filter: WireFilter, position: number, now: number): boolean {
    const state = stateOf(job.state);
    switch (action.kind) {
      case 'retry':
        return this.#retry(job, state, action, filter, position, now);
      case 'cancel':
        return this.#cancel(job, state, action.reason, now);
      case 'discard':
        return this.#stop(job, state, 'discarded', action.reason, now);
      case 'remove':
        if (state === 'running') return false;
        this.#jobs.remove(job, now, true);
        return true;
    }
  }

  #retry(
    job: JobRow,
    state: JobState,
    { at, every = 0 }: Extract<Action, { kind: 'retry' }>,
    filter: WireFilter,
    position: number,
    now: number,
  ): boolean {
    if (state === 'available' || state === 'running') return false;
    const isMeant = filter.refs !== undefined || filter.states?.includes(state) === true;
    if ((state === 'completed' || state === 'quarantined') && !isMeant) return false;
    const runAt = Math.ceil((at ?? now) + position * every);
    const anew = ended.has(state) ? { attempt: 1, crashes: 0 } : {};
    this.#jobs.move(job, runAt > now ? 'scheduled' : 'available', now, { runAt, ...anew });
    this.#jobs.record({ ...job, ...anew }, 'retried', now);
    return true;
  }

  #cancel(job: JobRow, state: JobState, reason: string, now: number): boolean {
    if (state !== 'running') return this.#stop(job, state, 'cancelled', reason, now);
    const server = job.server as number;
    this.#jobs.mark(job, special.ordered);
    this.#notes.order(job.number, server, reason);
    this.#registry.order(this.#servers.name(server) as string);
    return true;
  }

  #stop(job: JobRow, state: JobState, to: 'cancelled' | 'discarded', reason: string, now: number): boolean {
    if (waiting.has(state)) this.#jobs.stop(job, to, reason, now);
    return waiting.has(state);
  }
}

/** Whether other jobs may stand in line under these settings. It is a look at every key, so it is not taken for nothing. */
function isOtherLine(before: KeySettings, { concurrency, onFailure, rate }: KeySettings): boolean {
  const isSameRate = JSON.stringify(before.rate) === JSON.stringify(rate);
  return before.concurrency !== concurrency || before.onFailure !== onFailure || !isSameRate;
}
