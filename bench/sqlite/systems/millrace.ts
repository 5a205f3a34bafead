/**
 * Millrace as a user has it: a client and a job server on one backend in one process, everything at its default but the
 * number of workers. SQLite with `synchronous=FULL`; with `settings.backend: 'memory'` in memory.
 */
import { join } from 'node:path';
import { openBackend } from '../../../src/backend/open.ts';
import { Client } from '../../../src/client/client.ts';
import { defineJob } from '../../../src/job/job.ts';
import { JobServer } from '../../../src/server/server.ts';
import type { Letter } from '../../letters.ts';
import { CONCURRENCY, type Handler, type Open } from '../system.ts';

export const open: Open = async ({ folder, settings }) => {
  const backend = await openBackend(settings?.backend === 'memory' ? 'memory:' : `sqlite:${join(folder, 'jobs.db')}`);
  let handle: Handler = () => Promise.reject(new Error('run before there was a handler'));
  const job = defineJob({ name: 'letter', run: (letter: Letter) => handle(letter) });
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
