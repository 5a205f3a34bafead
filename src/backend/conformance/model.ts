/**
 * What a backend should have answered: the contract in arrays, with no index and nothing remembered that could be looked
 * up. Slow on purpose; when a backend and this disagree, one can read here who is right.
 *
 * What the contract leaves to a backend is told to the model: the ids and the claim numbers it gave, and which jobs whose
 * time has come are `available` already. `now` is set by whoever drives it.
 */
import type { ChangeResult, JobChange } from '../backend.ts';
import type { Action, JobFilter } from '../filter.ts';
import type { Firing, FiringResult, Schedule, ScheduleRecord } from '../schedule.ts';
import { changed, endedStates, type QueueSettings, type SettingsChange } from '../settings.ts';
import { ModelJobs } from './model-jobs.ts';
import { isWaiting, type ModelJob } from './model-queue.ts';

export class Model extends ModelJobs {
  readonly schedules = new Map<string, ScheduleRecord>();

  match({
    ids,
    queue,
    name,
    states,
    key,
    tag,
    addedFrom = -Infinity,
    addedBefore = Infinity,
    error,
  }: JobFilter): ModelJob[] {
    return this.jobs.filter(
      (job) =>
        (ids?.includes(job.id) ?? true) &&
        job.queue === (queue ?? job.queue) &&
        job.name === (name ?? job.name) &&
        (states?.includes(job.state) ?? true) &&
        job.key === (key ?? job.key) &&
        (tag === undefined || job.tags?.includes(tag)) &&
        job.addedAt >= addedFrom &&
        job.addedAt < addedBefore &&
        (error === undefined || job.errors.at(-1)?.message.toLowerCase().includes(error.toLowerCase())),
    );
  }

  act(action: Action, filter: JobFilter): number {
    const jobs = this.match(filter).filter((job) => this.#concerns(action, filter, job));
    for (const [i, job] of jobs.entries()) {
      if (action.kind === 'remove') this.jobs = this.jobs.filter((each) => each !== job);
      else if (action.kind === 'retry') {
        if (!isWaiting(job)) Object.assign(job, { attempt: 1, crashes: 0, endedAt: undefined, result: undefined });
        Object.assign(job, { state: 'scheduled', stopped: false });
        this.wait(job, (action.at ?? this.now) + i * (action.every ?? 0));
      } else if (job.state === 'running') job.order = action.reason;
      else this.stop(job, action.kind === 'cancel' ? 'cancelled' : 'discarded', action.reason);
    }
    this.lineUp();
    return jobs.length;
  }

  #concerns({ kind }: Action, { ids, states }: JobFilter, job: ModelJob): boolean {
    if (kind === 'remove') return job.state !== 'running';
    if (kind === 'cancel') return isWaiting(job) || job.state === 'running';
    if (kind === 'discard') return isWaiting(job);
    const isMeant = ids !== undefined || states?.includes(job.state);
    if (job.state === 'completed' || job.state === 'quarantined') return isMeant ?? false;
    return job.state !== 'running' && job.state !== 'available';
  }

  update({ id, runAt, ...change }: JobChange): ChangeResult {
    const job = this.jobs.find((each) => each.id === id);
    if (!job) return 'unknown';
    if (!isWaiting(job)) return 'busy';
    Object.assign(job, change);
    if (runAt !== undefined) this.wait(job, runAt);
    this.lineUp();
    return 'changed';
  }

  configure(name: string, change: SettingsChange): QueueSettings {
    const queue = this.queue(name);
    queue.settings = changed(queue.settings, change);
    queue.lineUp(this.now);
    return queue.settings;
  }

  /** All that there is to tidy. */
  tidy(): void {
    for (const queue of this.queues.values()) {
      for (const state of endedStates) {
        const { count, age } = queue.settings.retention[state];
        const kept = (job: ModelJob) => Math.min(age, (state === 'completed' && job.keepFor) || age);
        const ended = queue.jobs().filter((job) => job.state === state);
        const latest = ended.sort((a, b) => (b.endedAt ?? 0) - (a.endedAt ?? 0) || b.number - a.number);
        for (const [place, job] of latest.entries()) {
          if (place >= count || (job.endedAt ?? 0) + kept(job) <= this.now) this.drop(job);
        }
      }
      queue.tidy(this.now);
    }
    this.lineUp();
  }

  putSchedule(schedule: Schedule): void {
    const same = this.schedules.get(schedule.key);
    const { nextAt, fired, lastAt } =
      same?.rule === schedule.rule ? same : { ...schedule, fired: 0, lastAt: undefined };
    this.schedules.set(schedule.key, { ...schedule, nextAt, fired, ...(lastAt !== undefined && { lastAt }) });
  }

  due(limit: number): ScheduleRecord[] {
    const due = [...this.schedules.values()].filter(({ nextAt }) => nextAt !== undefined && nextAt <= this.now);
    return due.sort((a, b) => (a.nextAt ?? 0) - (b.nextAt ?? 0) || (a.key < b.key ? -1 : 1)).slice(0, limit);
  }

  /** @param fresh the ids that the backend gave */
  fire({ key, tick, jobs, nextAt }: Firing, fresh: readonly string[]): FiringResult {
    const schedule = this.schedules.get(key);
    if (!schedule || schedule.nextAt !== tick) return { status: 'stale' };
    const { ids } = this.add({ jobs }, fresh) as { ids: readonly string[] };
    const count = ids.length > 0 ? { fired: schedule.fired + 1, lastAt: tick } : {};
    this.schedules.set(key, { ...schedule, nextAt, ...count });
    return { status: 'fired', ids };
  }
}
