/**
 * Which jobs of a queue a unique rule finds: an index that follows the jobs, so nothing is held that a lost server could
 * leave behind. A job that left no record stays in the way while its period lasts. O(1) per job, O(jobs of one unique key)
 * per look; nearly always one.
 */
import type { Unique } from '../backend.ts';
import { Heap, type Placed } from './heap.ts';
import type { StoredJob } from './job.ts';

/** What a job holds of the index. */
export interface Claim {
  readonly key: string;
  /** When its period is over. */
  readonly until: number;
}

/** A job that left no record. */
interface Trace extends Placed {
  readonly key: string;
  readonly id: string;
  readonly number: number;
  readonly addedAt: number;
  readonly until: number;
}

interface Entry {
  readonly jobs: Set<StoredJob>;
  trace: Trace | undefined;
}

export class Uniques {
  readonly #entries = new Map<string, Entry>();
  readonly #traces = new Heap<Trace>((a, b) => a.until < b.until);

  /** The latest job that is in the way of a new one: the job, or the id of one that left no record. */
  find({ key, states, period }: Unique, now: number): StoredJob | string | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const { trace } = entry;
    const isYoung = (addedAt: number) => period !== undefined && now < addedAt + period;
    let latest: StoredJob | undefined;
    for (const job of entry.jobs) {
      const isInTheWay = isYoung(job.addedAt) || states.includes(job.state);
      if (isInTheWay && job.number > (latest?.number ?? -1)) latest = job;
    }
    const isTraced = trace !== undefined && isYoung(trace.addedAt) && now < trace.until;
    return isTraced && trace.number > (latest?.number ?? -1) ? trace.id : latest;
  }

  put(job: StoredJob): void {
    if (!job.unique) return;
    const { key } = job.unique;
    const entry = this.#entries.get(key);
    if (entry) entry.jobs.add(job);
    else this.#entries.set(key, { jobs: new Set([job]), trace: undefined });
  }

  /** @param isTraced the job went its way, and its period goes on */
  delete(job: StoredJob, isTraced: boolean, now: number): void {
    const { unique, id, number, addedAt } = job;
    const entry = unique && this.#entries.get(unique.key);
    if (!entry) return;
    entry.jobs.delete(job);
    if (isTraced && unique.until > now && number > (entry.trace?.number ?? -1)) {
      if (entry.trace) this.#traces.remove(entry.trace);
      entry.trace = { ...unique, id, number, addedAt, spot: 0 };
      this.#traces.push(entry.trace);
    }
    if (entry.jobs.size === 0 && !entry.trace) this.#entries.delete(unique.key);
  }

  /** Forgets periods that are over, at most `limit`; how many. */
  tidy(now: number, limit: number): number {
    let count = 0;
    for (let trace = this.#traces.peek(); trace && trace.until <= now && count < limit; trace = this.#traces.peek()) {
      this.#traces.pop();
      const entry = this.#entries.get(trace.key) as Entry;
      entry.trace = undefined;
      if (entry.jobs.size === 0) this.#entries.delete(trace.key);
      count++;
    }
    return count;
  }
}
