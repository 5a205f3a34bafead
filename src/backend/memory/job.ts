/** How a job that the memory backend keeps is shown to the outside. */
import { type AttemptError, type ClaimedJob, type JobRecord, maxErrors } from '../backend.ts';
import type { StoredJob } from './queue.ts';

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
