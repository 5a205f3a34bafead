/**
 * What a JobServer tells about itself: one stream of small facts, for logs, metrics and tests.
 * An observer must not throw and should be quick: it runs on the path of every job.
 */
import type { ClaimedJob } from '../backend/backend.ts';

export type ServerEvent =
  /** A claim brought this many jobs; 0 means that nothing was available. */
  | { readonly type: 'claimed'; readonly count: number }
  | { readonly type: 'started'; readonly job: ClaimedJob }
  | { readonly type: 'completed'; readonly job: ClaimedJob; readonly value: unknown; readonly took: number }
  /** `retryAt` absent: that was the last attempt, or the job discarded itself. */
  | { readonly type: 'failed'; readonly job: ClaimedJob; readonly error: Error; readonly retryAt?: number }
  | { readonly type: 'snoozed'; readonly job: ClaimedJob; readonly runAt: number }
  /** Handed back unfinished at a stop. */
  | { readonly type: 'returned'; readonly job: ClaimedJob }
  /** An outcome came too late: another server had taken the job over. */
  | { readonly type: 'stale'; readonly id: string }
  /** Jobs of dead servers that are available again. */
  | { readonly type: 'rescued'; readonly count: number }
  /** The backend did not answer; the server tries again after `retryIn` ms. */
  | { readonly type: 'backend-error'; readonly error: Error; readonly doing: string; readonly retryIn: number };

export type Observer = (event: ServerEvent) => void;
