/**
 * liteque on better-sqlite3, `walEnabled`: WAL with `synchronous=NORMAL`. It hands an async function to a transaction, which
 * the driver refuses from some version on, so it runs on an older one, and that on an older Node.
 */
import { join } from 'node:path';
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface Liteque {
  buildDBClient(path: string, options: object): object;
  readonly SqliteQueue: new (
    name: string,
    database: object,
    options: object,
  ) => {
    enqueue(letter: Letter): Promise<unknown>;
    stats(): Promise<{ readonly pending: number; readonly pending_retry: number; readonly running: number }>;
  };
  readonly Runner: new (queue: object, functions: object, options: object) => { run(): Promise<void> };
}

export const open: Open = async ({ folder }) => {
  const { buildDBClient, Runner, SqliteQueue }: Liteque = await import('liteque' as string);
  const database = buildDBClient(join(folder, 'jobs.db'), { runMigrations: true, walEnabled: true });
  const queue = new SqliteQueue('letters', database, { defaultJobArgs: { numRetries: 0 }, keepFailedJobs: true });
  return {
    add: (letter) => queue.enqueue(letter),
    async work(handler) {
      const run = (job: { readonly data: Letter }) => handler(job.data);
      const options = { concurrency: CONCURRENCY, pollIntervalMs: 1000, timeoutSecs: 60 };
      void new Runner(queue, { run }, options).run();
    },
    async left() {
      const { pending, pending_retry, running } = await queue.stats();
      return pending + pending_retry + running;
    },
  };
};
