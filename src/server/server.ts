/**
 * The job server: claims jobs, runs them, settles how they ended.
 *
 *   Fetcher ─claims─▶ (Gatherer) ─work─▶ Dispatcher ─▶ a free worker: Executor ─outcome─▶ Settler
 *      ▲                                     │
 *      └──────────── room again ─────────────┘          Heart: keeps the lease, rescues the dead
 *
 * Promises: a job that throws, hangs, or that nobody defined here is recorded with its error and stops nothing. `stop`
 * claims nothing more, lets what runs finish until the deadline, then aborts it, and hands back what is left without
 * costing it an attempt. A server that is killed loses nothing: its jobs run again elsewhere when its lease ends, at once
 * when its death can be seen. So a job may run twice after a crash; make handlers idempotent.
 */
import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Backend, ClaimedJob } from '../backend/backend.ts';
import { type Clock, sleep, systemClock } from '../clock.ts';
import { assertOption, MillraceError } from '../errors.ts';
import type { JobDefinition } from '../job/job.ts';
import { Service } from '../lifecycle.ts';
import { Dispatcher } from '../pool/dispatcher.ts';
import type { Observer } from './events.ts';
import { Executor, type Work } from './executor.ts';
import { Fetcher } from './fetcher.ts';
import { Gatherer } from './gatherer.ts';
import { Heart } from './heart.ts';
import { type Queues, queueNames, queueOrder } from './queues.ts';
import { Settler } from './settler.ts';

export interface JobServerOptions {
  /** Opened by the caller, closed by the caller after `stop`. */
  readonly backend: Backend;
  /** What this server can run. A job of any other name fails its attempt with JOB_UNKNOWN: another server may know it. */
  readonly jobs: readonly JobDefinition[];
  /** Strict order, or weights. Default: the queues of `jobs`, with equal weights. */
  readonly queues?: Queues;
  /**
   * `'parallel'`: `workers` at once. `'order'`: one by one, in the order of the queue; a failed job does not hold the
   * others up, its retry comes later. Default `'parallel'`.
   */
  readonly mode?: 'parallel' | 'order';
  /** Handlers that run at once; a batch counts as one. Minimum 1. Default 10. Only with mode `'parallel'`. */
  readonly workers?: number;
  /** Jobs claimed ahead of a free worker, 0 or more. Default: `workers`; 0 with mode `'order'` and when all jobs are batches. */
  readonly prefetch?: number;
  /** ms after the last sign of life until others take this server's jobs over. Minimum 1,000. Default 15,000. */
  readonly lease?: number;
  /** ms that the event loop may be blocked before the server counts as dead. Minimum `lease`. Default 60,000. */
  readonly stallTimeout?: number;
  /** ms that `stop` waits for running jobs before it aborts them. Minimum 0. Default 25,000. */
  readonly stopDeadline?: number;
  /** ms between claims when nothing wakes the server. Minimum 1. Default 1,000. */
  readonly pollInterval?: number;
  /** Sees every event; must not throw. */
  readonly observe?: Observer;
  readonly clock?: Clock;
  /** Uniform in [0, 1): for jitter and weights. Default `Math.random`. */
  readonly random?: () => number;
}

/** After the abort at the stop deadline, bodies get this long to react before they are left behind, ms. */
const ABORT_GRACE = 1_000;
/** No new claims while this many outcomes wait to be stored. */
const MAX_UNSETTLED = 20_000;

export class JobServer extends Service {
  /** Unique to this object: `host-pid-random`. */
  readonly id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  readonly #backend: Backend;
  readonly #definitions = new Map<string, JobDefinition>();
  readonly #gatherers = new Map<string, Gatherer>();
  readonly #clock: Clock;
  readonly #stopDeadline: number;
  readonly #assemble: () => Parts;
  #parts: Parts | undefined;

