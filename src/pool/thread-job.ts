/**
 * A task while a thread has it: the crew tells it what happens there, and it tells the worker that waits for it.
 *
 * Made when the task is handed over, so that one that waits costs nothing more.
 */
import type { Transferable } from 'node:worker_threads';
import { toError } from '../errors.ts';
import type { Worker } from './dispatcher.ts';
import type { Task } from './task.ts';
import { type CrewJob, NO_SEAT } from './threads/job.ts';

export class ThreadJob implements CrewJob {
  seat = NO_SEAT;
  began = 0;
  readonly #task: Task;
  readonly #worker: Worker<Task>;

  constructor(task: Task, worker: Worker<Task>) {
    this.#task = task;
    this.#worker = worker;
  }

  get payload(): unknown {
    return this.#task.payload;
  }

  get transfer(): readonly Transferable[] | undefined {
    return this.#task.settings.transfer;
  }

  /** A callback that throws must cost neither the task nor the pool. */
  message(value: unknown): void {
    try {
      this.#task.settings.onMessage?.(value);
    } catch (error) {
      process.emitWarning(toError(error));
    }
  }

  ended(value: unknown): void {
    this.#worker.ended(value);
  }

  failed(error: unknown): void {
    this.#worker.failed(error);
  }
}
