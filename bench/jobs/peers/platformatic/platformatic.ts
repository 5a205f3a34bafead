/**
 * @platformatic/job-queue on iovalkey, everything at its default but the concurrency. It keeps results for an hour, and cannot be
 * told not to. It does not say what is left, so its lists are counted. As durable as the Redis server, see jobs/redis.ts.
 */
import type { Letter } from '../../../letters.ts';
import { Meter } from '../../meter.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface JobQueue {
  readonly Queue: new (
    options: object,
  ) => {
    start(): Promise<void>;
    execute(run: (job: { readonly payload: Letter }) => Promise<unknown>): void;
    enqueue(id: string, letter: Letter): Promise<unknown>;
  };
  readonly RedisStorage: new (options: { readonly url: string }) => object;
}

const WORKER = 'worker';

export const open: Open = async ({ redis: port }) => {
  const { Queue, RedisStorage }: JobQueue = await import('@platformatic/job-queue' as string);
  const storage = new RedisStorage({ url: `redis://127.0.0.1:${port}` });
  const queue = new Queue({ storage, concurrency: CONCURRENCY, workerId: WORKER });
  await queue.start();
  const lists = await Meter.open(port ?? 0);
  return {
    add: (letter) => queue.enqueue(letter.number, letter),
    async work(handler) {
      queue.execute(async (job) => {
        await handler(job.payload);
        return null; // `undefined` has no JSON, and would fail the job
      });
    },
    async left() {
      const lengths = await Promise.all(['jq:queue', `jq:processing:${WORKER}`].map((list) => lists.length(list)));
      return lengths.reduce((sum, length) => sum + length);
    },
  };
};
