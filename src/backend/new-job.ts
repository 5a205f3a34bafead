/** What somebody wants done: a job before it is stored. */
import type { JobState } from '../job/state.ts';

/** A job as a client hands it over. */
export interface NewJob {
  readonly queue: string;
  readonly name: string;
  /**
   * The encoded payload: UTF-8 JSON unless the job's codec says otherwise. Stored and returned byte for byte. The backend
   * may keep the view instead of copying it, so the caller leaves the bytes alone from here on.
   */
  readonly payload: Uint8Array;
  /** 0 is served first. Integer 0–9. */
  readonly priority: number;
  /** Failures after which the job is discarded. Integer ≥ 1. */
  readonly maxAttempts: number;
  /** Not before this moment, ms since the epoch. Absent or past: at once. */
  readonly runAt?: number;
  /** The caller's own id. While the backend knows a job of that id, adding it again answers with that one. */
  readonly id?: string;
  /** Jobs of a queue with the same key are run in order, fairly, or bounded: see KeySettings. */
  readonly key?: string;
  /** An empty list is none, and may be shown as either. */
  readonly tags?: readonly string[];
  /** Small facts that travel with the job, for middleware: a trace, a tenant, the codec. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly unique?: Unique;
  /** Keep the record, and the result, this long after the job completed, ms. Absent: it is removed as it settles. */
  readonly keepFor?: number;
}

/**
 * One job for many adds. The job that an earlier add left stands in the way while it is in one of `states`, and for
 * `period` ms after it was added whatever became of it. What happens then is `mode`:
 *
 *   keep      nothing: the earlier job is the answer
 *   replace   the earlier job, if it waits, gets the new payload, priority, tags and headers, and keeps its time
 *   debounce  the same, and its time becomes that of the new one
 *
 * Of several jobs that are in the way the latest added is the earlier job. One that is running or has ended is kept,
 * whatever the mode. A job that an operator removes ends its period too; one that goes as it completes, or by `tidy`, does
 * not. Derived from the jobs: nothing is held that a crash could leave behind.
 */
export interface Unique {
  /** Compared within the queue. */
  readonly key: string;
  readonly mode: 'keep' | 'replace' | 'debounce';
  readonly states: readonly JobState[];
  readonly period?: number;
}
