/**
 * Submissions that belong together: all of them, or none any more.
 *
 *   const group = pool.group({ failFast: true });
 *   for (const url of urls) group.submit(({ signal }) => fetch(url, { signal }));
 *   const responses = await group.all();
 *
 * Promises: with `failFast`, the first that does not fulfil cancels the rest, with its error as the reason, in the moment in
 * which it settles: no further body of the group starts. Later submissions are refused with the same reason. `ended`
 * resolves when every body has really ended, also of those that did not listen. Costs: it keeps its submissions, and so
 * their values, for as long as it is kept itself.
 */
import type { AsyncResource } from 'node:async_hooks';
import type { GroupOptions, SubmitOptions } from './options.ts';
import { type Outcome, type Submission, Task, type TaskSettings } from './task.ts';

/** A task of a group, which hears of its end before anything else happens. */
export class Member extends Task {
  readonly #settled: (member: Task) => void;

  constructor(
    settings: TaskSettings,
    payload: unknown,
    context: AsyncResource | undefined,
    settled: (member: Task) => void,
  ) {
    super(settings, payload, context);
    this.#settled = settled;
  }

  protected override hasSettled(): void {
    this.#settled(this);
  }
}

type Submit<Job> = (job: Job, options: SubmitOptions, settled: (member: Task) => void) => Task;

export class Group<Job, T> {
  readonly #submit: Submit<Job>;
  readonly #failFast: boolean;
  readonly #cancel = new AbortController();
  readonly #signal: AbortSignal;
  readonly #tasks: Task[] = [];

  constructor(submit: Submit<Job>, options: GroupOptions = {}) {
    const { failFast = true, signal } = options;
    this.#submit = submit;
    this.#failFast = failFast;
    this.#signal = signal ? AbortSignal.any([signal, this.#cancel.signal]) : this.#cancel.signal;
  }

  /** Submissions so far. */
  get size(): number {
    return this.#tasks.length;
  }

  /** As the pool's `submit`. */
  submit(job: Job, options: SubmitOptions = {}): Submission<T> {
    const signal = options.signal ? AbortSignal.any([options.signal, this.#signal]) : this.#signal;
    const task = this.#submit(job, { ...options, signal }, this.#settled);
    this.#tasks.push(task);
    return task as Submission<unknown> as Submission<T>;
  }

  readonly #settled = ({ status, value }: Task): void => {
    if (this.#failFast && status !== 'fulfilled') this.cancel(value);
  };

  /** Cancels what has not ended, and what is submitted from here on. The first reason counts. */
  cancel(reason: unknown): void {
    this.#cancel.abort(reason);
  }

  /** The values, in the order of submission. Rejects with the first error as soon as there is one. */
  all(): Promise<T[]> {
    return Promise.all(this.#tasks.map(({ done }) => done as Promise<T>));
  }

  /** How each one ended, in the order of submission. */
  async outcomes(): Promise<Outcome<T>[]> {
    await Promise.allSettled(this.#tasks.map(({ done }) => done));
    return this.#tasks.map((task) => task.outcome as Outcome<T>);
  }

  /** Every body that was started has ended. */
  get ended(): Promise<void> {
    return Promise.all(this.#tasks.map(({ ended }) => ended)).then(() => undefined);
  }
}