  constructor(options: JobServerOptions) {
    super();
    const { backend, jobs, observe, clock = systemClock, random = Math.random } = options;
    for (const job of jobs) {
      if (this.#definitions.has(job.name)) throw new MillraceError('JOB_DUPLICATE', { name: job.name });
      this.#definitions.set(job.name, job);
    }
    const settings = withDefaults(options);
    const { queues, workers, prefetch, lease, stallTimeout, pollInterval } = settings;
    const order = queueOrder(queues, random);
    const names = queueNames(queues);
    const batchSize = commonBatchSize(jobs);
    const shared = { backend, server: this.id, clock, random, observe };

    this.#backend = backend;
    this.#clock = clock;
    this.#stopDeadline = settings.stopDeadline;
    this.#assemble = () => {
      const settler: Settler = new Settler({ ...shared, onSettled: () => fetcher.roomFreed() });
      const executor = new Executor({ ...shared, definitions: this.#definitions, settle: (o) => settler.settle(o) });
      const dispatcher: Dispatcher<Work> = new Dispatcher({
        workers,
        queue: prefetch,
        run: AsyncResource.bind((work: Work) => executor.run(work)),
        onRoom: () => fetcher.roomFreed(),
      });
      const fetcher: Fetcher = new Fetcher({
        ...shared,
        queues: names,
        order,
        pollInterval,
        lowWater: Math.max(1, Math.floor((prefetch * batchSize) / 2)),
        room: () => {
          if (settler.pending >= MAX_UNSETTLED) return 0;
          // Jobs that a gatherer holds take no worker yet; it holds less than one batch.
          return dispatcher.room * batchSize;
        },
        deliver: (claimed) => this.#route(claimed, dispatcher),
      });
      const heart = new Heart({
        ...shared,
        server: { id: this.id, host: hostname(), pid: process.pid, queues: names, concurrency: workers },
        lease,
        stallTimeout,
        onRescue: () => fetcher.wake(),
      });
      return { heart, fetcher, dispatcher, executor, settler };
    };
  }

  /** Jobs whose handlers run in this server now. */
  get running(): number {
    return this.#parts?.executor.running ?? 0;
  }

  protected override async onStart(): Promise<void> {
    const parts = this.#assemble();
    this.#parts = parts;
    for (const { name, handler } of this.#definitions.values()) {
      if (handler.kind !== 'batch') continue;
      const { size, wait } = handler;
      const dispatch = (work: Work) => submit(parts.dispatcher, work);
      this.#gatherers.set(name, new Gatherer({ size, wait, clock: this.#clock, dispatch }));
    }
    await parts.heart.start();
    parts.fetcher.start();
  }

  protected override async onStop(): Promise<void> {
    const parts = this.#parts;
    if (!parts) return;
    const { heart, fetcher, dispatcher, executor, settler } = parts;
    await fetcher.stop();
    // A part-filled batch runs now rather than elsewhere later: its jobs have waited long enough.
    for (const gatherer of this.#gatherers.values()) gatherer.flush();
    this.#gatherers.clear();
    await Promise.resolve(); // the dispatcher pairs in a microtask
    dispatcher.stop(); // what waited here is still leased, and `leave` hands it back

    const ended = dispatcher.drain();
    if (!(await this.#within(this.#stopDeadline, ended))) {
      executor.abort(new MillraceError('STOPPED', { what: 'the job server' }));
      await this.#within(ABORT_GRACE, ended);
      executor.giveUp();
    }
    if (!(await this.#within(this.#stopDeadline + ABORT_GRACE, settler.drain()))) settler.giveUp();
    await settler.drain();
    await heart.stop();
    this.#parts = undefined;
    await this.#backend.leave(this.id);
  }

  /** Single jobs go to a worker as they are; those of batch handlers are gathered first. */
  #route(claimed: readonly ClaimedJob[], dispatcher: Dispatcher<Work>): void {
    if (this.#gatherers.size === 0) {
      for (const job of claimed) submit(dispatcher, { jobs: [job] });
      return;
    }
    const batches = new Map<Gatherer, ClaimedJob[]>();
    for (const job of claimed) {
      const gatherer = this.#gatherers.get(job.name);
      if (!gatherer) submit(dispatcher, { jobs: [job] });
      else if (batches.has(gatherer)) batches.get(gatherer)?.push(job);
      else batches.set(gatherer, [job]);
    }
    for (const [gatherer, jobs] of batches) gatherer.take(jobs);
  }

  /** True when `done` came within `ms`. */
  async #within(ms: number, done: Promise<unknown>): Promise<boolean> {
    const over = new AbortController();
    const late = sleep(this.#clock, ms, over.signal).then(
      () => false,
      () => true,
    );
    const result = await Promise.race([done.then(() => true), late]);
    over.abort();
    return result;
  }
}

interface Parts {
  readonly heart: Heart;
  readonly fetcher: Fetcher;
  readonly dispatcher: Dispatcher<Work>;
  readonly executor: Executor;
  readonly settler: Settler;
}

/** The fetcher claims no more than there is room for, so a work waits here only while a batch timer raced a claim. */
function submit(dispatcher: Dispatcher<Work>, work: Work): void {
  if (!dispatcher.offer(work)) dispatcher.submit(work).catch(() => undefined); // stopped: `leave` hands its jobs back
}

/**
 * Jobs per free worker in a claim. A server that runs only batches claims whole batches; one that also runs single jobs
 * claims one per free worker, so that it never sits on more single jobs than it can run, and its batches fill over
 * several claims.
 */
function commonBatchSize(jobs: readonly JobDefinition[]): number {
  const sizes = jobs.map(({ handler }) => (handler.kind === 'batch' ? handler.size : 1));
  return sizes.length === 0 ? 1 : Math.min(...sizes);
}

/** The options with their defaults, checked. */
function withDefaults(options: JobServerOptions) {
  const { jobs, mode = 'parallel', lease = 15_000, stopDeadline = 25_000, pollInterval = 1_000 } = options;
  const { workers = mode === 'order' ? 1 : 10, stallTimeout = Math.max(60_000, lease) } = options;
  const { prefetch = mode === 'order' || commonBatchSize(jobs) > 1 ? 0 : workers } = options;
  const { queues = Object.fromEntries(jobs.map((job) => [job.queue, 1])) } = options;
  assertOption('mode', mode, mode === 'parallel' || mode === 'order', "'parallel' or 'order'");
  assertOption('workers', workers, Number.isInteger(workers) && workers >= 1, 'an integer from 1');
  assertOption('workers', workers, mode === 'parallel' || workers === 1, "absent or 1 with mode 'order'");
  assertOption('prefetch', prefetch, Number.isInteger(prefetch) && prefetch >= 0, 'an integer from 0');
  assertOption('lease', lease, lease >= 1_000, 'a number of milliseconds from 1000');
  assertOption('stallTimeout', stallTimeout, stallTimeout >= lease, 'a number of milliseconds from `lease`');
  assertOption('stopDeadline', stopDeadline, stopDeadline >= 0, 'a number of milliseconds from 0');
  assertOption('pollInterval', pollInterval, pollInterval >= 1, 'a number of milliseconds from 1');
  return { queues, workers, prefetch, lease, stallTimeout, stopDeadline, pollInterval };
}
