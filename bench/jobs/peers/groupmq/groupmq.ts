/**
 * groupmq on ioredis. Its jobs are in groups that run one job at a time each; a thousand groups in turn, so that a hundred
 * handlers have enough of them. What is done is removed, its default. As durable as the Redis server, see jobs/redis.ts.
 */
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface Groupmq {
  readonly Queue: new (
    options: object,
  ) => {
    add(job: { readonly groupId: string; readonly data: Letter }): Promise<unknown>;
    getJobCounts(): Promise<Readonly<Record<'active' | 'waiting' | 'delayed', number>>>;
  };
  readonly Worker: new (options: object) => { run(): Promise<void> };
}

type Ioredis = new (port: number | undefined, host: string, options: object) => object;

const GROUPS = 1_000;

export const open: Open = async ({ redis: port }) => {
  const { Queue, Worker }: Groupmq = await import('groupmq' as string);
  const { default: Redis }: { readonly default: Ioredis } = await import('ioredis' as string);
  const queue = new Queue({
    redis: new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null }),
    namespace: 'letters',
  });
  return {
    add: (data) => queue.add({ groupId: `group-${Number(data.number) % GROUPS}`, data }),
    async work(handler) {
      const run = (job: { readonly data: Letter }) => handler(job.data);
      void new Worker({ queue, handler: run, concurrency: CONCURRENCY }).run();
    },
    async left() {
      const { active, waiting, delayed } = await queue.getJobCounts();
      return active + waiting + delayed;
    },
  };
};
