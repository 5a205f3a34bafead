/**
 * How many at once: the contract of a concurrency limit.
 *
 * A limit is pure arithmetic. It starts nothing, stops nothing and owns no timer; whoever enforces it keeps at most
 * `limit` attempts in flight and reports each one that ended. When the limit shrinks, attempts in flight are left to
 * finish: the surplus is a debt, paid as they return.
 */
import { assertOption } from '../../errors.ts';

/** One attempt that ended. Retries are attempts of their own; time spent waiting for a turn is not part of any. */
export interface Sample {
  /**
   * `ok`: it went through. `overload`: the other side asked for less, or was too slow to answer.
   * `ignored`: it failed for a reason that says nothing about load.
   */
  readonly outcome: 'ok' | 'overload' | 'ignored';
  /** When the attempt began, in milliseconds of the clock's `monotonic`. */
  readonly startedAt: number;
  /** How long it took, in ms. Leave it out when the measure is not to be trusted (a late event loop). */
  readonly rtt?: number;
  /** Attempts in flight when this one began, itself included. */
  readonly inFlight: number;
  /** Size of what was sent, in bytes. Large ones are compared with large ones only. */
  readonly bytes?: number;
}

export interface Limit {
  /** Attempts that may be in flight now. A whole number, minimum 1. */
  readonly limit: number;
  sample(sample: Sample): void;
  /** The other side was gone and is back: what was learnt about its speed is stale, begin low. */
  restart(): void;
}

/** A limit that never changes: a whole number from 1 up. */
export function fixedLimit(limit: number): Limit {
  assertOption('limit', limit, Number.isInteger(limit) && limit >= 1, 'a whole number from 1 up');
  return { limit, sample() {}, restart() {} };
}
