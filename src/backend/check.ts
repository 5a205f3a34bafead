/** What every backend asks of its input, before anything of a call is stored. */
import { assertOption } from '../errors.ts';
import type { AddGroup, Ending, NewJob } from './backend.ts';

/** Throws OPTION_INVALID unless the conditions of the group make sense; its jobs are looked at one by one. */
export function assertGroup({ maxWaiting, once }: AddGroup): void {
  const isLimit = maxWaiting === undefined || maxWaiting >= 0;
  assertOption('maxWaiting', maxWaiting, isLimit, 'a number from 0');
  if (!once) return;
  const { key, fingerprint, ttl } = once;
  assertOption('once.key', key, isName(key), 'a non-empty, well-formed string');
  assertOption('once.fingerprint', fingerprint, typeof fingerprint === 'string', 'a string');
  assertOption('once.ttl', ttl, ttl >= 0 && ttl <= MAX_TIME, 'a number of milliseconds from 0');
}

/** Throws OPTION_INVALID unless `limit` can be a number of jobs. */
export function assertLimit(limit: number): void {
  assertOption('limit', limit, Number.isSafeInteger(limit) && limit >= 0, 'an integer from 0');
}

/** Throws OPTION_INVALID unless the job is one that any backend can store. */
export function assertJob(job: NewJob): void {
  const { queue, name, priority, maxAttempts } = job;
  assertOption('queue', queue, isName(queue), 'a non-empty, well-formed string');
  assertOption('name', name, isName(name), 'a non-empty, well-formed string');
  assertOption(
    'priority',
    priority,
    Number.isInteger(priority) && priority >= 0 && priority <= 9,
    'an integer from 0 to 9',
  );
  assertOption(
    'maxAttempts',
    maxAttempts,
    Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= MAX_ATTEMPTS,
    'an integer from 1 to 2147483647',
  );
  assertPayload(job);
}

/** The part that differs from job to job. */
export function assertPayload({ payload, runAt }: NewJob): void {
  if (!(payload instanceof Uint8Array)) assertOption('payload', payload, false, 'a Uint8Array');
  if (runAt !== undefined) assertTime('runAt', runAt);
}

/** Throws OPTION_INVALID unless `at` is a moment, ms since the epoch. */
function assertTime(option: string, at: number): void {
  assertOption(option, at, Number.isFinite(at) && Math.abs(at) <= MAX_TIME, 'milliseconds since the epoch');
}

/** Throws OPTION_INVALID when the ending names a moment that is none. */
export function assertEnding(ending: Ending): void {
  if (ending.kind === 'snoozed') assertTime('runAt', ending.runAt);
  if (ending.kind === 'failed' && ending.retryAt !== undefined) assertTime('retryAt', ending.retryAt);
}

const MAX_ATTEMPTS = 2 ** 31 - 1;

/** What a Date can hold. */
const MAX_TIME = 8.64e15;

/** Half a surrogate pair cannot be written as UTF-8, so it would come back as another name. */
function isName(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.isWellFormed();
}
