/**
 * The jobs of the memory backend, and all that can become of one. What a call may ask for is checked before, so nothing in
 * here can fail half way.
 */
import { MillraceError } from '../../errors.ts';
import type { JobState } from '../../job/state.ts';
import type { AddGroup, AddResult, AttemptError, Ending, JobChange, NewJob, Report } from '../backend.ts';
import { Ids, newStoreId } from '../ids.ts';
import type { Listeners } from '../listeners.ts';
import type { JobEvent } from '../records.ts';
import { type EndedState, probation, type QueueSettings, type SettingsChange } from '../settings.ts';
import { EventLog } from './event-log.ts';
import { isWaiting, note, remember, type StoredJob } from './job.ts';
import type { Keys } from './keys.ts';
import { Ledger } from './ledger.ts';
import { Queue } from './queue.ts';

export class Store {
  readonly ids = new Ids(newStoreId());
  readonly jobs = new Ledger(this.ids);
  readonly queues = new Map<string, Queue>();
  readonly events = new EventLog();
  readonly #listeners: Listeners;
  readonly #pending = new Set<Keys>();
  #number = 0;

  constructor(listeners: Listeners) {
    this.#listeners = listeners;
  }

  queue(name: string): Queue {
    const known = this.queues.get(name);
    if (known) return known;
    const queue = new Queue(name, this.#pending);
    this.queues.set(name, queue);
    return queue;
  }

  configure(name: string, change: SettingsChange, now: number): QueueSettings {
    const queue = this.queue(name);
    queue.configure(change, now);
    this.events.trim(name, queue.settings.events);
    this.#listeners.wake(name);
    return queue.settings;
  }

  /** The group is stored whole, or refused because a queue is full. */
  add({ jobs, maxWaiting }: AddGroup, now: number): AddResult {
    const full = maxWaiting === undefined ? undefined : this.#full(jobs, maxWaiting, now);
    if (full) return full;
    const existing: number[] = [];
    const ids = jobs.map((job, i) => {
      const earlier = this.#earlier(job, now);
      if (earlier === undefined) return this.#store(job, now);
      existing.push(i);
      if (typeof earlier === 'string') return earlier;
      if (earlier.id !== job.id) this.#renew(earlier, job, now);
      return earlier.id;
    });
    return existing.length > 0 ? { status: 'stored', ids, existing } : { status: 'stored', ids };
  }

  /** Jobs of `queue` whose turn it is, from now on held by `server`. */
  start(queue: Queue, limit: number, server: string, now: number): StoredJob[] {
    const jobs = queue.take(limit, now);
    for (const job of jobs) {
      job.server = server;
      job.stopped = false;
      job.startedAt = now;
      job.claim++;
      this.#tell(job, { kind: 'started' }, now);
    }
    return jobs;
  }

  /** A running job ends, or will run again. */
  settle(job: StoredJob, ending: Ending, now: number): void {
    const { attempt, order } = job;
    const error = 'error' in ending ? ending.error : undefined;
    if (error) remember(job, error);
    // It was asked to stop while it ended: another run is what nobody wants.
    if (order !== undefined && isAgain(ending)) this.stop(job, 'cancelled', order, now);
    else if (ending.kind === 'completed') this.#complete(job, ending.result, now);
    else if (ending.kind === 'returned') this.#again(job, { state: 'available' }, { kind: 'returned' }, now);
    else if (ending.kind === 'snoozed') {
      const to = { state: 'scheduled', stopped: true, runAt: Math.ceil(ending.runAt) } as const;
      this.#again(job, to, { kind: 'snoozed' }, now);
    } else if (ending.kind === 'failed' && ending.retryAt !== undefined) {
      const to = { state: 'retryable', stopped: true, runAt: Math.ceil(ending.retryAt), attempt: attempt + 1 } as const;
      this.#again(job, to, { kind: 'failed', text: ending.error.message, attempt }, now);
    } else {
      const isCancelled = ending.kind === 'cancelled';
      this.#end(job, isCancelled ? 'cancelled' : 'discarded', !isCancelled, ending.error.message, now);
    }
  }

  /** The server of a running job is gone; `crashed`: not on purpose. */
  dismiss(job: StoredJob, crashed: boolean, now: number): void {
    const { attempt, order, server = '' } = job;
    const { maxCrashes } = job.queue.settings;
    if (crashed) {
      job.crashes++;
      remember(job, errorOf(new MillraceError('SERVER_DIED', { server }), attempt, now));
    }
    if (order !== undefined) this.stop(job, 'cancelled', order, now);
    else if (crashed && job.crashes >= maxCrashes) {
      const error = errorOf(new MillraceError('JOB_QUARANTINED', { crashes: job.crashes }), attempt, now);
      remember(job, error);
      this.#end(job, 'quarantined', true, error.message, now);
    } else if (crashed && job.crashes === maxCrashes - 1) {
      this.#again(job, { state: 'retryable', stopped: true, runAt: now + probation }, { kind: 'rescued' }, now);
    } else this.#again(job, { state: 'available' }, { kind: crashed ? 'rescued' : 'returned' }, now);
  }

  report(job: StoredJob, { progress, log }: Report, now: number): void {
    if (log && log.length > 0) note(job, log);
    if (progress === undefined) return;
    job.progress = progress;
    this.#tell(job, { kind: 'progress', text: progress }, now);
  }

  /** Ended from outside. */
  stop(job: StoredJob, state: 'cancelled' | 'discarded', reason: string, now: number): void {
    remember(job, { attempt: job.attempt, at: now, message: reason });
    this.#end(job, state, false, reason, now);
  }

  /** A job that waits or has ended runs again at `at`; one that has ended starts over. */
  retry(job: StoredJob, at: number, now: number): void {
    const runAt = Math.ceil(at);
    const state = runAt > now ? 'scheduled' : 'available';
    const anew = isWaiting(job) ? {} : { attempt: 1, crashes: 0, endedAt: undefined, result: undefined };
    job.queue.change(job, { ...anew, state, stopped: false, runAt });
    this.#tell(job, { kind: 'retried' }, now);
    this.#listeners.wake(job.queue.name);
  }

  /** A job that does not run goes. `isTraced`: on its own way, not on somebody's word. */
  remove(job: StoredJob, isTraced: boolean, now: number): void {
    job.queue.leave(job);
    job.queue.uniques.delete(job, isTraced, now);
    this.jobs.delete(job);
    if (job.key) this.#listeners.wake(job.queue.name);
  }

  /** Of a waiting job. */
  update(job: StoredJob, { id: _, runAt, ...change }: JobChange, now: number): void {
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
    job.queue.change(job, { ...given, ...(runAt !== undefined && moved(job, runAt, now)) });
    this.#listeners.wake(job.queue.name);
  }

  /** Removes what retention no longer keeps, at most `limit`; how many. */
  tidy(now: number, limit: number): number {
    let count = 0;
    for (const queue of this.queues.values()) {
      for (let job = queue.expired(now); job && count < limit; job = queue.expired(now), count++) {
        this.remove(job, true, now);
      }
      this.arrange(now);
      count += queue.tidy(now, limit - count);
      if (count >= limit) break;
    }
    return count;
  }

  /** To be called when a group, an outcome, a change is done with: keys get their place in line by what is so now. */
  arrange(now: number): void {
    if (this.#pending.size === 0) return;
    for (const keys of this.#pending) keys.arrange(now);
    this.#pending.clear();
  }

  clear(): void {
    this.jobs.clear();
    this.queues.clear();
  }

  #full(jobs: readonly NewJob[], limit: number, now: number): AddResult | undefined {
    const coming = new Map<string, number>();
    const planned = new Map<string, Set<JobState>>();
    for (const job of jobs) {
      if (this.#earlier(job, now) !== undefined || isRepeated(job, planned, now)) continue;
      coming.set(job.queue, (coming.get(job.queue) ?? 0) + 1);
    }
    for (const [queue, count] of coming) {
      const waiting = this.queues.get(queue)?.waiting ?? 0;
      if (waiting + count > limit) return { status: 'full', queue, waiting, limit };
    }
    return undefined;
  }

  /** The job that a new one's id or rule leads to, or the id of one that is gone. */
  #earlier({ id, queue, unique }: NewJob, now: number): StoredJob | string | undefined {
    const same = id === undefined ? undefined : this.jobs.get(id);
    return same ?? (unique && this.queues.get(queue)?.uniques.find(unique, now));
  }

  #store(job: NewJob, now: number): string {
    const queue = this.queue(job.queue);
    const number = this.#number++;
    const { unique } = job;
    const runAt = job.runAt === undefined ? now : Math.ceil(job.runAt);
    const stored: StoredJob = {
      number,
      id: job.id ?? this.ids.format(number),
      queue,
      name: job.name,
      addedAt: now,
      key: job.key === undefined ? undefined : queue.keys.get(job.key),
      unique: unique && { key: unique.key, until: now + (unique.period ?? 0) },
      keepFor: job.keepFor,
      payload: job.payload,
      priority: job.priority,
      maxAttempts: job.maxAttempts,
      tags: job.tags,
      headers: job.headers,
      runAt,
      state: runAt > now ? 'scheduled' : 'available',
      attempt: 1,
      crashes: 0,
      claim: 0,
      stopped: false,
      server: undefined,
      order: undefined,
      startedAt: undefined,
      endedAt: undefined,
      errors: none,
      result: undefined,
      progress: undefined,
      log: undefined,
      expiry: undefined,
      spot: 0,
    };
    this.jobs.put(stored, job.id !== undefined);
    queue.enter(stored);
    queue.uniques.put(stored);
    this.#tell(stored, { kind: 'added' }, now);
    this.#listeners.wake(job.queue);
    return stored.id;
  }

  /** What a unique rule makes of the job that is there. */
  #renew(job: StoredJob, { unique, payload, priority, tags, headers, runAt }: NewJob, now: number): void {
    if (unique === undefined || unique.mode === 'keep' || !isWaiting(job)) return;
    const to = { payload, priority, tags, headers };
    job.queue.change(job, unique.mode === 'debounce' ? { ...to, ...moved(job, runAt ?? now, now) } : to);
    this.#listeners.wake(job.queue.name);
  }

