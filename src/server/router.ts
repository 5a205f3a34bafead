/**
 * Where claimed jobs wait until a worker has them: single ones in the dispatcher's line, those of batch handlers in a
 * Gatherer until there is a batch. Knows where each is, so that one that is cancelled meanwhile can be taken out.
 */
import type { ClaimedJob, Order } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';
import type { JobDefinition } from '../job/job.ts';
import type { Dispatcher } from '../pool/dispatcher.ts';
import type { Ring } from '../pool/ring.ts';
import { isFor, type Work } from './executor.ts';
import { Gatherer } from './gatherer.ts';

export interface RouterOptions {
  readonly definitions: Iterable<JobDefinition>;
  readonly dispatcher: Dispatcher<Work>;
  /** The dispatcher's. */
  readonly line: Ring<Work>;
  readonly clock: Clock;
}

export class Router {
  readonly #dispatcher: Dispatcher<Work>;
  readonly #line: Ring<Work>;
  readonly #gatherers = new Map<string, Gatherer>();

  constructor({ definitions, dispatcher, line, clock }: RouterOptions) {
    this.#dispatcher = dispatcher;
    this.#line = line;
    for (const { name, handler } of definitions) {
      if (handler.kind !== 'batch') continue;
      const { size, wait } = handler;
      this.#gatherers.set(name, new Gatherer({ size, wait, clock, dispatch: (work) => this.#submit(work) }));
    }
  }

  /** The jobs of one claim. */
  route(claimed: readonly ClaimedJob[]): void {
    if (this.#gatherers.size === 0) {
      for (const job of claimed) this.#submit({ jobs: [job] });
      return;
    }
    const batches = new Map<Gatherer, ClaimedJob[]>();
    for (const job of claimed) {
      const gatherer = this.#gatherers.get(job.name);
      if (!gatherer) this.#submit({ jobs: [job] });
      else if (batches.has(gatherer)) batches.get(gatherer)?.push(job);
      else batches.set(gatherer, [job]);
    }
    for (const [gatherer, jobs] of batches) gatherer.take(jobs);
  }

  /** Sends part-filled batches off. */
  flush(): void {
    for (const gatherer of this.#gatherers.values()) gatherer.flush();
  }

  /** All that wait here. */
  get waiting(): readonly ClaimedJob[] {
    const jobs = [...this.#gatherers.values()].flatMap((gatherer) => gatherer.held);
    for (const work of this.#look()) jobs.push(...work.jobs);
    return jobs;
  }

  /** Takes out the job that the order is for. Undefined: it does not wait here, or in a batch that is full already. */
  withdraw(order: Order): ClaimedJob | undefined {
    for (const gatherer of this.#gatherers.values()) {
      const job = gatherer.remove((held) => isFor(order, held));
      if (job) return job;
    }
    const work = this.#look().find(({ jobs: [job, another] }) => job && !another && isFor(order, job));
    return work && this.#dispatcher.withdraw(work) ? work.jobs[0] : undefined;
  }

  /** What is in the line, which stays as it is. */
  #look(): readonly Work[] {
    const waiting = this.#line.takeAll();
    for (const work of waiting) this.#line.push(work);
    return waiting;
  }

  /** The fetcher claims no more than there is room for, so a work waits here only while a batch timer raced a claim. */
  #submit(work: Work): void {
    if (this.#dispatcher.offer(work)) return;
    this.#dispatcher.submit(work).catch(() => undefined); // stopped: `leave` hands its jobs back
  }
}
