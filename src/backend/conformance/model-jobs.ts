/** The way of a job through the reference model: added, claimed, settled, handed back. */
import type * as B from '../backend.ts';
import { type EndedState, probation } from '../settings.ts';
import { isWaiting, type ModelJob, ModelQueue } from './model-queue.ts';

export class ModelJobs {
  now = 0;
  jobs: ModelJob[] = [];
  /** Jobs that left no record, while the period of their unique rule lasts. */
  ghosts: ModelJob[] = [];
  number = 0;
  readonly queues = new Map<string, ModelQueue>();
  /** When each server beat last. */
  readonly servers = new Map<string, number>();
  readonly once = new Map<string, { fingerprint: string; ids: readonly string[]; until: number }>();

  queue(name: string): ModelQueue {
    const queue = this.queues.get(name) ?? new ModelQueue(() => this.jobs.filter((job) => job.queue === name));
    this.queues.set(name, queue);
    return queue;
  }

  lineUp(): void {
    for (const queue of this.queues.values()) queue.lineUp(this.now);
  }

  /** @param fresh the ids that the backend gave */
  add({ jobs, maxWaiting = Number.POSITIVE_INFINITY, once }: B.AddGroup, fresh: readonly string[]): B.AddResult {
    const seen = once && this.once.get(once.key);
    if (seen && seen.until > this.now) {
      return seen.fingerprint === once.fingerprint ? { status: 'repeated', ids: seen.ids } : { status: 'mismatch' };
    }
    const before = this.jobs.map((job) => ({ ...job }));
    const ids: string[] = [];
    const existing: number[] = [];
    for (const [i, job] of jobs.entries()) {
      const length = this.jobs.length;
      ids.push(this.#store(job, fresh[i] ?? ''));
      if (this.jobs.length === length) existing.push(i);
    }
    for (const { queue } of this.jobs.slice(before.length)) {
      const waiting = (all: ModelJob[]) => all.filter((job) => job.queue === queue && isWaiting(job)).length;
      if (waiting(this.jobs) <= maxWaiting) continue;
      this.jobs = before;
      return { status: 'full', queue, waiting: waiting(before), limit: maxWaiting };
    }
    if (once) this.once.set(once.key, { fingerprint: once.fingerprint, ids, until: this.now + once.ttl });
    for (const { queue } of this.jobs.slice(before.length)) this.queue(queue);
    this.lineUp();
    return { status: 'stored', ids, ...(existing.length > 0 && { existing }) };
  }

  #store(job: B.NewJob, fresh: string): string {
    const { id = fresh, payload, priority, tags, headers, unique } = job;
    const runAt = Math.ceil(job.runAt ?? this.now);
    const same = this.jobs.find((each) => each.id === job.id);
    const earlier = same ?? (unique && this.#inTheWay(job.queue, unique));
    if (!earlier) {
      const state = runAt > this.now ? 'scheduled' : 'available';
      const start = { state, attempt: 1, crashes: 0, claim: 0, errors: [], stopped: false } as const;
      const stored = { ...job, ...start, errors: [], id, runAt, addedAt: this.now, number: this.number++ };
      this.jobs.push(stored as Partial<ModelJob> as ModelJob);
    } else if (!same && isWaiting(earlier) && unique?.mode !== 'keep') {
      Object.assign(earlier, { payload, priority, tags, headers });
      if (unique?.mode === 'debounce') this.wait(earlier, runAt);
    }
    return earlier?.id ?? id;
  }

  /** The latest of the jobs that the rule finds. */
  #inTheWay(queue: string, { key, states, period = 0 }: B.Unique): ModelJob | undefined {
    const isYoung = (job: ModelJob) => period > 0 && job.addedAt + period > this.now;
    const found = [
      ...this.ghosts.filter(isYoung),
      ...this.jobs.filter((job) => isYoung(job) || states.includes(job.state)),
    ].filter((job) => job.queue === queue && job.unique?.key === key);
    return found.sort((a, b) => b.number - a.number)[0];
  }

