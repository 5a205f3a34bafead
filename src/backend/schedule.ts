/**
 * Jobs that come by themselves, as the backend keeps them. When they come is computed by the servers; the backend sees to
 * it that each tick makes its jobs once, whoever computed it.
 */
import type { NewJob } from './new-job.ts';

export interface Schedule {
  /** Names the schedule; a second one with the same key replaces the first. */
  readonly key: string;
  /**
   * What says when: opaque to the backend, compared as text. While it stays the same, `nextAt`, `fired` and `lastAt` are
   * kept; another one begins anew, with `fired` 0.
   */
  readonly rule: string;
  /** What each tick makes. */
  readonly job: Omit<NewJob, 'runAt' | 'id'>;
  /** The next tick, ms since the epoch; undefined: it has ended. */
  readonly nextAt: number | undefined;
}

export interface ScheduleRecord extends Schedule {
  /** Ticks that have made a job. */
  readonly fired: number;
  /** The latest tick that has made a job: the moment it was due, not the one it was taken. */
  readonly lastAt?: number;
}

/** One step of a schedule, taken whole or not at all. Several of one key in a call are taken in their order. */
export interface Firing {
  readonly key: string;
  /** The schedule's `nextAt` that this was computed from; when it has moved meanwhile, nothing happens. */
  readonly tick: number;
  /** Empty: the tick is skipped, which moves `nextAt` and nothing else. */
  readonly jobs: readonly NewJob[];
  readonly nextAt: number | undefined;
}

export type FiringResult = { readonly status: 'fired'; readonly ids: readonly string[] } | { readonly status: 'stale' };

export interface DueSchedules {
  /** The backend's clock, which decides. */
  readonly now: number;
  /** Due by then, the longest waiting first. */
  readonly due: readonly ScheduleRecord[];
  /** When the next one that is not due yet will be. */
  readonly nextAt?: number;
}
