/**
 * A backlog that node-resque enqueues, and the workers of either side: node-resque's own, or Millrace's on the same wire.
 * Both are asked in the same way what is left: what was enqueued less what Resque's own counter has.
 *
 * node-resque runs one job at a time per worker, so it gets one worker per handler, as its MultiWorker makes them, but all at
 * once: that one begins with a few and adds one every half a second. As its manual has it each worker has a connection of its
 * own; beside that they share one, which takes fewer system calls.
 */
import { Queue, Worker } from 'node-resque';
import { openBackend } from '../../src/backend/open.ts';
import { workerClass } from '../../src/job/worker-class.ts';
import { JobServer } from '../../src/server/server.ts';
import type { Task } from '../jobs/spec.ts';
import { CONCURRENCY, type Handler, type Open } from '../jobs/system.ts';
import type { Letter } from '../letters.ts';

const QUEUE = 'letters';
const CLASS = 'Letter';

export const open: Open = async (task) => {
  const connection = { pkg: 'ioredis', host: '127.0.0.1', port: task.redis as number, database: 0, options: {} };
  const queue = new Queue({ connection });
  await queue.connect();
  const { redis } = queue.connection;
  let added = 0;
  return {
    async add(letter) {
      added++;
      await queue.enqueue(QUEUE, CLASS, [letter]);
    },
    work: (handler) => (task.settings?.workers === 'millrace' ? ours(task, handler) : theirs(queue, task, handler)),
    async left() {
      const [processed, failed] = await redis.mget(
        queue.connection.key('stat', 'processed'),
        queue.connection.key('stat', 'failed'),
      );
      if (Number(failed ?? 0) > 0) throw new Error(`${failed} jobs failed`);
      return added - Number(processed ?? 0);
    },
  };
};

async function theirs(queue: Queue, { redis: port, settings }: Task, handler: Handler): Promise<void> {
  const jobs = { [CLASS]: { perform: (letter: Letter) => handler(letter) } };
  const own = { pkg: 'ioredis', host: '127.0.0.1', port: port as number, database: 0, options: {} };
  const shared = { pkg: 'ioredis', redis: queue.connection.redis };
  shared.redis.setMaxListeners(0);
  const connection = settings?.workers === 'node-resque, shared' ? shared : own;
  for (let n = 1; n <= CONCURRENCY; n++) {
    const name = `bench:${process.pid}+${n}`;
    const worker = new Worker({ connection, queues: [QUEUE], name, timeout: 50 }, jobs);
    await worker.connect();
    await worker.start();
  }
}

async function ours({ redis }: Task, handler: Handler): Promise<void> {
  const backend = await openBackend(`resque:redis://127.0.0.1:${redis}`);
  const jobs = [workerClass(CLASS, (_queue, letter: Letter) => handler(letter))];
  await new JobServer({ backend, jobs, queues: [QUEUE], workers: CONCURRENCY }).start();
}