  /** The backend says next which jobs are available now, and what numbers the claims have. */
  claim({ server, queues, limit }: B.ClaimRequest): { jobs: ModelJob[]; nextAt: number | undefined } {
    const jobs: ModelJob[] = [];
    const known = queues.flatMap((name) => this.queues.get(name) ?? []);
    for (const queue of known) {
      while (jobs.length < limit && queue.next(this.now)) {
        queue.lineUp(this.now, this.now);
        const job = queue.next(this.now) as ModelJob;
        queue.start(job, this.now);
        Object.assign(job, { state: 'running', server, startedAt: this.now, stopped: false });
        jobs.push(job);
      }
    }
    const moments = known.flatMap((queue) => queue.moments(this.now)).sort((a, b) => a - b);
    const nextAt = moments.find((at) => known.some((queue) => queue.next(at)));
    return { jobs, nextAt: jobs.length < limit ? nextAt : undefined };
  }

  settle(server: string, { id, claim, ending }: B.Outcome): B.SettleResult {
    const job = this.#held(server, id, claim);
    if (!job) return 'stale';
    const { kind } = ending;
    if ('error' in ending) job.errors.push(ending.error);
    job.stopped = kind === 'failed' || kind === 'discarded' || kind === 'snoozed';
    if (kind === 'completed') {
      this.queue(job.queue).completed++;
      this.#end(job, 'completed');
      job.result = ending.result;
      if (job.keepFor === undefined) this.drop(job);
    } else if (kind === 'discarded' || kind === 'cancelled') this.#end(job, kind);
    else if (kind === 'failed' && ending.retryAt === undefined) this.#end(job, 'discarded');
    else if (job.order !== undefined) this.stop(job, 'cancelled', job.order);
    else if (kind === 'returned') this.#leave(job, 'available');
    else if (kind === 'snoozed') this.#leave(job, 'scheduled', ending.runAt);
    else {
      job.attempt++;
      this.#leave(job, 'retryable', ending.retryAt);
    }
    this.lineUp();
    return 'taken';
  }

  report(server: string, { id, claim, progress, log = [] }: B.Report): B.SettleResult {
    const job = this.#held(server, id, claim);
    if (!job) return 'stale';
    job.progress = progress ?? job.progress;
    if (log.length > 0) job.log = [...(job.log ?? []), ...log];
    return 'taken';
  }

  /** The server is gone. `crashed`: it died. Resolves to how many jobs it held. */
  dismiss(server: string, crashed: boolean): number {
    const held = this.jobs.filter((job) => job.server === server);
    for (const job of held) {
      const { attempt, order } = job;
      const { maxCrashes } = this.queue(job.queue).settings;
      const note = (code: string) =>
        job.errors.push({ attempt, at: this.now, message: code, code: `MILLRACE_${code}` });
      if (crashed) job.crashes++;
      if (crashed) note('SERVER_DIED');
      if (order !== undefined) this.stop(job, 'cancelled', order);
      else if (crashed && job.crashes >= maxCrashes) {
        note('JOB_QUARANTINED');
        job.stopped = true;
        this.#end(job, 'quarantined');
      } else if (crashed && job.crashes === maxCrashes - 1) {
        job.stopped = true;
        this.#leave(job, 'retryable', this.now + probation);
      } else this.#leave(job, 'available');
    }
    this.servers.delete(server);
    this.lineUp();
    return held.length;
  }

  #held(server: string, id: string, claim: number): ModelJob | undefined {
    return this.jobs.find((job) => job.id === id && job.server === server && job.claim === claim);
  }

  /** Waits for that moment, or has reached it. */
  wait(job: ModelJob, runAt: number): void {
    job.runAt = Math.ceil(runAt);
    if (job.runAt <= this.now) job.state = 'available';
    else if (job.state === 'available') job.state = 'scheduled';
  }

  /** Leaves its server, to wait. */
  #leave(job: ModelJob, state: 'scheduled' | 'available' | 'retryable', runAt = job.runAt): void {
    Object.assign(job, { state, runAt: Math.ceil(runAt), server: undefined, order: undefined });
  }

  #end(job: ModelJob, state: EndedState): void {
    Object.assign(job, { state, endedAt: this.now, server: undefined, order: undefined });
  }

  /** Ended from outside, which frees the slot of its key. */
  stop(job: ModelJob, state: 'cancelled' | 'discarded', reason: string): void {
    job.errors.push({ attempt: job.attempt, at: this.now, message: reason });
    job.stopped = false;
    this.#end(job, state);
  }

  /** Its record goes; a unique rule with a period remembers it. */
  drop(job: ModelJob): void {
    this.jobs = this.jobs.filter((each) => each !== job);
    this.ghosts.push(job);
  }
}
