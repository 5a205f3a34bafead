/**
 * From how a body ended to how its attempt ends. The one place where that is decided.
 *
 *   a value ──────────────────────────────▶ completed; with `keepFor`, the value as its result
 *   snooze, discard, cancel, either way ──▶ snoozed, discarded, cancelled
 *   an error, after an order to cancel ───▶ cancelled
 *           , after the stop's abort ─────▶ returned
 *           , and `retryIf` says no ──────▶ discarded
 *           , and attempts are left ──────▶ failed, again after the back-off
 *           , and none are left ──────────▶ failed for good
 */
import type { AttemptError, Backend, ClaimedJob, Ending } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';
import { assertOption, isError, type MillraceError, toError } from '../errors.ts';
import { type Backoff, defaultBackoff } from '../job/backoff.ts';
import type { Control } from '../job/control.ts';
import type { JobDefinition } from '../job/job.ts';
import type { Observer } from './events.ts';
import type { Settled } from './middleware.ts';
import type { Attempt } from './run.ts';

export interface ConcludeOptions {
  readonly backend: Pick<Backend, 'backoff'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observer | undefined;
}

/** A job, and how this attempt at it ended. */
export interface Ended {
  readonly job: ClaimedJob;
  readonly ending: Ending;
}

/** A message or a stack longer than this is cut: error histories are kept with the job. */
const MAX_ERROR_TEXT = 4096;

/** What a Date can hold. */
const MAX_TIME = 8.64e15;

const COMPLETED: Ending = { kind: 'completed' };
const RETURNED: Ending = { kind: 'returned' };

/** @param took ms, for the observer */
export function conclude(
  attempt: Attempt,
  end: Settled,
  definition: JobDefinition | undefined,
  took: number,
  options: ConcludeOptions,
): Ending {
  const { observe } = options;
  const { job } = attempt;
  const thrown = 'error' in end ? end.error : isControl(end.value) ? end.value : undefined;
  if (!('error' in end) && thrown === undefined) {
    observe?.({ type: 'completed', job, value: end.value, took });
    return completed(job, end.value, definition, observe);
  }
  if (attempt.cancelled || isError(attempt.reason, 'STOPPED')) return givenUp(attempt, options);
  if (isControl(thrown)) return controlled(job, thrown, options);
  // The reason of the abort says more than the AbortError that the body made of it.
  return failed(attempt, toError(attempt.reason ?? thrown), definition, options);
}

/** Of a body that did not finish its work because somebody told it to stop. */
export function givenUp({ job, cancelled: order }: Attempt, options: ConcludeOptions): Ending {
  if (order) return cancelled(job, order, options);
  options.observe?.({ type: 'returned', job });
  return RETURNED;
}

export function cancelled(job: ClaimedJob, error: MillraceError<'JOB_CANCELLED'>, options: ConcludeOptions): Ending {
  options.observe?.({ type: 'cancelled', job, error });
  // The reason alone, as with a job that was cancelled while it waited: its state says the rest.
  const message = String(error.fields.reason).slice(0, MAX_ERROR_TEXT);
  return { kind: 'cancelled', error: { ...describe(job, error, options.clock), message } };
}

/** The work is done, so a result that cannot be written must not make it be done again. */
function completed(
  job: ClaimedJob,
  value: unknown,
  definition: JobDefinition | undefined,
  observe: Observer | undefined,
): Ending {
  if (job.keepFor === undefined || value === undefined || !definition) return COMPLETED;
  try {
    const result = definition.codec.encode(value, job.name);
    assertOption('codec.encode', result, result instanceof Uint8Array, 'a function that returns a Uint8Array');
    return { kind: 'completed', result };
  } catch (error) {
    observe?.({ type: 'result-lost', job, error: toError(error) });
    return COMPLETED;
  }
}

function isControl(value: unknown): value is Control {
  return isError(value, 'JOB_SNOOZED') || isError(value, 'JOB_DISCARDED') || isError(value, 'JOB_CANCELLED');
}

function controlled(job: ClaimedJob, control: Control, options: ConcludeOptions): Ending {
  const { clock, observe } = options;
  if (isError(control, 'JOB_CANCELLED')) return cancelled(job, control, options);
  if (isError(control, 'JOB_SNOOZED')) {
    const runAt = after(control.fields.delay, clock);
    observe?.({ type: 'snoozed', job, runAt });
    return { kind: 'snoozed', runAt };
  }
  observe?.({ type: 'failed', job, error: control });
  return { kind: 'discarded', error: describe(job, control, clock) };
}

function failed(
  attempt: Attempt,
  error: Error,
  definition: JobDefinition | undefined,
  options: ConcludeOptions,
): Ending {
  const { clock, random, observe } = options;
  const { job } = attempt;
  const described = describe(job, error, clock);
  if (!isWorthRetrying(attempt, error, definition)) {
    observe?.({ type: 'failed', job, error });
    return { kind: 'discarded', error: described };
  }
  if (job.attempt >= job.maxAttempts) {
    observe?.({ type: 'failed', job, error });
    return { kind: 'failed', error: described };
  }
  const own = definition?.backoff ?? defaultBackoff;
  const backoff = own === defaultBackoff ? (options.backend.backoff ?? own) : own;
  const retryAt = after(waitAfter(backoff, job.attempt, random, error), clock);
  observe?.({ type: 'failed', job, error, retryAt });
  return { kind: 'failed', error: described, retryAt };
}

/** What the user decides must not cost the job its retry when it throws. */
function isWorthRetrying(attempt: Attempt, error: Error, definition: JobDefinition | undefined): boolean {
  if (!definition?.retryIf) return true;
  try {
    return definition.retryIf(error, attempt.context);
  } catch {
    return true;
  }
}

/** The same for a back-off. */
function waitAfter(backoff: Backoff, attempt: number, random: () => number, error: Error): number {
  try {
    const wait = backoff(attempt, random, error);
    if (wait >= 0 && Number.isFinite(wait)) return wait;
  } catch {
    // the default below
  }
  return defaultBackoff(attempt, random, error);
}

/** A wait that leads out of time ends with it: a backend would refuse the outcome, and those of other jobs with it. */
function after(wait: number, clock: Clock): number {
  return Math.min(clock.now() + wait, MAX_TIME);
}

export function describe(job: ClaimedJob, error: Error, clock: Clock): AttemptError {
  const { message, stack, code } = readable(error);
  return {
    attempt: job.attempt,
    at: clock.now(),
    message: message.slice(0, MAX_ERROR_TEXT),
    ...(typeof code === 'string' && { code }),
    ...(stack && { stack: stack.slice(0, MAX_ERROR_TEXT) }),
  };
}

/** What stands in an error is the user's: a getter may throw, a message may be no text. */
function readable(error: Error): { message: string; stack?: string; code?: unknown } {
  try {
    const { message, stack, code } = error as Error & { code?: unknown };
    return { message: String(message), code, ...(stack && { stack: String(stack) }) };
  } catch {
    return { message: 'an error whose message cannot be read' };
  }
}
