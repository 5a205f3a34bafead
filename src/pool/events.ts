/**
 * What pools tell the outside, on `node:diagnostics_channel`: for metrics, traces and logs that need no hook in the code.
 *
 *   import { subscribe } from 'node:diagnostics_channel';
 *   subscribe('millrace.pool.settled', ({ pool, id, status, error }) => …);
 *
 * Costs: a look at a flag per event while nobody listens. A subscriber runs inside the pool, so it should be quick; what
 * it throws is reported by Node as an uncaught exception.
 */
import { channel } from 'node:diagnostics_channel';
import type { Sample } from './limits/limit.ts';

/** Which task, in every message. */
export interface TaskEvent {
  /** Name of the pool. */
  readonly pool: string;
  /** Number of the submission in its pool. */
  readonly id: number;
  readonly priority: number;
  readonly key: string | undefined;
}

/** What an outcome said about load. */
export type Cause = Sample['outcome'];

export interface PoolEvents {
  /** A task was submitted and has, or waits for, a place. */
  readonly submitted: TaskEvent;
  /** Its body begins, or it is handed to a thread. */
  readonly started: TaskEvent;
  /** It has its outcome. */
  readonly settled: TaskEvent & {
    readonly status: 'fulfilled' | 'rejected' | 'cancelled';
    /** Of what did not fulfil. */
    readonly error: unknown;
  };
  /** Its body is older than `stuckAfter`; `age` in ms. */
  readonly stuck: TaskEvent & { readonly age: number };
  /** A full or closed pool turned a call away. */
  readonly refused: { readonly pool: string; readonly error: unknown };
  /** The adaptive limit moved. `cause`: what the last outcome said. */
  readonly limit: { readonly pool: string; readonly from: number; readonly to: number; readonly cause: Cause };
}

export const poolEvents = {
  submitted: channel('millrace.pool.submitted'),
  started: channel('millrace.pool.started'),
  settled: channel('millrace.pool.settled'),
  stuck: channel('millrace.pool.stuck'),
  refused: channel('millrace.pool.refused'),
  limit: channel('millrace.pool.limit'),
} as const;

/** Publishes a message. The caller looks at `hasSubscribers` first, so that none is made for nobody. */
export function publish<Name extends keyof PoolEvents>(name: Name, message: PoolEvents[Name]): void {
  poolEvents[name].publish(message);
}
