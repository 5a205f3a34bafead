/**
 * One job of a pool on its way to its one outcome.
 *
 *   blocked ──▶ waiting ──▶ running ──body ends──▶ over         outcome: fulfilled | rejected | cancelled
 *      │           │           ├── cancel: abort the body, and wait for it to end
 *      │           │           └── its time is up: rejected at once; the body is aborted, and may run on
 *      └───────────┴── cancelled, dropped, or waited too long: settled at once, nothing has started
 *
 * Promises: it settles exactly once, whatever the body does. A cancelled body that returns a value all the same has
 * fulfilled: the work is done, and to say otherwise would be a lie. The body runs in the AsyncLocalStorage context of its
 * submission.
 *
 * Costs: this object is the submission that the caller gets, the link in the line, and the context that the body gets, so
 * a waiting task is one object, its captured context, and `done` if somebody asks for it: promises are made when they are
 * read, the AbortController when the body reads `signal`.
 */
import type { AsyncResource } from 'node:async_hooks';
import type { Transferable } from 'node:worker_threads';
import { MillraceError } from '../errors.ts';
import type { Link } from './chain.ts';
import type { Deadline, Deadlines } from './deadlines.ts';
import { onAbort } from './on-abort.ts';
import type { CrewJob } from './threads/job.ts';

export type Outcome<T> =
  | { readonly status: 'fulfilled'; readonly value: T }
  /** The body threw, its time was up (TASK_TIMEOUT), or its thread died (THREAD_DIED). */
  | { readonly status: 'rejected'; readonly error: unknown }
  /** `error` is the reason: that of the signal, STOPPED, TASK_DROPPED, or the error of the group. */
  | { readonly status: 'cancelled'; readonly error: unknown };

/** What a body knows about its run. */
export interface TaskContext {
  /** Aborts with the reason: that of the submission's signal, TASK_TIMEOUT, or STOPPED when the pool closes. */
  readonly signal: AbortSignal;
}

export type TaskBody<T> = (context: TaskContext) => T | Promise<T>;

/** The moments of a submission. */
export interface Submission<T> {
  /**
   * It has a place; with `caller-runs` and no place, its body has ended. Rejects with POOL_FULL, TASK_DROPPED, STOPPED,
   * TASK_TIMEOUT (its queueTimeout), or the signal's reason, and `done` with the same.
   */
  readonly accepted: Promise<void>;
  /** Its outcome. Rejects with what the body threw, or with the reason why it was cancelled. */
  readonly done: Promise<T>;
  /** Its body has really ended, or will never start. Later than `done` when a body outlives its `timeout`. */
  readonly ended: Promise<void>;
}

/** What a task is told about itself; one object serves all tasks of a pool that were given no options. */
export interface TaskSettings {
  readonly owner: TaskOwner;
  /** Gets the payload; without one the payload is the body. */
  readonly handler: Handler | undefined;
  readonly priority: number;
  readonly key: string | undefined;
  /** Bodies of the key at once. */
  readonly keyLimit: number;
  readonly weight: number;
  readonly bytes: number;
  /** ms; Infinity: none. */
  readonly queueTimeout: number;
  /** ms; Infinity: none. */
  readonly timeout: number;
  readonly onTimeout: 'hold' | 'release';
  readonly transfer: readonly Transferable[] | undefined;
  readonly onMessage: ((value: unknown) => void) | undefined;
}

/** The pool, as its tasks see it. */
export interface TaskOwner {
  readonly deadlines: Deadlines;
  /** Takes a task that has not started out of wherever it waits. */
  withdraw(task: Task): void;
  /** ms until the running body has had `timeout`: 0 or less when it has. */
  timeLeft(task: Task, timeout: number): number;
  /** The body should stop, and cannot see the signal of this thread. */
  interrupt(task: Task, reason: unknown): void;
  /** The body outlived its timeout and gives its workers back. */
  release(task: Task): void;
  /** It has an outcome. Called once. */
  settled(task: Task): void;
}

export interface Times {
  /** All in monotonic ms. */
  readonly submitted: number;
  started: number | undefined;
  settled: number;
  /** Bodies that ran when this one began, itself included. */
  inFlight: number;
}

/** What few tasks have. */
interface Extra {
  leavesWith: AbortSignal | undefined;
  stopListening: (() => void) | undefined;
  deadline: Deadline | undefined;
  stuck: Deadline | undefined;
  controller: AbortController | undefined;
  cancelled: { readonly reason: unknown } | undefined;
  timedOut: boolean;
  accepted: PromiseWithResolvers<void> | undefined;
  ended: PromiseWithResolvers<void> | undefined;
}

export type Handler = (payload: never, context: TaskContext) => unknown;

const AT_ONCE = Promise.resolve();

