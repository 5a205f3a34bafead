/**
 * Two things a job can say about itself by throwing, besides failing.
 *
 *   throw discard('no such customer');   it will never work: no more attempts, kept with this reason
 *   throw snooze(60_000);                not now: again in a minute, and this run costs no attempt
 */
import { assertOption, MillraceError } from '../errors.ts';

export function discard(reason: string, cause?: unknown): MillraceError<'JOB_DISCARDED'> {
  return new MillraceError('JOB_DISCARDED', { reason }, cause === undefined ? undefined : { cause });
}

/** @param delay milliseconds, from 0 */
export function snooze(delay: number): MillraceError<'JOB_SNOOZED'> {
  assertOption('delay', delay, delay >= 0, 'a number of milliseconds from 0');
  return new MillraceError('JOB_SNOOZED', { delay });
}
