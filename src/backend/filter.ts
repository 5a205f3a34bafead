/**
 * Which jobs. Every field narrows; absent fields match all.
 *
 * A look costs a bounded amount of work whatever it finds: it goes through at most `scanLimit` jobs and then says where
 * to go on. So a page may be empty and still not the last.
 */
import type { JobState } from '../job/state.ts';

export interface JobFilter {
  readonly ids?: readonly string[];
  readonly queue?: string;
  readonly name?: string;
  readonly states?: readonly JobState[];
  /** The job's `key`. */
  readonly key?: string;
  /** Jobs that have this tag. */
  readonly tag?: string;
  /** Enqueued at or after this moment, ms since the epoch. */
  readonly addedFrom?: number;
  /** Enqueued before this moment. */
  readonly addedBefore?: number;
  /** Text in the message of the latest error. Letters of either case match. */
  readonly error?: string;
  /** All of them hold for the payload. Payloads that are not JSON match none. */
  readonly where?: readonly Condition[];
}

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'contains';

/**
 * A value in the payload against a value. The order of two strings is that of their code points; different types are
 * unequal and in no order. `contains`: the text has it (letters of either case), or the array has an equal element.
 * A path that leads nowhere matches nothing but `!=`.
 */
export interface Condition {
  /** Names of members and positions in arrays, from the top: `['user', 'ids', 0]`. Empty: the payload itself. */
  readonly path: readonly (string | number)[];
  readonly is: Comparison;
  readonly value: string | number | boolean | null;
}

export interface Page {
  /** Go on behind this one: the `next` of the page before. */
  readonly after?: string;
  /** At most this many. Integer from 1. Default 100 for a look, 1,000 for an action. */
  readonly limit?: number;
}

/** Most jobs that one call goes through. */
export const scanLimit = 10_000;

/** What can be done to jobs from outside. Jobs in a state that the action has no meaning for are left alone. */
export type Action =
  /**
   * Scheduled, retryable and ended jobs become available at `at`, ms since the epoch (default now), and are scheduled until
   * then, whatever they were; an ended one starts over at attempt 1 and 0 crashes, its history kept. With `every` each job
   * comes that many ms after the one before. Completed and quarantined jobs only when the filter names their state or their
   * ids.
   */
  | { readonly kind: 'retry'; readonly at?: number; readonly every?: number }
  /** Waiting jobs are cancelled now; running ones are told to stop, see `orders`. */
  | { readonly kind: 'cancel'; readonly reason: string }
  /** Waiting jobs are given up as if their last attempt had failed. */
  | { readonly kind: 'discard'; readonly reason: string }
  /** Jobs that are not running are removed without a trace. */
  | { readonly kind: 'remove' };
