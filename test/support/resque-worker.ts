/**
 * A job server on a Resque wire, as a program that may die: `node resque-worker.ts URL JOURNAL STEP AFTER`.
 *
 *   claimed    kills itself when the AFTERth claim has been answered, before anything of it runs
 *   started    in the AFTERth job
 *   done       when the AFTERth outcomes are about to be sent
 *   settling   when they are settled in Redis, before the server hears of it
 *   until      does not kill itself; ends on SIGTERM
 *   stuck      runs a job that never ends, says so, and ends on SIGTERM without waiting for it
 *
 * Each job writes its number as a line when it has run; the kernel has the line whatever becomes of the process.
 */
import { openSync, writeSync } from 'node:fs';
import type { Backend } from '../../src/backend/backend.ts';
import { JobServer, openBackend, stopOnSignals, workerClass } from '../../src/index.ts';

const [, , url = '', journal = '', step = '', after = '0'] = process.argv;
const file = openSync(journal, 'a');

let met = 0;
function reach(name: string): void {
  if (name === step && ++met === Number(after)) process.kill(process.pid, 'SIGKILL');
}

const count = workerClass('Count', (_queue, n: number) => {
  reach('started');
  writeSync(file, `${n}\n`);
});
const stuck = workerClass('Stuck', () => {
  process.send?.('stuck');
  return new Promise(() => undefined);
});

const opened = await openBackend(url);
const dying: Partial<Backend> = {
  async claim(request) {
    const result = await opened.claim(request);
    if (result.jobs.length > 0) reach('claimed');
    return result;
  },
  settle(server, outcomes) {
    reach('done');
    const answer = opened.settle(server, outcomes);
    answer.then(
      () => reach('settling'),
      () => undefined, // told to the server
    );
    return answer;
  },
};
const backend = new Proxy(opened, {
  get(_, name) {
    const part = dying[name as keyof Backend] ?? opened[name as keyof Backend];
    return typeof part === 'function' ? part.bind(opened) : part;
  },
});

const server = new JobServer({
  backend,
  jobs: [count, stuck],
  queues: ['low'],
  workers: 4,
  // Those that are killed rescue nobody: whoever started them sees what they held.
  lease: step === 'until' ? 1_000 : 60_000,
  pollInterval: 20,
  stopDeadline: 0,
});
await server.start();
process.send?.('working');
const orphaned = () => process.exit(1);
process.once('disconnect', orphaned);
await stopOnSignals([server]);
await opened.close();
process.off('disconnect', orphaned);
process.disconnect?.();
