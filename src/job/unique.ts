/**
 * One job for many enqueues.
 *
 *   defineJob({ name: 'reindex', unique: { by: ['customer'] }, … })           one that has not ended, per customer
 *   defineJob({ name: 'digest', unique: { mode: 'debounce' }, … })            the last call counts, and starts the wait anew
 *   defineJob({ name: 'alert', unique: { mode: 'throttle', period: 60_000 } }) at most one a minute
 */
import type { JobState } from './state.ts';

export interface UniqueOptions<Payload = unknown> {
  /**
   * What makes two jobs the same, besides their name: some members of the payload, a function of it, or all of it.
   * Members are compared as JSON with sorted keys. Default: all of it.
   */
  readonly by?: readonly (keyof Payload & string)[] | ((payload: Payload) => string);
  /**
   * What an enqueue does when there is such a job. Default `'keep'`.
   *
   *   keep      nothing; the handle is that of the job which is there
   *   replace   the job that waits gets the new payload and keeps its time
   *   debounce  the job that waits gets the new payload and the new time: give it a `delay`
   *   throttle  as keep, but whatever became of the job: the first of each `period` is stored, the others are not
   */
  readonly mode?: 'keep' | 'replace' | 'debounce' | 'throttle';
  /** A job in another state does not count. Default: all in which it has not ended. Not with `throttle`. */
  readonly states?: readonly JobState[];
  /** The job also counts for this long after it was enqueued, whatever became of it. ms, above 0. Default: not. */
  readonly period?: number;
}
