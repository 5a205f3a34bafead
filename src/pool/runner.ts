/**
 * What goes on inside a pool: takes tasks, gives them places and workers, and hears of their ends.
 *
 *   take ─▶ blocked ─▶ Schedule ─▶ Dispatcher ─▶ body ─▶ over
 *           callers    who is next  a free worker
 *           held back
 *
 * Promises: a task that was taken is over some time, and settles once before that; bodies that run and were not given up
 * never take more workers than there are. `close` leaves no timer. Costs: nothing is allocated here per task.
 */
import { MillraceError, toError } from '../errors.ts';
import { Chain } from './chain.ts';
import { Deadlines } from './deadlines.ts';
import { Dispatcher, isThenable, LATER, type Worker } from './dispatcher.ts';
import { type Cause, poolEvents, publish, type TaskEvent } from './events.ts';
import { Governor } from './governor.ts';
import type { CloseReport, PoolStats, WhenFull } from './options.ts';
import { Pace } from './pace.ts';
import { Schedule } from './schedule.ts';
import type { ResolvedOptions } from './settings.ts';
import { Tally } from './tally.ts';
import type { Task, TaskOwner } from './task.ts';
import { ThreadJob } from './thread-job.ts';
import { Crew } from './threads/crew.ts';

/** After the abort at the deadline, bodies get this long to end before they are left behind, ms. */
const ABORT_GRACE = 1_000;

export class Runner implements TaskOwner {
  readonly deadlines: Deadlines;
  readonly tally: Tally;
  readonly #options: ResolvedOptions;
  readonly #schedule: Schedule;
  readonly #dispatcher: Dispatcher<Task>;
  readonly #pace: Pace;
  readonly #governor: Governor | undefined;
  /** Threads, where bodies run in those. */
  readonly #crew: Crew | undefined;
  /** Tasks of callers that wait for a place. */
  readonly #blocked = new Chain<Task>();
  /** Tasks whose bodies gave their workers back. */
  readonly #detached = new Set<Task>();
  /** Tasks whose bodies run in the calls that brought them. */
  readonly #inCallers = new Set<Task>();
  #workers: number;
  #paused = false;
  /** A body runs in the call that brought it, and has not returned. */
  #inCall = false;
  /** The place that gets free belongs to the task for which another one is dropped. */
  #dropping = false;
  /** Tasks that are neither over nor given up. */
  #live = 0;
  #drained: (() => void)[] = [];
  #closing: Promise<CloseReport> | undefined;

  constructor(options: ResolvedOptions) {
    const { workers, queue, clock, rate, learns, module, threads } = options;
    this.#options = options;
    this.#workers = typeof workers === 'number' ? workers : workers.limit;
    this.deadlines = new Deadlines(clock);
    this.tally = new Tally(options.histograms);
    this.#pace = new Pace(clock, rate, () => this.#dispatcher.retry());
    this.#governor = learns ? new Governor(options, this.#pace) : undefined;
    this.#schedule = new Schedule({ ...queue, pace: rate || learns ? this.#pace : undefined });
    this.#crew =
      module &&
      new Crew({ module, threads: this.#workers, options: threads, clock, onCapacity: () => this.#resized() });
    this.#dispatcher = new Dispatcher<Task>({
      workers: this.capacity,
      queue: queue.size,
      line: this.#schedule,
      weigh: (task) => task.settings.weight,
      run: (task, worker) => this.#run(task, worker),
      onEnd: (task, value) => this.#ended(task, 'fulfilled', value),
      onError: (error, task) => this.#ended(task, 'rejected', error),
      onRoom: () => this.#unblock(),
    });
  }

  /** Workers that there should be. */
  get workers(): number {
    return this.#workers;
  }

  get stats(): PoolStats {
    const handedOver = this.#dispatcher.running;
    // What lies in the window of a thread still waits.
    const running = this.#crew ? this.#crew.started : handedOver;
    return {
      workers: this.#workers,
      paused: this.#paused,
      running,
      waiting: this.#dispatcher.waiting + handedOver - running,
      blocked: this.#blocked.size,
      detached: this.#detached.size + this.#inCallers.size,
      threads: this.#crew?.stats(),
      ...this.tally.counts,
    };
  }

  /** Tasks that workers may have at once; in threads more than bodies. */
  get capacity(): number {
    return this.#crew ? this.#crew.capacity : this.#workers;
  }

