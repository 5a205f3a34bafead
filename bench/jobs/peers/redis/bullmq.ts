/** BullMQ on ioredis; completed jobs are removed. As durable as the Redis server, see jobs/redis.ts. */
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface Bullmq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    add(name: string, letter: Letter): Promise<unknown>;
    addBulk(jobs: readonly object[]): Promise<unknown>;
    waitUntilReady(): Promise<unknown>;
    getJobCounts(...states: string[]): Promise<Readonly<Record<string, number>>>;
  };
  readonly Worker: new (
    name: string,
    run: (job: { readonly data: Letter }) => Promise<void>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown> };
}

export const open: Open = async ({ redis: port }) => {
  const { Queue, Worker }: Bullmq = await import('bullmq' as string);
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
  const queue = new Queue('letters', {
    connection,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  });
  await queue.waitUntilReady();
  return {
    add: (letter) => queue.add('letter', letter),
    addMany: (letters) => queue.addBulk(letters.map((data) => ({ name: 'letter', data }))),
    async work(handler) {
      const worker = new Worker('letters', (job) => handler(job.data), { connection, concurrency: CONCURRENCY });
      await worker.waitUntilReady();
    },
    async left() {
      const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'paused', 'prioritized');
      return Object.values(counts).reduce((sum, count) => sum + count, 0);
    },
  };
};
