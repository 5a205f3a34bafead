/**
 * What a JobServer tells about itself: one stream of small facts, for logs, metrics and tests.
 * An observer must not throw and should be quick: it runs on the path of every job.
 */
import type { ClaimedJob, Signal } from '../backend/backend.ts';

export type ServerEvent =
  /** A claim brought this many jobs; 0 means that nothing was available. */
  | { readonly type: 'claimed'; readonly count: number }
  | { readonly type: 'started'; readonly job: ClaimedJob }
  | { readonly type: 'completed'; readonly job: ClaimedJob; readonly value: unknown; readonly took: number }
  /** The job is done, but what it returned could not be written by its codec, so there is no result. */
  | { readonly type: 'result-lost'; readonly job: ClaimedJob; readonly error: Error }
  /** `retryAt` absent: that was the last attempt, or the job discarded itself, or `retryIf` said no. */
  | { readonly type: 'failed'; readonly job: ClaimedJob; readonly error: Error; readonly retryAt?: number }
  | { readonly type: 'snoozed'; readonly job: ClaimedJob; readonly runAt: number }
  /** Somebody cancelled it, or it cancelled itself. */
  | { readonly type: 'cancelled'; readonly job: ClaimedJob; readonly error: Error }
  /**
   * The body of a job that has its outcome runs on: it did not heed its signal for the time of its grace. `held`: its worker
   * is not free, because `maxAbandoned` bodies have been left behind already.
   */
  | { readonly type: 'abandoned'; readonly job: ClaimedJob; readonly held: boolean }
  /** Handed back unfinished at a stop. */
  | { readonly type: 'returned'; readonly job: ClaimedJob }
  /** Another server has taken the job over: it does not start here, its body is told to stop, or its outcome came too late. */
  | { readonly type: 'stale'; readonly id: string }
  /**
   * The backend does not take how a job ended. `kept`: the job is discarded instead, with `error` in its history. Not `kept`: not
   * even that was taken; this server holds the job until it stops, and then it runs again.
   */
  | { readonly type: 'refused'; readonly job: ClaimedJob; readonly error: Error; readonly kept: boolean }
  /** Jobs of dead servers that are available again, or quarantined if they were on board too often. */
  | { readonly type: 'rescued'; readonly count: number }
  /** Jobs and notes that retention no longer keeps are gone. */
  | { readonly type: 'tidied'; readonly count: number }
  /** A tick of a schedule has made its job. */
  | { readonly type: 'fired'; readonly schedule: string; readonly tick: number; readonly ids: readonly string[] }
  /** Ticks of a schedule were found too late to make jobs: from `tick` to before `nextAt`, if there is one. */
  | { readonly type: 'skipped'; readonly schedule: string; readonly tick: number; readonly nextAt: number | undefined }
  /** A due schedule cannot be read by this server, or its jobs are refused; told once. Looked at again within a minute. */
  | { readonly type: 'schedule-error'; readonly schedule: string; readonly error: Error }
  /** Somebody at a dashboard wants the server to claim nothing more, or to stop; it does. Told once each. */
  | { readonly type: 'signal'; readonly signal: Signal }
  /** The backend did not answer; the server tries again after `retryIn` ms. */
  | { readonly type: 'backend-error'; readonly error: Error; readonly doing: string; readonly retryIn: number };

export type Observer = (event: ServerEvent) => void;
