/** What a JobServer can be told, checked once. */
import type { Backend } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';
import { assertKnown, assertOption } from '../errors.ts';
import type { JobDefinition } from '../job/job.ts';
import type { Observer } from './events.ts';
import type { PerformMiddleware } from './middleware.ts';
import type { Queues } from './queues.ts';

export interface JobServerOptions {
  /** Opened by the caller, closed by the caller after `stop`. */
  readonly backend: Backend;
  /**
   * What this server can run, besides what is registered by `registerWorkerClass`. A job of any other name fails its attempt
   * with JOB_UNKNOWN: another server may know it. Default: none.
   */
  readonly jobs?: readonly JobDefinition[];
  /** Strict order, or weights. Default: the queues of the jobs known at the start, with equal weights. */
  readonly queues?: Queues;
  /**
   * `'parallel'`: `workers` at once. `'order'`: one by one, in the order of the queue; a failed job does not hold the
   * others up, its retry comes later. Default `'parallel'`.
   */
  readonly mode?: 'parallel' | 'order';
  /** Handlers that run at once; a batch counts as one. Minimum 1. Default 10. Only with mode `'parallel'`. */
  readonly workers?: number;
  /**
   * Jobs claimed ahead of a free worker, 0 or more. Default `'auto'`: one per worker, more while jobs end faster than a claim
   * takes, at most 16 per worker and 1,000; 0 with mode `'order'` and when all jobs are batches.
   */
  readonly prefetch?: number | 'auto';
  /** ms after the last sign of life until others take this server's jobs over. Minimum 1,000. Default 15,000. */
  readonly lease?: number;
  /** ms that the event loop may be blocked before the server counts as dead. Minimum `lease`. Default 60,000. */
  readonly stallTimeout?: number;
  /** ms that `stop` waits for running jobs before it aborts them. Minimum 0. Default 25,000. */
  readonly stopDeadline?: number;
  /** ms between claims when nothing wakes the server. Minimum 1. Default: what the backend says, or 1,000. */
  readonly pollInterval?: number;
  /** Goes around the body of every job, the first outermost. Default: none. */
  readonly middleware?: readonly PerformMiddleware[];
  /**
   * Functions that may run on without a worker, after a timeout or a cancellation that they did not heed for the time of
   * their job's `grace`. With more of them a worker stays taken until one has ended. Integer from 0. Default: `workers`, so
   * at most twice as many bodies run as there are workers.
   */
  readonly maxAbandoned?: number;
  /** Sees every event; must not throw. */
  readonly observe?: Observer;
  readonly clock?: Clock;
  /** Uniform in [0, 1): for jitter and weights. Default `Math.random`. */
  readonly random?: () => number;
}

/**
 * Jobs per free worker in a claim. A server that runs only batches claims whole batches; one that also runs single jobs
 * claims one per free worker, so that it never sits on more single jobs than it can run, and its batches fill over
 * several claims.
 */
export function commonBatchSize(jobs: Iterable<JobDefinition>): number {
  const sizes = Array.from(jobs, ({ handler }) => (handler.kind === 'batch' ? handler.size : 1));
  return sizes.length === 0 ? 1 : Math.min(...sizes);
}

/** The options with their defaults, checked. */
export function withDefaults(options: JobServerOptions) {
  const { jobs = [], mode = 'parallel', lease = 15_000, stopDeadline = 25_000 } = options;
  const { pollInterval = options.backend.pollInterval ?? 1_000 } = options;
  const { workers = mode === 'order' ? 1 : 10, stallTimeout = Math.max(60_000, lease) } = options;
  const { prefetch = mode === 'order' || commonBatchSize(jobs) > 1 ? 0 : 'auto' } = options;
  const { queues, maxAbandoned = workers, middleware = [] } = options;
  assertKnown(options, known);
  assertOption('mode', mode, mode === 'parallel' || mode === 'order', "'parallel' or 'order'");
  assertOption('workers', workers, Number.isInteger(workers) && workers >= 1, 'an integer from 1');
  assertOption('workers', workers, mode === 'parallel' || workers === 1, "absent or 1 with mode 'order'");
  const isPrefetch = prefetch === 'auto' || (Number.isInteger(prefetch) && prefetch >= 0);
  assertOption('prefetch', prefetch, isPrefetch, "an integer from 0, or 'auto'");
  assertOption('lease', lease, lease >= 1_000, 'a number of milliseconds from 1000');
  assertOption('stallTimeout', stallTimeout, stallTimeout >= lease, 'a number of milliseconds from `lease`');
  assertOption('stopDeadline', stopDeadline, stopDeadline >= 0, 'a number of milliseconds from 0');
  assertOption('pollInterval', pollInterval, pollInterval >= 1, 'a number of milliseconds from 1');
  assertOption('maxAbandoned', maxAbandoned, Number.isInteger(maxAbandoned) && maxAbandoned >= 0, 'an integer from 0');
  const isMiddleware = Array.isArray(middleware) && middleware.every((layer) => typeof layer === 'function');
  assertOption('middleware', middleware, isMiddleware, 'an array of functions');
  return { maxAbandoned, middleware, queues, workers, prefetch, lease, stallTimeout, stopDeadline, pollInterval };
}

const known = {
  backend: true,
  jobs: true,
  queues: true,
  mode: true,
  workers: true,
  prefetch: true,
  lease: true,
  stallTimeout: true,
  stopDeadline: true,
  pollInterval: true,
  middleware: true,
  maxAbandoned: true,
  observe: true,
  clock: true,
  random: true,
} as const satisfies Record<keyof JobServerOptions, true>;