  #complete(job: StoredJob, result: Uint8Array | undefined, now: number): void {
    const { queue } = job;
    queue.completed++;
    this.#tell(job, { kind: 'completed' }, now);
    if (queue.settings.concurrency !== null || job.key) this.#listeners.wake(queue.name);
    if (job.keepFor === undefined) this.remove(job, true, now);
    else {
      queue.change(job, { state: 'completed', endedAt: now, result, ...free });
      this.#listeners.news();
    }
  }

  #again(job: StoredJob, to: Partial<StoredJob>, news: News, now: number): void {
    job.queue.change(job, { ...to, ...free });
    this.#tell(job, news, now);
    this.#listeners.wake(job.queue.name);
  }

  /** @param stopped by failing, and not on somebody's word */
  #end(job: StoredJob, state: Exclude<EndedState, 'completed'>, stopped: boolean, text: string, now: number): void {
    const { queue } = job;
    queue.change(job, { state, stopped, endedAt: now, ...free });
    this.#tell(job, { kind: state, text }, now);
    if (queue.settings.concurrency !== null || job.key) this.#listeners.wake(queue.name);
    this.#listeners.news();
  }

  #tell(job: StoredJob, news: News, at: number): void {
    const { queue, name, id, attempt } = job;
    if (queue.settings.events === 0) return;
    this.events.record({ at, queue: queue.name, name, job: id, attempt, ...news }, queue.settings.events);
    this.#listeners.news();
  }
}

