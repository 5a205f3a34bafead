/**
 * One process of the crash test, as a program: `node crew.ts URL FOLDER ROLE FROM TO`.
 *
 *   producer  enqueues the jobs FROM … TO of all kinds, says how many are stored after each call, and ends
 *   worker    runs them until SIGTERM, and says how many have begun
 *
 * It is told when Redis has come back, whatever the message.
 *
 * A worker writes a line for each body that begins to a file of its own: the kernel has it whatever becomes of the process.
 */
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isError } from '../../src/errors.ts';
import {
  type Backend,
  Client,
  defineJob,
  fixed,
  type JobContext,
  JobServer,
  openBackend,
  stopOnSignals,
} from '../../src/index.ts';

const [, program, url = '', folder = '', role = '', from = '0', to = '0'] = process.argv;

export const QUEUE = 'crew';
/** Jobs in one call. */
export const CALL = 100;

export interface Run {
  readonly pid: number;
  readonly n: number;
  readonly job: string;
  readonly crashes: number;
  readonly attempt: number;
}

/** What a process has done so far. */
export interface Count {
  readonly stored?: number;
  readonly begun?: number;
}

const SAY_EVERY = 200;
let begun = 0;
let journal: number | undefined;

function begin(n: number, { id, crashes, attempt }: JobContext): void {
  journal ??= openSync(join(folder, `${process.pid}.runs`), 'a');
  writeSync(journal, `${JSON.stringify({ pid: process.pid, n, job: id, crashes, attempt } satisfies Run)}\n`);
  if (++begun % SAY_EVERY === 0) process.send?.({ begun } satisfies Count);
}

type Payload = { readonly n: number };
const rules = { queue: QUEUE, backoff: fixed(10) };

const plain = defineJob({ ...rules, name: 'plain', run: ({ n }: Payload, job) => begin(n, job) });

const keyed = defineJob({
  ...rules,
  name: 'keyed',
  key: ({ n }: Payload) => `key ${n % 40}`,
  run: ({ n }, job) => begin(n, job),
});

const flaky = defineJob({
  ...rules,
  name: 'flaky',
  run({ n }: Payload, job) {
    begin(n, job);
    if (job.attempt === 1) throw new Error('not yet');
  },
});

const kept = defineJob({
  ...rules,
  name: 'kept',
  keepFor: 1,
  run({ n }: Payload, job) {
    begin(n, job);
    job.progress(n);
    job.log('a line');
    return n;
  },
});

const unique = defineJob({
  ...rules,
  name: 'unique',
  unique: { period: 500 },
  run: ({ n }: Payload, job) => begin(n, job),
});

/** What each call enqueues: by its place in a round of ten. */
const calls: ((client: Client, payloads: readonly Payload[]) => Promise<unknown>)[] = [
  (client, payloads) => client.enqueueMany(keyed, payloads),
  (client, payloads) => client.enqueueMany(flaky, payloads),
  (client, payloads) => client.enqueueMany(kept, payloads),
  (client, payloads) => client.enqueueMany(unique, payloads),
  (client, payloads) => client.enqueueMany(plain, payloads, { delay: 50 }),
  (client, payloads) =>
    Promise.all(payloads.map((payload) => client.enqueue(plain, payload, { id: `own ${payload.n}` }))),
];

/** What finds nobody there tries again when it is told that somebody is: in life it ends, and its supervisor starts it again. */
async function open(): Promise<Backend> {
  for (;;) {
    const done = new AbortController();
    const told = once(process, 'message', { signal: done.signal });
    told.catch(() => undefined); // not waited for any more
    try {
      return await openBackend(url);
    } catch (error) {
      if (!isError(error, 'BACKEND_UNAVAILABLE')) throw error;
      await told;
    } finally {
      done.abort();
    }
  }
}

async function produce(): Promise<void> {
  const backend = await open();
  const client = new Client({ backend });
  let stored = 0;
  for (let n = Number(from); n < Number(to); n += CALL) {
    const call = calls[(n / CALL) % 10] ?? ((_, payloads) => client.enqueueMany(plain, payloads));
    await call(
      client,
      Array.from({ length: CALL }, (_, i) => ({ n: n + i })),
    );
    stored += CALL;
    process.send?.({ stored } satisfies Count);
  }
  await client.close();
  await backend.close();
}

async function work(): Promise<void> {
  const backend = await open();
  const server = new JobServer({ backend, jobs: [plain, keyed, flaky, kept, unique], workers: 50, lease: 10_000 });
  await server.start();
  await stopOnSignals([server, { stop: () => backend.close() }], { signals: ['SIGTERM'] });
}

if (program === import.meta.filename) {
  // Nobody outlives the test.
  process.once('disconnect', () => process.exit(1));
  await (role === 'worker' ? work() : produce());
  process.removeAllListeners('disconnect');
  process.disconnect?.();
}
