/**
 * The job server: claims jobs, runs them, settles how they ended.
 *
 *   Fetcher ─claims─▶ Router ─work─▶ Dispatcher ─▶ a free worker: Executor ─outcome─▶ Settler
 *      ▲                                 │                           └─what jobs say─▶ Reporter
 *      └────────── room again ───────────┘
 *
 *   Heart: keeps the lease, rescues the dead, tidies     Orders: what others want of running jobs     Scheduler: ticks
 *
 * Promises: a job that throws, hangs, or that nobody defined here is recorded with its error and stops nothing. `stop`
 * claims nothing more, lets what runs finish until the deadline, then aborts it, and hands back what is left without
 * costing it an attempt. A server that is killed loses nothing: its jobs run again elsewhere when its lease ends, at once
 * when its death can be seen. So a job may run twice after a crash; make handlers idempotent. A server that was only taken for
 * dead tells the bodies of what others have now to stop, as soon as it hears of it.
 */
import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Backend, Signal } from '../backend/backend.ts';
import { type Clock, sleep, systemClock } from '../clock.ts';
import { assertOption, MillraceError, toError } from '../errors.ts';
import type { Control } from '../job/control.ts';
import type { JobDefinition } from '../job/job.ts';
import { type WorkerBody, type WorkerClassOptions, workerClass } from '../job/worker-class.ts';
import { Service } from '../lifecycle.ts';
import { Dispatcher } from '../pool/dispatcher.ts';
import { Ring } from '../pool/ring.ts';
import { Ahead } from './ahead.ts';
import type { Observer } from './events.ts';
import { Executor, type Work } from './executor.ts';
import { Fetcher } from './fetcher.ts';
import { Heart } from './heart.ts';
import { LeftBehind } from './left-behind.ts';
import { compose } from './middleware.ts';
import { commonBatchSize, type JobServerOptions, withDefaults } from './options.ts';
import { Orders } from './orders.ts';
import { queueNames, queueOrder, queuesOf } from './queues.ts';
import { Reporter } from './reporter.ts';
import { Router } from './router.ts';
import { Scheduler } from './scheduler.ts';
import { Settler } from './settler.ts';
import { Threads } from './threads.ts';

export type { JobServerOptions } from './options.ts';

/** After the abort at the stop deadline, bodies get this long to react before they are left behind, ms. */
const ABORT_GRACE = 1_000;
/** No new claims while this many outcomes wait to be stored. */
const MAX_UNSETTLED = 20_000;

export class JobServer extends Service {
  /** Unique to this object: `host-pid-random`. */
  readonly id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  readonly #definitions = new Map<string, JobDefinition>();
  readonly #clock: Clock;
  readonly #leftBehind: LeftBehind;
  readonly #backend: Backend;
  readonly #stopDeadline: number;
  /** Those it serves while it runs, when nobody said which; else undefined. */
  #derived: readonly string[] | undefined;
  /** Jobs per free worker in a claim. */
  #batchSize = 1;
  readonly #assemble: () => Parts;
  #parts: Parts | undefined;
  #told: Signal | undefined;

