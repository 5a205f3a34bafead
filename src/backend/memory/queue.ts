/**
 * One queue of the memory backend: two heaps over the jobs that wait, and a count per state.
 *
 *   due    scheduled, retryable   by time        ──promote──▶ ready
 *   ready  available              by priority, time, arrival ──take──▶ running
 *
 * A job that is running or ended is in neither heap.
 */
import type { AttemptError, JobState, QueueCounts } from '../backend.ts';
import { Heap } from './heap.ts';

/** A job as it is kept. */
export interface StoredJob {
  readonly number: number;
  readonly id: string;
  readonly queue: Queue;
  readonly name: string;
  readonly payload: Uint8Array;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly addedAt: number;
  runAt: number;
  state: JobState;
  attempt: number;
  crashes: number;
  claim: number;
  /** Who holds it while it is running. */
  server: string | undefined;
  endedAt: number | undefined;
  errors: readonly AttemptError[];
}

const isDue = (job: StoredJob) => job.state === 'scheduled' || job.state === 'retryable';
const isReady = (job: StoredJob) => job.state === 'available';

export class Queue {
  readonly name: string;
  paused = false;
  readonly #counts: Record<JobState, number> = {
    scheduled: 0,
    available: 0,
    running: 0,
    retryable: 0,
    completed: 0,
    discarded: 0,
    cancelled: 0,
  };
  readonly #ready = new Heap<StoredJob>(
    (a, b) => a.priority - b.priority < 0 || (a.priority === b.priority && isEarlier(a, b)),
  );
  readonly #due = new Heap<StoredJob>(isEarlier);

  constructor(name: string) {
    this.name = name;
  }

  /** Neither running nor ended. */
  get waiting(): number {
    return this.#counts.scheduled + this.#counts.available + this.#counts.retryable;
  }

  /** When the next job becomes available by itself. */
  get nextAt(): number | undefined {
    return this.#due.peek()?.runAt;
  }

  counts(): QueueCounts {
    return { queue: this.name, paused: this.paused, ...this.#counts };
  }

  /** A new job, in the state it carries. */
  enter(job: StoredJob): void {
    this.#counts[job.state]++;
    this.#push(job);
  }

  /** A job changes state. One that was waiting must not be in a heap any more: popped, or swept afterwards. */
  move(job: StoredJob, state: JobState): void {
    this.#counts[job.state]--;
    job.state = state;
    this.enter(job);
  }

  /** A job is removed; swept afterwards. */
  leave(job: StoredJob): void {
    this.#counts[job.state]--;
    job.state = 'completed'; // in no heap's terms waiting
  }

  /** What is due by now becomes available. */
  promote(now: number): void {
    for (let job = this.#due.peek(); job && job.runAt <= now; job = this.#due.peek()) {
      this.#due.pop();
      this.move(job, 'available');
    }
  }

  /** The next available job, now running. */
  take(): StoredJob | undefined {
    const job = this.#ready.pop();
    if (job) this.move(job, 'running');
    return job;
  }

  /** Drops what does not wait any more from the heaps; O(n), for the rare calls that pick jobs from the middle. */
  sweep(): void {
    this.#ready.filter(isReady);
    this.#due.filter(isDue);
  }

  #push(job: StoredJob): void {
    if (isReady(job)) this.#ready.push(job);
    else if (isDue(job)) this.#due.push(job);
  }
}

/** By time, then by arrival. */
function isEarlier(a: StoredJob, b: StoredJob): boolean {
  return a.runAt < b.runAt || (a.runAt === b.runAt && a.number < b.number);
}