  /** Gives a task a place, or lets it wait for one, or settles it with the reason why not. */
  take(task: Task, signal: AbortSignal | undefined, policy: WhenFull = this.#options.queue.whenFull): void {
    this.#unblock(); // a place that is free now belongs to those who have waited for it
    // Nothing starts while it is paused, in a call neither; and bodies that run in calls of bodies would fill the stack.
    const whenFull = policy === 'caller-runs' && (this.#paused || this.#inCall) ? 'wait' : policy;
    const full = this.#dispatcher.room === 0;
    const refusal = this.#refusal(task, signal, full ? whenFull : undefined);
    if (refusal) {
      this.tally.refused++;
      if (poolEvents.refused.hasSubscribers) publish('refused', { pool: this.#options.name, error: refusal.reason });
      task.refuse(refusal.reason);
      return;
    }
    task.order = this.tally.submitted++;
    this.#live++;
    if (this.#options.timed) task.stamp(this.#options.clock.monotonic());
    if (signal) task.listen(signal);
    const runsHere = full && whenFull === 'caller-runs';
    if (task.settings.queueTimeout !== Number.POSITIVE_INFINITY && !runsHere) task.expire();
    if (full && (runsHere || whenFull === 'wait')) this.#blocked.push(task);
    else this.#place(task);
    // Not before it stands somewhere: a subscriber may abort it.
    if (poolEvents.submitted.hasSubscribers) publish('submitted', this.#about(task));
    if (!runsHere || task.phase !== 'blocked') return;
    this.#blocked.delete(task);
    this.#runInCaller(task);
  }

  resize(workers: number): void {
    this.#workers = workers;
    if (this.#crew) this.#crew.resize(workers);
    else this.#resized();
  }

  /** Resolves when the threads are there; at once where there are none. */
  async warm(threads?: number): Promise<void> {
    await this.#crew?.warm(threads);
  }

  pause(): void {
    if (this.#closing) return;
    this.#paused = true;
    this.#dispatcher.resize(0);
  }

  resume(): void {
    this.#paused = false;
    this.#resized();
  }

  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#resolveDrained();
    });
  }

  close(deadline: number): Promise<CloseReport> {
    this.#closing ??= this.#close(deadline);
    return this.#closing;
  }

  withdraw(task: Task): void {
    if (task.phase === 'blocked') this.#blocked.delete(task);
    else this.#dispatcher.withdraw(task);
    this.#over();
  }

  timeLeft({ threadJob: job }: Task, timeout: number): number {
    if (!this.#crew || !job) return 0;
    const startedAt = this.#crew.startedAt(job);
    // In a thread's window its time does not run.
    return startedAt === undefined ? timeout : startedAt + timeout - this.#options.clock.monotonic();
  }

  interrupt({ threadJob: job }: Task, reason: unknown): void {
    if (job && this.#crew?.abort(job, reason)) job.failed(reason);
  }

  release(task: Task): void {
    this.#inCallers.delete(task);
    this.#detached.add(task);
    this.#dispatcher.release(task);
    this.#over();
  }

  settled(task: Task): void {
    if (task.times) task.times.settled = this.#options.clock.monotonic();
    this.tally.settled(task);
    // What outlived its timeout has told enough; it may never end.
    if (this.#governor && task.timedOut && task.phase === 'running') this.#learn(this.#governor, task);
    if (!poolEvents.settled.hasSubscribers) return;
    const { status = 'cancelled', value } = task;
    publish('settled', { ...this.#about(task), status, error: status === 'fulfilled' ? undefined : value });
  }

  #resized(): void {
    if (!this.#paused) this.#dispatcher.resize(this.capacity);
  }

  #place(task: Task): void {
    task.place();
    this.#dispatcher.offer(task);
  }

  /**
   * Places belong to the callers that have waited longest. Not to those who are about to leave: when many wait behind one
   * signal, the first that leaves may free a place.
   */
  #unblock(): void {
    if (this.#dropping) return;
    for (let task = this.#blocked.oldest; task && this.#dispatcher.room > 0; task = this.#blocked.oldest) {
      if (task.leftWithSignal()) continue;
      this.#blocked.delete(task);
      this.#place(task);
    }
  }

  /** Why the task is not taken, if so. `whenFull`: what to do about a full queue; undefined when it is not full. */
  #refusal(
    task: Task,
    signal: AbortSignal | undefined,
    whenFull: WhenFull | undefined,
  ): { readonly reason: unknown } | undefined {
    if (this.#closing) return { reason: stopped() };
    if (signal?.aborted) return { reason: signal.reason };
    const { size } = this.#options.queue;
    if (whenFull === 'reject') return { reason: new MillraceError('POOL_FULL', { size }) };
    if (whenFull !== 'drop-oldest' && whenFull !== 'drop-newest') return undefined;
    // More than one, when fewer workers made the queue longer than it should be.
    while (this.#dispatcher.room === 0) {
      const least = whenFull === 'drop-oldest' ? this.#schedule.least : undefined;
      // One of a higher priority is not given up for one of a lower.
      if (!least || least.settings.priority < task.settings.priority) {
        return { reason: new MillraceError('TASK_DROPPED', { size, which: 'newest' }) };
      }
      this.tally.dropped++;
      this.#dropping = true;
      least.cancel(new MillraceError('TASK_DROPPED', { size, which: 'oldest' }));
      this.#dropping = false;
    }
    return undefined;
  }

  #run(task: Task, worker?: Worker<Task>): unknown {
    task.start();
    if (task.times) {
      task.times.started = this.#options.clock.monotonic();
      task.times.inFlight = this.#dispatcher.running;
    }
    const { stuckAfter } = this.#options;
    if (stuckAfter !== Number.POSITIVE_INFINITY) {
      task.watch(stuckAfter, () => {
        if (poolEvents.stuck.hasSubscribers) publish('stuck', { ...this.#about(task), age: stuckAfter });
      });
    }
    if (poolEvents.started.hasSubscribers) publish('started', this.#about(task));
    if (!this.#crew || !worker) return task.run();
    task.threadJob = new ThreadJob(task, worker);
    this.#crew.start(task.threadJob);
    return LATER;
  }

  #ended(task: Task, status: 'fulfilled' | 'rejected', value: unknown): void {
    this.#schedule.release(task);
    this.#conclude(task, status, value);
  }

  #conclude(task: Task, status: 'fulfilled' | 'rejected', value: unknown): void {
    // It was handed over before its body began.
    if (task.times && task.threadJob?.began) task.times.started = this.#fromThread(task.threadJob.began);
    task.end(status, value);
    if (this.#governor && !task.timedOut) this.#learn(this.#governor, task);
    if (this.#detached.size === 0 || !this.#detached.delete(task)) this.#over();
  }

  /** Beyond the workers, and outside the schedule. `accepted` comes with the end, so that it holds the caller back. */
  #runInCaller(task: Task): void {
    this.#inCallers.add(task);
    void task.accepted; // asked for now, or it would be taken for one that has its place
    const end = (status: 'fulfilled' | 'rejected', value: unknown) => {
      this.#inCallers.delete(task);
      task.place();
      this.#conclude(task, status, value);
    };
    try {
      this.#inCall = true;
      const value = this.#run(task);
      this.#inCall = false;
      if (isThenable(value)) {
        Promise.resolve(value).then(
          (settled) => end('fulfilled', settled),
          (error) => end('rejected', error),
        );
      } else end('fulfilled', value);
    } catch (error) {
      this.#inCall = false;
      end('rejected', error);
    }
  }

  /** What `classify` or a limit throws must cost neither the worker nor the outcome. */
  #learn(governor: Governor, task: Task): void {
    try {
      this.#adapt(governor.learn(task));
    } catch (error) {
      process.emitWarning(toError(error));
    }
  }

  #adapt(cause: Cause): void {
    const { workers, name } = this.#options;
    if (typeof workers === 'number' || workers.limit === this.#workers) return;
    if (poolEvents.limit.hasSubscribers)
      publish('limit', { pool: name, from: this.#workers, to: workers.limit, cause });
    this.resize(workers.limit);
  }

  #over(): void {
    this.#live--;
    this.#resolveDrained();
  }

  #resolveDrained(): void {
    if (this.#live > 0 || this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  async #close(deadline: number): Promise<CloseReport> {
    const before = this.tally.counts;
    let abandoned = 0;
    this.resume();
    const drained = this.drain();
    const reason = stopped();
    if (!(await this.#within(deadline, drained))) {
      // Callers first: a place that gets free must not go to one of them.
      for (const task of [...this.#blocked]) task.cancel(reason);
      for (const task of this.#schedule) task.cancel(reason);
      for (const task of this.#running()) task.cancel(reason);
      await this.#within(ABORT_GRACE, drained);
    }
    // Those that ignored the abort, and those that were given up long before: nobody waits for them any more.
    for (const task of this.#running()) {
      if (task.status === undefined) abandoned++;
      task.abandon(reason);
    }
    this.#pace.stop();
    await this.#crew?.close();
    const { fulfilled, rejected, cancelled } = this.tally;
    return {
      finished: fulfilled - before.fulfilled + rejected - before.rejected,
      aborted: cancelled - before.cancelled - abandoned,
      abandoned,
    };
  }

  #running(): Task[] {
    return [...this.#dispatcher.jobs(), ...this.#detached, ...this.#inCallers];
  }

  /** True when `done` came within `ms`. */
  #within(ms: number, done: Promise<void>): Promise<boolean> {
    if (ms === Number.POSITIVE_INFINITY) return done.then(() => true);
    return new Promise((resolve) => {
      const timer = this.#options.clock.timer(ms, () => resolve(false));
      void done.then(() => {
        timer.cancel();
        resolve(true);
      });
    });
  }

  /** `performance.now()`, as the pool's clock would have said it. */
  #fromThread(at: number): number {
    return this.#options.clock.monotonic() - (performance.now() - at);
  }

  #about({ order, settings: { priority, key } }: Task): TaskEvent {
    return { pool: this.#options.name, id: order, priority, key };
  }
}

function stopped(): MillraceError {
  return new MillraceError('STOPPED', { what: 'the pool' });
}
