/**
 * A job server on the Sidekiq wire that kills itself: the program of test/sidekiq-crash.test.ts.
 *
 *   node sidekiq-worker.ts <url of redis> <step> <after how many times>
 *
 * Steps: `popped` right after a claim, `started` before the body does anything, `ran` when it has, `ended` before that is told to
 * Redis. Ends by itself, with 0, when the queue is empty.
 */
import { openBackend } from '../../src/backend/open.ts';
import { makeLink } from '../../src/backend/redis/link/link.ts';
import { workerClass } from '../../src/job/worker-class.ts';
import { JobServer } from '../../src/server/server.ts';

const [url = '', step = '', count = '1'] = process.argv.slice(2);
let left = Number(count);

function reach(here: string): void {
  if (here === step && --left === 0) process.kill(process.pid, 'SIGKILL');
}

const link = makeLink(url);
await link.open();
const backend = await openBackend(`sidekiq:${url}`);
const hard = workerClass('HardJob', async function run(_queue, n: number) {
  reach('started');
  await link.command(undefined, ['RPUSH', 'seen', String(n)]);
  reach('ran');
});
const { promise: empty, resolve: isEmpty } = Promise.withResolvers<void>();
const server = new JobServer({
  backend,
  jobs: [hard],
  workers: 5,
  observe: (event) => {
    if (event.type === 'completed') reach('ended');
    if (event.type !== 'claimed') return;
    if (event.count > 0) reach('popped');
    else if (server.running === 0) isEmpty();
  },
});
await server.start();
await empty;
await server.stop();
await backend.close();
await link.close();
