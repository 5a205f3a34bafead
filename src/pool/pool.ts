/**
 * A bounded queue in front of a fixed number of workers: functions in this thread, or threads.
 *
 *   const pool = new Pool({ workers: 8, queue: { size: 100, whenFull: 'wait' } });
 *   const { accepted, done } = pool.submit(({ signal }) => fetch(url, { signal }), { priority: 1, timeout: 5_000 });
 *   for await (const result of pool.run(urls, (url, { signal }) => fetch(url, { signal }))) …
 *
 * Promises: bodies start in the order of `Schedule`, never more at once than there are workers, each in the
 * AsyncLocalStorage context of its call. A worker is free when its body has ended and not before, so one that was aborted
 * or timed out and runs on still counts, unless `onTimeout` says otherwise. Every submission settles exactly once,
 * whatever ends it. Rejections that nobody listens to are not "unhandled".
 *
 * Costs: two small objects per submission, and the promises that are read; one timer at most for all timeouts.
 * Trap: a body that submits to its own pool and awaits the result holds a worker while it waits; when all do, none is
 * left to run what they wait for.
 */
import { AsyncResource } from 'node:async_hooks';
import { assertOption } from '../errors.ts';
import { FanIn, type Result, type Source } from './fan-in.ts';
import { Group, Member } from './group.ts';
import type {
  CloseOptions,
  CloseReport,
  GroupOptions,
  PayloadOf,
  PoolOptions,
  PoolStats,
  RunOptions,
  SubmitOptions,
  ValueOf,
  WorkerFunction,
} from './options.ts';
import { Runner } from './runner.ts';
import {
  assertWorkers,
  checkClose,
  checkGroup,
  checkRun,
  isCount,
  type ResolvedOptions,
  resolveOptions,
  resolveSettings,
} from './settings.ts';
import type { PoolHistograms } from './tally.ts';
import { type Handler, type Submission, Task, type TaskBody, type TaskContext, type TaskSettings } from './task.ts';

export type { Result, Source } from './fan-in.ts';
export type { Group } from './group.ts';
export type * from './options.ts';
export type { PoolHistograms } from './tally.ts';
export type { Outcome, Submission, TaskBody, TaskContext } from './task.ts';

export class Pool<W extends WorkerFunction | undefined = undefined> implements AsyncDisposable {
  readonly #options: ResolvedOptions;
  readonly #runner: Runner;
  /** Of tasks that ask for nothing. */
  readonly #settings: TaskSettings;

  constructor(options: PoolOptions<W>) {
    this.#options = resolveOptions(options);
    this.#runner = new Runner(this.#options);
    this.#settings = { ...this.#options.defaults, owner: this.#runner, handler: this.#options.handler };
  }

  /** Runs the body, or the worker with the payload, as soon as a worker is free, never before this call returns. */
  submit<T = ValueOf<W>>(
    job: W extends WorkerFunction ? PayloadOf<W> : TaskBody<T>,
    options?: SubmitOptions,
  ): Submission<T> {
    return this.#submit(job, options) as Submission<unknown> as Submission<T>;
  }

