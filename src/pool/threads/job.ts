/**
 * A job as the crew of threads sees it.
 */
import type { Transferable } from 'node:worker_threads';

/** `seat` of a job that the crew does not hold. */
export const NO_SEAT = -1;
/** `seat` of a job that the crew holds and no thread has. */
export const IN_LINE = -2;

/** Exactly one of `ended` and `failed` is called, once, per `start`; neither after an `abort` that took the job back. */
export interface CrewJob {
  readonly payload: unknown;
  /** What of the payload moves to the thread instead of being copied. */
  readonly transfer: readonly Transferable[] | undefined;
  /** Where the crew keeps it: the crew's to write, NO_SEAT at first. It takes the place of a map of jobs. */
  seat: number;
  /** When its body began, as `performance.now()`: the crew's to write, before `ended`, or `failed` of one that ended. */
  began?: number;
  /** What the body sent with `context.send(value)` while it ran. Must not throw. */
  message(value: unknown): void;
  /** Must not throw. */
  ended(value: unknown): void;
  /** Must not throw. */
  failed(error: unknown): void;
}
