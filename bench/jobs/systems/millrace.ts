/**
 * Millrace as a user has it: a client and a job server on one backend in one process, everything at its default but the
 * number of workers. SQLite with `synchronous=FULL`; with `settings.backend: 'memory'` in memory, with `'redis'` on the server
 * of the task. With `settings.keys` each job has one of so many keys, in turn.
 */
import { join } from 'node:path';
import { openBackend } from '../../../src/backend/open.ts';
import { Client } from '../../../src/client/client.ts';
import { defineJob } from '../../../src/job/job.ts';
import { JobServer } from '../../../src/server/server.ts';
import type { Letter } from '../../letters.ts';
import type { Task } from '../spec.ts';
import { CONCURRENCY, type Handler, type Open } from '../system.ts';

export const open: Open = async (task) => {
  const backend = await openBackend(urlOf(task));
  let handle: Handler = () => Promise.reject(new Error('run before there was a handler'));
  const keys = Number(task.settings?.keys ?? 0);
  const job = defineJob({
    name: 'letter',
    ...(keys > 0 && { key: (letter: Letter) => String(Number(letter.number) % keys) }),
    run: (letter: Letter) => handle(letter),
  });
  const client = new Client({ backend });
  const server = new JobServer({ backend, jobs: [job], workers: CONCURRENCY });
  return {
    add: (letter) => client.enqueue(job, letter),
    addMany: (letters) => client.enqueueMany(job, letters),
    async work(handler) {
      handle = handler;
      await server.start();
    },
    async left() {
      const counts = await backend.counts();
      return counts.reduce(
        (sum, queue) => sum + queue.scheduled + queue.available + queue.running + queue.retryable,
        0,
      );
    },
    stop: () => server.stop(),
  };
};

function urlOf({ folder, redis, settings }: Task): string {
  if (settings?.backend === 'memory') return 'memory:';
  return settings?.backend === 'redis' ? `redis://127.0.0.1:${redis}` : `sqlite:${join(folder, 'jobs.db')}`;
}
