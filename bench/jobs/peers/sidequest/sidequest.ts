/**
 * Sidequest on its SQLite backend (rollback journal and `synchronous=FULL`, the defaults of SQLite), in one process with the
 * inline runner: threads, its default, are slower for jobs that do nothing. It keeps what is done.
 */
import { join } from 'node:path';
import type { Letter } from '../../../letters.ts';
import { CONCURRENCY, type Open } from '../../system.ts';
import { LetterJob, onLetter } from './job.ts';

interface Sidequest {
  configure(options: object): Promise<unknown>;
  start(options: object): Promise<void>;
  build(job: unknown): { enqueue(letter: Letter): Promise<unknown> };
  readonly job: { count(): Promise<Readonly<Record<'waiting' | 'claimed' | 'running', number>>> };
}

export const open: Open = async ({ folder }) => {
  const { Sidequest }: { readonly Sidequest: Sidequest } = await import('sidequest' as string);
  const options = {
    backend: { driver: '@sidequest/sqlite-backend', config: join(folder, 'jobs.db') },
    queues: [{ name: 'default', concurrency: CONCURRENCY }],
    maxConcurrentJobs: CONCURRENCY,
    logger: { level: 'error' },
    dashboard: { enabled: false },
    gracefulShutdown: false,
    fork: false,
    runner: 'inline',
  };
  await Sidequest.configure(options);
  return {
    add: (letter) => Sidequest.build(LetterJob).enqueue(letter),
    async work(handler) {
      onLetter(handler);
      await Sidequest.start(options);
    },
    async left() {
      const { waiting, claimed, running } = await Sidequest.job.count();
      return waiting + claimed + running;
    },
  };
};