export class Task implements Submission<unknown>, TaskContext, Link<Task> {
  older: Task | undefined = undefined;
  newer: Task | undefined = undefined;
  /** Counts submissions: among equals the lower one starts first. */
  order = 0;
  /** `parked`: its turn has come, and its key is busy. `refused`: it never had a place, and never will. */
  phase: 'blocked' | 'waiting' | 'parked' | 'running' | 'over' | 'refused' = 'blocked';
  /** Undefined until it settles. */
  status: Outcome<unknown>['status'] | undefined = undefined;
  /** The value, or the error. */
  value: unknown = undefined;
  /** The body, or what the handler gets. */
  payload: unknown;
  readonly settings: TaskSettings;
  /** Taken only where somebody wants to know. */
  times: Times | undefined = undefined;
  /** What the crew knows it by while a thread has it. */
  threadJob: CrewJob | undefined = undefined;
  #context: AsyncResource | undefined;
  #done: Promise<unknown> | undefined = undefined;
  #resolve: ((value: unknown) => void) | undefined = undefined;
  #extra: Extra | undefined = undefined;

  constructor(settings: TaskSettings, payload: unknown, context: AsyncResource | undefined) {
    this.settings = settings;
    this.payload = payload;
    this.#context = context;
  }

  get outcome(): Outcome<unknown> | undefined {
    if (this.status === undefined) return undefined;
    if (this.status === 'fulfilled') return { status: this.status, value: this.value };
    return { status: this.status, error: this.value };
  }

  /** Its queueTimeout or timeout was over. Not every TASK_TIMEOUT is its own. */
  get timedOut(): boolean {
    return this.#extra?.timedOut ?? false;
  }