  /**
   * Runs `handler` for each job of `source` and yields one result per job. Nothing is pulled before the first result is
   * asked for, and never more than two jobs per worker (in threads: than twice what they may be handed) are held, results
   * that wait for the reader included; jobs wait for a place whatever `whenFull` says.
   *
   * Leaving the loop aborts what runs, closes the source, and waits for the bodies to end. Throws after the last result:
   * what the source threw, or the reason why the intake was cut short (the signal's, the first error's with `failFast`,
   * or STOPPED by `close`).
   */
  run<Job, T>(
    this: Pool,
    source: Source<Job>,
    handler: (job: Job, context: TaskContext) => T | Promise<T>,
    options?: RunOptions<Job>,
  ): AsyncGenerator<Result<Job, T>, void, undefined>;
  /** The same with the pool's own worker. */
  run(
    source: Source<PayloadOf<W>>,
    options?: RunOptions<PayloadOf<W>>,
  ): AsyncGenerator<Result<PayloadOf<W>, ValueOf<W>>, void, undefined>;
  run(
    source: Source<unknown>,
    ...rest: [(Handler | RunOptions)?, RunOptions?]
  ): AsyncGenerator<Result<unknown, unknown>, void, undefined> {
    const own = this.#settings.handler;
    const [handler, options = {}] = (this.#hasWorker ? [own, rest[0]] : rest) as [Handler | undefined, RunOptions?];
    assertOption('source', source, isIterable(source), 'an iterable or an async iterable');
    if (!this.#hasWorker) assertOption('handler', handler, typeof handler === 'function', 'a function');
    checkRun(options);
    const runner = this.#runner;
    const settings = { ...this.#settings, handler };
    return new FanIn(source, options as RunOptions<unknown>, {
      settings,
      resolve: (asked) => resolveSettings(asked, settings, this.#options),
      clock: this.#options.clock,
      context: this.#options.module ? undefined : new AsyncResource('millrace.Run'),
      take: (task, signal) => runner.take(task, signal, 'wait'),
      window: () => 2 * runner.capacity,
    });
  }

  /** Submissions that are cancelled together. */
  group<T = ValueOf<W>>(options?: GroupOptions): Group<W extends WorkerFunction ? PayloadOf<W> : TaskBody<T>, T> {
    if (options) checkGroup(options);
    return new Group((job, settings, settled) => this.#submit(job, settings, settled), options);
  }

  /** Changes the number of workers. Integer from 1. Surplus ones leave when their body has ended. */
  resize(workers: number): void {
    const fixed = typeof this.#options.workers === 'number';
    assertOption('workers', workers, fixed, 'left to the limit that the pool was made with');
    assertWorkers(workers);
    this.#runner.resize(workers);
  }

  /** Starts nothing until `resume`. What runs goes on, and the queue still fills. Does nothing once the pool closes. */
  pause(): void {
    this.#runner.pause();
  }

  resume(): void {
    this.#runner.resume();
  }

  /**
   * Resolves when so many threads (default all) have been started and have imported the module: before the first flood,
   * or to hear early that they do not start (THREAD_START_FAILED). Functions need no warming: resolves at once.
   */
  warm(threads?: number): Promise<void> {
    if (threads !== undefined) assertOption('threads', threads, isCount(threads), 'an integer from 1');
    return this.#runner.warm(threads);
  }

  /** Resolves when nothing runs and nothing waits. A paused pool drains only after `resume`. */
  drain(): Promise<void> {
    return this.#runner.drain();
  }

  /**
   * Takes nothing more, resumes if paused, finishes what was submitted; at the deadline cancels what waits and aborts
   * what runs; a second later leaves behind what still runs. Later calls get the report of the first.
   */
  close(options: CloseOptions = {}): Promise<CloseReport> {
    checkClose(options);
    const { deadline = 25_000 } = options;
    return this.#runner.close(deadline);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The state now, and totals since the pool was made. */
  stats(): PoolStats {
    return this.#runner.stats;
  }

  /** Wait and run times. Undefined unless the option `histograms` is set. */
  get histograms(): PoolHistograms | undefined {
    return this.#runner.tally.histograms;
  }

  /** What is submitted is a payload, not a body. */
  get #hasWorker(): boolean {
    return this.#options.handler !== undefined || this.#options.module !== undefined;
  }

  #submit(job: unknown, options: SubmitOptions | undefined, settled?: (task: Task) => void): Task {
    if (!this.#hasWorker) assertOption('body', job, typeof job === 'function', 'a function');
    const settings = options ? resolveSettings(options, this.#settings, this.#options) : this.#settings;
    // No context goes from thread to thread.
    const context = this.#options.module ? undefined : new AsyncResource('millrace.Task');
    const task = settled ? new Member(settings, job, context, settled) : new Task(settings, job, context);
    this.#runner.take(task, options?.signal);
    return task;
  }
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null
    ? Symbol.iterator in value || Symbol.asyncIterator in value
    : typeof value === 'string';
}