/** What an event says besides whose it is. */
type News = Pick<JobEvent, 'kind' | 'text'> & Partial<Pick<JobEvent, 'attempt'>>;

const none: readonly AttemptError[] = [];

/** What a job that does not run any more has not. */
const free = { server: undefined, order: undefined } as const;

/** The job would run again. */
function isAgain(ending: Ending): boolean {
  return (
    ending.kind === 'returned' ||
    ending.kind === 'snoozed' ||
    (ending.kind === 'failed' && ending.retryAt !== undefined)
  );
}

/** A waiting job with another time. */
function moved(job: StoredJob, at: number, now: number): Partial<StoredJob> {
  const runAt = Math.ceil(at);
  if (runAt <= now) return { runAt, state: 'available' };
  return { runAt, state: job.state === 'available' ? 'scheduled' : job.state };
}

function errorOf({ message, code }: MillraceError, attempt: number, at: number): AttemptError {
  return { attempt, at, message, code };
}

/**
 * Whether a job before it in its group, which is not stored yet, will be the one that it leads to.
 * @param planned the states that those jobs will have, by id and by unique rule
 */
function isRepeated({ id, queue, unique, runAt }: NewJob, planned: Map<string, Set<JobState>>, now: number): boolean {
  const names = [
    ...(id === undefined ? [] : [JSON.stringify([id])]),
    ...(unique === undefined ? [] : [JSON.stringify([queue, unique.key])]),
  ];
  if (id !== undefined && planned.has(names[0] as string)) return true;
  const same = unique && planned.get(names.at(-1) as string);
  if (same && (unique.period !== undefined || unique.states.some((state) => same.has(state)))) return true;
  const state = Math.ceil(runAt ?? now) > now ? 'scheduled' : 'available';
  for (const name of names) planned.set(name, new Set(planned.get(name)).add(state));
  return false;
}