  get accepted(): Promise<void> {
    if (this.phase === 'refused') return quietly(Promise.reject(this.value));
    if (this.phase !== 'blocked' && !this.#extra?.accepted) return AT_ONCE;
    this.#more.accepted ??= Promise.withResolvers();
    return this.#more.accepted.promise;
  }

  get done(): Promise<unknown> {
    if (!this.#done) {
      if (this.status === undefined) {
        this.#done = new Promise(keepResolve);
        this.#resolve = kept;
        kept = undefined; // or the last value of all would never be let go
      } else if (this.status === 'fulfilled') this.#done = Promise.resolve(this.value);
      else this.#done = quietly(Promise.reject(this.value));
    }
    return this.#done;
  }

  get ended(): Promise<void> {
    if (this.phase === 'over' || this.phase === 'refused') return AT_ONCE;
    this.#more.ended ??= Promise.withResolvers();
    return this.#more.ended.promise;
  }

  get signal(): AbortSignal {
    const more = this.#more;
    more.controller ??= new AbortController();
    if (more.cancelled) more.controller.abort(more.cancelled.reason);
    return more.controller.signal;
  }

  /** From here on its times are taken. */
  stamp(now: number): void {
    this.times ??= { submitted: now, started: undefined, settled: 0, inFlight: 0 };
  }

  /** It leaves when the signal aborts. The caller has looked whether it has already. */
  listen(signal: AbortSignal): void {
    this.#more.leavesWith = signal;
    this.#more.stopListening = onAbort(signal, () => this.cancel(signal.reason));
  }

  /** True when its signal has aborted, also if it has not heard of it yet; it has left then. */
  leftWithSignal(): boolean {
    const signal = this.#extra?.leavesWith;
    if (signal?.aborted) this.cancel(signal.reason);
    return signal?.aborted ?? false;
  }

  /** From here on its queueTimeout runs. */
  expire(): void {
    const { queueTimeout } = this.settings;
    this.#more.deadline = this.settings.owner.deadlines.add(queueTimeout, () => {
      this.#more.timedOut = true;
      this.#leave('rejected', new MillraceError('TASK_TIMEOUT', { timeout: queueTimeout, phase: 'queued' }));
    });
  }

  /** The pool has taken it. */
  place(): void {
    this.#extra?.accepted?.resolve();
  }

  /** Somebody begins to run it. */
  start(): void {
    this.phase = 'running';
    if (this.#extra?.deadline) this.settings.owner.deadlines.delete(this.#extra.deadline);
    if (this.settings.timeout !== Number.POSITIVE_INFINITY) this.#limitRun(this.settings.timeout);
  }

  /** Calls `fire` if the body, which begins now, has not ended in `ms`. */
  watch(ms: number, fire: () => void): void {
    this.#more.stuck = this.settings.owner.deadlines.add(ms, fire);
  }

  /** Calls the body, in its context. */
  run(): unknown {
    const { payload } = this;
    const { handler } = this.settings;
    const context = this.#context;
    this.#forget();
    if (!handler) return context?.runInAsyncScope(payload as TaskBody<unknown>, undefined, this);
    return context
      ? context.runInAsyncScope(handler as (...args: unknown[]) => unknown, undefined, payload, this)
      : handler(payload as never, this);
  }

  /** The body returned, or threw. */
  end(status: 'fulfilled' | 'rejected', value: unknown): void {
    this.#forget();
    this.#finish('over');
    if (this.status !== undefined) return;
    const cancelled = this.#extra?.cancelled;
    // The reason of the abort says more than the AbortError that the body made of it.
    if (cancelled && status === 'rejected') this.#settle('cancelled', cancelled.reason);
    else this.#settle(status, value);
  }

  /** Keeps it from starting; or, if it has, tells it to stop. The first reason counts. */
  cancel(reason: unknown): void {
    if (this.phase !== 'running') this.#leave('cancelled', reason);
    else if (this.status === undefined) this.#abort(reason);
  }

  /** Settles now although the body still runs; nobody waits for it any more. */
  abandon(reason: unknown): void {
    this.place();
    if (this.#extra) this.#tidy(this.#extra);
    if (this.status === undefined) this.#settle('cancelled', reason);
  }

  /** It never gets a place: the queue is full, or the pool takes nothing. */
  refuse(reason: unknown): void {
    this.#forget();
    this.phase = 'refused';
    this.status = 'cancelled';
    this.value = reason;
    if (this.times) this.times.settled = this.times.submitted;
    this.hasSettled();
  }

  /** For kinds of tasks that want to know. */
  protected hasSettled(): void {}

  get #more(): Extra {
    this.#extra ??= {
      leavesWith: undefined,
      stopListening: undefined,
      deadline: undefined,
      stuck: undefined,
      controller: undefined,
      cancelled: undefined,
      timedOut: false,
      accepted: undefined,
      ended: undefined,
    };
    return this.#extra;
  }

  #leave(status: 'rejected' | 'cancelled', reason: unknown): void {
    if (this.phase === 'over' || this.phase === 'refused') return;
    this.settings.owner.withdraw(this);
    this.#forget();
    this.#finish(this.phase === 'blocked' ? 'refused' : 'over');
    this.#settle(status, reason);
  }

  #abort(reason: unknown): void {
    const more = this.#more;
    if (more.cancelled) return;
    more.cancelled = { reason };
    more.controller?.abort(reason);
    this.settings.owner.interrupt(this, reason);
  }

  #limitRun(left: number): void {
    const { timeout, onTimeout } = this.settings;
    this.#more.deadline = this.settings.owner.deadlines.add(left, () => {
      const rest = this.settings.owner.timeLeft(this, timeout);
      if (rest > 0) return this.#limitRun(rest);
      const error = new MillraceError('TASK_TIMEOUT', { timeout, phase: 'running' });
      this.#more.timedOut = true;
      this.#settle('rejected', error);
      this.#abort(error);
      if (onTimeout === 'hold') return;
      this.place(); // a caller that runs it itself is let go
      this.settings.owner.release(this);
    });
  }

  /** Whoever keeps the submission must not keep what the body closes over. */
  #forget(): void {
    this.payload = undefined;
    this.#context = undefined;
  }

  #finish(phase: 'over' | 'refused'): void {
    this.phase = phase;
    if (!this.#extra) return;
    this.#tidy(this.#extra);
    this.#extra.ended?.resolve();
  }

  /** Nobody may call it any more. */
  #tidy(extra: Extra): void {
    extra.stopListening?.();
    if (extra.deadline) this.settings.owner.deadlines.delete(extra.deadline);
    if (extra.stuck) this.settings.owner.deadlines.delete(extra.stuck);
  }

  #settle(status: Outcome<unknown>['status'], value: unknown): void {
    this.status = status;
    this.value = value;
    this.settings.owner.settled(this);
    this.hasSettled();
    if (this.phase === 'refused' && this.#extra?.accepted) {
      quietly(this.#extra.accepted.promise);
      this.#extra.accepted.reject(value);
    }
    if (!this.#resolve) return;
    if (status === 'fulfilled') this.#resolve(value);
    else {
      quietly(this.#done as Promise<unknown>);
      this.#resolve(Promise.reject(value));
    }
    this.#resolve = undefined;
  }
}

/**
 * The executor of `done`. Only `resolve` is kept: it is given an error as a rejected promise, and a waiting task is 64
 * bytes smaller. One function for all: a closure for each would be one object more per submission.
 */
const keepResolve = (resolve: (value: unknown) => void) => {
  kept = resolve;
};
let kept: ((value: unknown) => void) | undefined;

const ignore = () => undefined;

/** A rejection that its owner may look at or not. */
function quietly<P>(promise: Promise<P>): Promise<P> {
  promise.catch(ignore);
  return promise;
}