  constructor(options: JobServerOptions) {
    super();
    const { backend, jobs = [], observe, random = Math.random } = options;
    const { clock = backend.clock ?? systemClock } = options;
    for (const job of jobs) this.#define(job);
    const settings = withDefaults(options);
    const { workers, prefetch, lease, stallTimeout, pollInterval } = settings;
    const givenOrder = settings.queues && queueOrder(settings.queues, random);
    const middleware = compose(settings.middleware);
    const shared = { backend, server: this.id, clock, random, observe };
    const definitions = this.#definitions;
    const leftBehind = new LeftBehind(settings.maxAbandoned);

    this.#backend = backend;
    this.#clock = clock;
    this.#stopDeadline = settings.stopDeadline;
    this.#leftBehind = leftBehind;
    this.#assemble = () => {
      const queues = settings.queues ?? queuesOf(definitions.values());
      const order = givenOrder ?? queueOrder(queues, random);
      const names = queueNames(queues);
      this.#derived = settings.queues ? undefined : names;
      const reporter = new Reporter({ ...shared, onStale: (job) => executor.lose(job) });
      const settler: Settler = new Settler({ ...shared, reporter, onSettled: () => fetcher.roomFreed() });
      const threads = new Threads(definitions.values(), workers, clock);
      const executor: Executor = new Executor({
        ...shared,
        definitions,
        middleware,
        threads,
        reporter,
        leftBehind,
        settle: (ended) => settler.settle(ended),
        orderFor: (job) => orders.for(job),
      });
      const line = new Ring<Work>();
      const ahead = new Ahead(workers, prefetch === 'auto' ? undefined : prefetch);
      const dispatcher: Dispatcher<Work> = new Dispatcher({
        workers,
        queue: ahead.most,
        line,
        run: AsyncResource.bind((work: Work) => executor.run(work)),
        onRoom: () => fetcher.roomFreed(),
      });
      const router = new Router({ definitions: definitions.values(), dispatcher, line, clock });
      const fetcher: Fetcher = new Fetcher({
        ...shared,
        queues: names,
        order,
        pollInterval,
        lowWater: () => Math.max(1, Math.floor((ahead.size * this.#batchSize) / 2)),
        room: () => {
          if (settler.pending >= MAX_UNSETTLED) return 0;
          const room = Math.min(dispatcher.room, ahead.size + dispatcher.idle - dispatcher.waiting);
          // Jobs that a gatherer holds take no worker yet; it holds less than one batch.
          return Math.max(0, room) * this.#batchSize;
        },
        deliver: (claimed, isFull) => {
          if (isFull) ahead.came(dispatcher.idle, dispatcher.waiting);
          router.route(claimed);
        },
      });
      const orders: Orders = new Orders({
        ...shared,
        carryOut: (order) => {
          if (executor.cancel(order)) return;
          const waiting = router.withdraw(order);
          if (waiting) executor.drop(waiting, order);
        },
        obey: (signal) => this.#obey(signal, observe),
      });
      const heart = new Heart({
        ...shared,
        server: { id: this.id, host: hostname(), pid: process.pid, queues: names, concurrency: workers },
        lease,
        stallTimeout,
        pollInterval,
        onRescue: () => fetcher.wake(),
        checkHeld: () => reporter.ask([...executor.running, ...router.waiting]),
        readOrders: () => orders.read(),
      });
      const scheduler = backend.lacks?.schedules === undefined ? new Scheduler(shared) : undefined;
      return { heart, scheduler, orders, fetcher, router, dispatcher, executor, threads, settler, reporter };
    };
  }

  /** Jobs whose handlers run in this server now. */
  get running(): number {
    return this.#parts?.executor.running.length ?? 0;
  }

  /** Bodies that run on without a worker: see `maxAbandoned`. */
  get abandoned(): number {
    return this.#leftBehind.count;
  }

  /**
   * Registers a worker class, before the start or while the server runs; returns it, so that a client can enqueue it.
   * Throws JOB_DUPLICATE; OPTION_INVALID and OPTION_UNKNOWN like `workerClass`, and for a queue that a server which was not
   * told its `queues`, and runs, does not serve.
   */
  registerWorkerClass<const Name extends string, Args extends readonly unknown[], Result>(
    name: Name,
    perform: WorkerBody<Args, Result>,
    options: WorkerClassOptions<Args> = {},
  ): JobDefinition<Name, Readonly<Args>, Exclude<Result, Control>> {
    assertOption('perform', perform, typeof perform === 'function', 'a function');
    const definition = workerClass(name, perform, options);
    const served = this.#derived;
    const isServed = !served || served.includes(definition.queue);
    assertOption('queue', definition.queue, isServed, `one that the running server serves (${served?.join(', ')})`);
    this.#define(definition);
    return definition;
  }

  /** The signal stands in the backend, so it comes again and again. */
  #obey(signal: Signal, observe: Observer | undefined): void {
    if (this.#told === signal) return;
    this.#told = signal;
    observe?.({ type: 'signal', signal });
    this.quiet();
    if (signal === 'quiet') return;
    this.stop().catch((error) => {
      observe?.({ type: 'backend-error', error: toError(error), doing: 'leave', retryIn: 0 });
    });
  }

  #define(job: JobDefinition): void {
    if (this.#definitions.has(job.name)) throw new MillraceError('JOB_DUPLICATE', { name: job.name });
    this.#definitions.set(job.name, job);
    this.#batchSize = commonBatchSize(this.#definitions.values());
  }

  /** Claims nothing more; what runs and what was claimed goes on. It lasts until the next start. */
  quiet(): void {
    void this.#parts?.fetcher.stop();
  }

  protected override async onStart(): Promise<void> {
    const parts = this.#assemble();
    this.#told = undefined;
    this.#parts = parts;
    this.#leftBehind.holds = true;
    await parts.heart.start();
    parts.orders.start();
    parts.fetcher.start();
    parts.scheduler?.start();
  }

  protected override async onStop(): Promise<void> {
    const parts = this.#parts;
    this.#derived = undefined;
    if (!parts) return;
    parts.router.flush(); // a part-filled batch runs now rather than elsewhere later: its jobs have waited long enough
    await Promise.resolve(); // the dispatcher pairs in a microtask
    // Before anything is waited for, or jobs would go on starting. `leave` hands back what waited here.
    parts.dispatcher.stop();
    await parts.scheduler?.stop();
    await parts.fetcher.stop();
    parts.router.flush(); // batches of a claim that was under way: they are not started
    await this.#finish(parts);
    await parts.threads.stop();
    parts.reporter.stop();
    parts.orders.stop();
    await parts.heart.stop();
    this.#parts = undefined;
    await this.#backend.leave(this.id);
  }

  /** Waits for what runs, at last without it, and for its outcomes to be stored. */
  async #finish({ dispatcher, executor, settler }: Parts): Promise<void> {
    this.#leftBehind.holds = false;
    const ended = dispatcher.drain();
    if (!(await this.#within(this.#stopDeadline, ended))) {
      executor.abort(new MillraceError('STOPPED', { what: 'the job server' }));
      await this.#within(ABORT_GRACE, ended);
      executor.giveUp();
    }
    if (!(await this.#within(this.#stopDeadline + ABORT_GRACE, settler.drain()))) settler.giveUp();
    await settler.drain();
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
  /** Absent where the backend has no schedules. */
  readonly scheduler: Scheduler | undefined;
  readonly orders: Orders;
  readonly fetcher: Fetcher;
  readonly router: Router;
  readonly dispatcher: Dispatcher<Work>;
  readonly executor: Executor;
  readonly threads: Threads;
  readonly settler: Settler;
  readonly reporter: Reporter;
}
