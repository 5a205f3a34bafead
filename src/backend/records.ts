/** What is seen from outside: jobs, queues, servers, and what happened. */
import type { JobState } from '../job/state.ts';
import type { QueueSettings } from './settings.ts';

/** What one attempt's error looked like; the history of a job is a list of these, at most `maxErrors`, oldest dropped. */
export interface AttemptError {
  readonly attempt: number;
  readonly at: number;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}

/** Longest error history kept with a job: an endless retry must not grow its record without end. */
export const maxErrors = 100;

export interface LogLine {
  readonly at: number;
  readonly text: string;
}

export interface ServerInfo {
  /** A new one for every start of a server: it is what a lease belongs to. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly queues: readonly string[];
  readonly concurrency: number;
}

/** A job as seen from outside. */
export interface JobRecord {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly state: JobState;
  readonly payload: Uint8Array;
  readonly priority: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly crashes: number;
  readonly addedAt: number;
  readonly runAt: number;
  /** When the last attempt was claimed. */
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly server?: string;
  readonly errors: readonly AttemptError[];
  readonly key?: string;
  readonly tags?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly keepFor?: number;
  readonly result?: Uint8Array;
  /** JSON, as reported. */
  readonly progress?: string;
  readonly log?: readonly LogLine[];
}

export interface QueueCounts {
  readonly queue: string;
  readonly scheduled: number;
  readonly available: number;
  readonly running: number;
  readonly retryable: number;
  readonly discarded: number;
  readonly cancelled: number;
  readonly quarantined: number;
  /** Since the queue exists, whether they are kept or not. */
  readonly completed: number;
  readonly settings: QueueSettings;
}

export interface ServerRecord extends ServerInfo {
  readonly beatAt: number;
  readonly running: number;
}

/** Something that happened to a job of a queue that records events. */
export interface JobEvent {
  /** Goes up by one per event of the whole backend; never given twice. */
  readonly number: number;
  readonly at: number;
  readonly queue: string;
  readonly name: string;
  readonly job: string;
  readonly kind: JobEventKind;
  readonly attempt: number;
  /** Of the error or the reason, if there was one. Progress: what was reported. */
  readonly text?: string;
}

export const jobEventKinds = [
  'added',
  'started',
  'completed',
  'failed', // will be retried
  'discarded',
  'cancelled',
  'quarantined',
  'snoozed',
  'returned',
  'rescued',
  'retried',
  'progress',
] as const;
export type JobEventKind = (typeof jobEventKinds)[number];

export interface JobEvents {
  readonly events: readonly JobEvent[];
  /** Where to go on: pass it as `after`. */
  readonly last: number;
  /** Events between `after` and the first one here were dropped because newer ones came: the reader was too slow. */
  readonly missed: boolean;
}
