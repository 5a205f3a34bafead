/** A job as the memory backend keeps it, and how it is shown to the outside. */
import { type AttemptError, type ClaimedJob, type JobRecord, type JobState, maxErrors } from '../backend.ts';
import type { Queue } from './queue.ts';

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

/** Adds to the history; the oldest entry falls out. */
export function remember(job: StoredJob, error: AttemptError): void {
  job.errors = [...job.errors, error].slice(-maxErrors);
}

export function toClaimed(job: StoredJob): ClaimedJob {
  const { id, queue, name, payload, priority, attempt, maxAttempts, crashes, claim, addedAt, runAt } = job;
  return { id, queue: queue.name, name, payload, priority, attempt, maxAttempts, crashes, claim, addedAt, runAt };
}

export function toRecord(job: StoredJob): JobRecord {
  const { id, queue, name, state, payload, priority, attempt, maxAttempts, crashes, addedAt, runAt, errors } = job;
  return {
    id,
    queue: queue.name,
    name,
    state,
    payload,
    priority,
    attempt,
    maxAttempts,
    crashes,
    addedAt,
    runAt,
    errors,
    ...(job.endedAt !== undefined && { endedAt: job.endedAt }),
    ...(job.server !== undefined && { server: job.server }),
  };
}
