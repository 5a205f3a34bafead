/**
 * Three things a job can say about itself instead of succeeding or failing. Thrown or returned, they count the same.
 *
 *   return snooze(60_000);               not now: again in a minute, and this run costs no attempt
 *   throw discard('no such customer');   it will never work: no more attempts, kept with this reason
 *   throw cancel('order withdrawn');     it is not wanted any more: ended on purpose, kept with this reason
 */
import { assertOption, MillraceError } from '../errors.ts';

/** What a body may return besides its result; not part of the result's type. */
export type Control = MillraceError<'JOB_SNOOZED'> | MillraceError<'JOB_DISCARDED'> | MillraceError<'JOB_CANCELLED'>;

/** @param cause the error that made it hopeless, for the history */
export function discard(reason: string, cause?: unknown): MillraceError<'JOB_DISCARDED'> {
  return new MillraceError('JOB_DISCARDED', { reason }, cause === undefined ? undefined : { cause });
}

export function cancel(reason: string): MillraceError<'JOB_CANCELLED'> {
  return new MillraceError('JOB_CANCELLED', { reason });
}

/** @param delay milliseconds, from 0 */
export function snooze(delay: number): MillraceError<'JOB_SNOOZED'> {
  assertOption('delay', delay, delay >= 0 && Number.isFinite(delay), 'a number of milliseconds from 0');
  return new MillraceError('JOB_SNOOZED', { delay });
}
