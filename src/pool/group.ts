/**
 * Submissions that belong together: all of them, or none any more.
 *
 *   const group = pool.group({ failFast: true });
 *   for (const url of urls) group.submit(({ signal }) => fetch(url, { signal }));
 *   const responses = await group.all();
 *
 * Promises: with `failFast`, the first that fails cancels the rest, with its error as the reason, and later submissions
 * are cancelled at once. `ended` resolves when every body has really ended, also of those that did not listen. Costs: it
 * keeps its submissions, and so their values, for as long as it is kept itself.
 */
import { assertOption } from '../errors.ts';
import type { SubmitOptions } from './options.ts';
import type { Outcome, Submission, Task } from './task.ts';

export interface GroupOptions {
  /** The first error cancels the rest. Default true; with false all are run. */
  readonly failFast?: boolean;
  /** Cancels the group. */
  readonly signal?: AbortSignal;
}

export class Group<Job, T> {
  readonly #submit: (job: Job, options: SubmitOptions) => Task;
  readonly #failFast: boolean;
  readonly #cancel = new AbortController();
  readonly #signal: AbortSignal;
  readonly #tasks: Task[] = [];

  constructor(submit: (job: Job, options: SubmitOptions) => Task, options: GroupOptions = {}) {
    const { failFast = true, signal } = options;
    assertOption('failFast', failFast, typeof failFast === 'boolean', 'true or false');
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
    const task = this.#submit(job, { ...options, signal });
    this.#tasks.push(task);
    if (this.#failFast) task.done.catch((error) => this.cancel(error));
    return task as Submission<unknown> as Submission<T>;
  }

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
