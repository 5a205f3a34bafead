/**
 * bee-queue with what its manual recommends for speed: no events, no jobs kept in memory, successful jobs removed. As
 * durable as the Redis server, see jobs/redis.ts.
 */
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface BeeJob {
  save(): Promise<unknown>;
}

type BeeQueue = new (
  name: string,
  options: object,
) => {
  ready(): Promise<unknown>;
  createJob(letter: Letter): BeeJob;
  saveAll(jobs: readonly BeeJob[]): Promise<ReadonlyMap<BeeJob, Error>>;
  process(concurrency: number, run: (job: { readonly data: Letter }) => Promise<void>): void;
  checkHealth(): Promise<Readonly<Record<'waiting' | 'active' | 'delayed', number>>>;
};

export const open: Open = async ({ redis: port }) => {
  const { default: Queue }: { readonly default: BeeQueue } = await import('bee-queue' as string);
  const queue = new Queue('letters', {
    redis: { host: '127.0.0.1', port },
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
  });
  await queue.ready();
  return {
    add: (letter) => queue.createJob(letter).save(),
    async addMany(letters) {
      const errors = await queue.saveAll(letters.map((letter) => queue.createJob(letter)));
      for (const error of errors.values()) throw error;
    },
    async work(handler) {
      queue.process(CONCURRENCY, (job) => handler(job.data));
    },
    async left() {
      const { waiting, active, delayed } = await queue.checkHealth();
      return waiting + active + delayed;
    },
  };
};
