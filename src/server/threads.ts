/**
 * The bodies that are modules: a pool of threads per definition, from the server's start to its stop.
 *
 * A thread gets one job at a time and the next when it is free, so that a job that is cancelled is never behind another.
 * What the body reports comes back as messages. Ended by force, `grace` ms after its abort, is the thread and with it
 * nothing but that one job.
 */
import { availableParallelism } from 'node:os';
import type { Clock } from '../clock.ts';
import type { JobDefinition } from '../job/job.ts';
import { Pool } from '../pool/pool.ts';
import type { Attempt } from './run.ts';
import type { FromBody, ToBody } from './thread-body.ts';

type Body = typeof import('./thread-body.ts').default;

export class Threads {
  readonly #pools = new Map<string, Pool<Body>>();

  constructor(definitions: Iterable<JobDefinition>, workers: number, clock: Clock) {
    for (const { name, handler, grace } of definitions) {
      if (handler.kind !== 'thread') continue;
      const threads = Math.min(workers, handler.threads ?? availableParallelism());
      const pool = new Pool<Body>({
        worker: new URL('./thread-body.ts', import.meta.url),
        workers: threads,
        queue: { size: workers },
        threads: { window: 0, abortGrace: grace, workerData: { module: handler.module.href } },
        name,
        clock,
      });
      this.#pools.set(name, pool);
    }
  }

  /** Resolves to what the body returns. @param began called when a thread begins */
  async run(attempt: Attempt, payload: unknown, began: () => void): Promise<unknown> {
    const { context, job } = attempt;
    const { id, name, queue, maxAttempts, crashes, addedAt, key, tags, headers } = context;
    const facts = { id, name, queue, attempt: job.attempt, maxAttempts, crashes, addedAt, key, tags, headers };
    const onMessage = (message: unknown) => {
      const { kind, value } = message as FromBody;
      if (kind === 'began') began();
      else if (kind === 'progress') context.progress(value);
      else context.log(value);
    };
    const sent: ToBody = { payload, facts };
    const pool = this.#pools.get(name) as Pool<Body>;
    return pool.submit(sent, { signal: context.signal, onMessage }).done;
  }

  /** Ends all threads. What still runs is aborted. */
  async stop(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.close({ deadline: 0 })));
    this.#pools.clear();
  }
}
