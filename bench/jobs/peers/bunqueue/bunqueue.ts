/**
 * bunqueue embedded, on Bun. `settings.store`:
 *
 *   memory    its default: nothing survives the process
 *   buffered  a file, written up to 10 ms after the add was acknowledged
 *   durable   a file, written before: survives the process, not a power cut (WAL, `synchronous=NORMAL`)
 */
import { join } from 'node:path';
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';

interface Bunqueue {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    add(name: string, letter: Letter, options: object): Promise<unknown>;
    addBulk(jobs: readonly object[]): Promise<unknown>;
    getJobCountsAsync(): Promise<Readonly<Record<'waiting' | 'prioritized' | 'active' | 'delayed', number>>>;
  };
  readonly Worker: new (
    name: string,
    run: (job: { readonly data: Letter }) => Promise<void>,
    options: object,
  ) => object;
}

export const open: Open = async ({ folder, settings }) => {
  const { Queue, Worker }: Bunqueue = await import('bunqueue/client' as string);
  const place = { embedded: true, ...(settings?.store !== 'memory' && { dataPath: join(folder, 'jobs.db') }) };
  const opts = { removeOnComplete: true, ...(settings?.store === 'durable' && { durable: true }) };
  const queue = new Queue('letters', place);
  return {
    add: (letter) => queue.add('letter', letter, opts),
    addMany: (letters) => queue.addBulk(letters.map((data) => ({ name: 'letter', data, opts }))),
    async work(handler) {
      new Worker('letters', (job) => handler(job.data), { ...place, concurrency: CONCURRENCY });
    },
    async left() {
      const { waiting, prioritized, active, delayed } = await queue.getJobCountsAsync();
      return waiting + prioritized + active + delayed;
    },
  };
};
