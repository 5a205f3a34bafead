/** A job as the memory backend keeps it, and how it is shown to the outside. */
import type { JobState } from '../../job/state.ts';
import { type AttemptError, type ClaimedJob, type LogLine, maxErrors, maxLogLine, maxLogLines } from '../backend.ts';
import type { JobRecord } from '../records.ts';
import type { Placed } from './heap.ts';
import type { Key } from './keys.ts';
import type { Queue } from './queue.ts';
import type { Claim } from './uniques.ts';

export interface StoredJob extends Placed {
  readonly number: number;
  readonly id: string;
  readonly queue: Queue;
  readonly name: string;
  readonly addedAt: number;
  key: Key | undefined;
  /** What its unique rule holds for it. */
  readonly unique: Claim | undefined;
  readonly keepFor: number | undefined;
  payload: Uint8Array;
  priority: number;
  maxAttempts: number;
  tags: readonly string[] | undefined;
  headers: Readonly<Record<string, string>> | undefined;
  runAt: number;
  state: JobState;
  attempt: number;
  crashes: number;
  claim: number;
  /** It failed or was snoozed, and nobody has done anything about it: it may hold the slot of its key. */
  stopped: boolean;
  /** Who holds it while it is running. */
  server: string | undefined;
  /** Why it is to be cancelled, while it is running. */
  order: string | undefined;
  startedAt: number | undefined;
  endedAt: number | undefined;
  errors: readonly AttemptError[];
  result: Uint8Array | undefined;
  progress: string | undefined;
  log: LogLine[] | undefined;
  /** Its place among those that are kept for a time of their own. */
  expiry: Expiry | undefined;
}

export interface Expiry extends Placed {
  readonly at: number;
  readonly job: StoredJob;
}

/** By time, then by arrival. */
export function isEarlier(a: StoredJob, b: StoredJob): boolean {
  return a.runAt < b.runAt || (a.runAt === b.runAt && a.number < b.number);
}

export function isWaiting({ state }: { readonly state: JobState }): boolean {
  return state === 'available' || state === 'scheduled' || state === 'retryable';
}

/** Adds to the history; the oldest entry falls out. */
export function remember(job: StoredJob, error: AttemptError): void {
  job.errors = [...job.errors, error].slice(-maxErrors);
}

/** Adds to the log; it is cut when twice what is kept has come together, so a line costs O(1). */
export function note(job: StoredJob, lines: readonly LogLine[]): void {
  job.log ??= [];
  for (const { at, text } of lines) job.log.push({ at, text: text.slice(0, maxLogLine) });
  if (job.log.length > 2 * maxLogLines) job.log = job.log.slice(-maxLogLines);
}

type Mutable<T> = { -readonly [Member in keyof T]: T[Member] };

export function toClaimed(job: StoredJob): ClaimedJob {
  const { id, queue, name, payload, priority, attempt, maxAttempts, crashes, claim, addedAt, runAt } = job;
  const shown: Mutable<ClaimedJob> = {
    id,
    queue: queue.name,
    name,
    payload,
    priority,
    attempt,
    maxAttempts,
    crashes,
    claim,
    addedAt,
    runAt,
  };
  addFacts(job, shown);
  return shown;
}

export function toRecord(job: StoredJob): JobRecord {
  const { id, queue, name, state, payload, priority, attempt, maxAttempts, crashes, addedAt, runAt, errors } = job;
  const shown: Mutable<JobRecord> = {
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
  };
  addFacts(job, shown);
  if (job.startedAt !== undefined) shown.startedAt = job.startedAt;
  if (job.endedAt !== undefined) shown.endedAt = job.endedAt;
  if (job.server !== undefined) shown.server = job.server;
  if (job.result !== undefined) shown.result = job.result;
  if (job.progress !== undefined) shown.progress = job.progress;
  if (job.log !== undefined) shown.log = job.log.slice(-maxLogLines);
  return shown;
}

/** What most jobs have not. */
function addFacts(job: StoredJob, shown: Mutable<Pick<JobRecord, 'key' | 'tags' | 'headers' | 'keepFor'>>): void {
  if (job.key !== undefined) shown.key = job.key.name;
  if (job.tags !== undefined) shown.tags = job.tags;
  if (job.headers !== undefined) shown.headers = job.headers;
  if (job.keepFor !== undefined) shown.keepFor = job.keepFor;
}
