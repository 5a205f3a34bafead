/**
 * One process of the fleet, as a program: `node fleet.ts URL JOURNAL ROLE [OPTIONS as JSON]`.
 *
 *   server    runs the jobs below until SIGTERM
 *   producer  enqueues `only` as fast as it is stored, until SIGTERM
 *
 * Bodies take real time, as work does; that is the only waiting here.
 *
 * Says 'ready', and what else a test waits for, over IPC. What several processes do is told by the journal, a file to which
 * each line is appended in one write, so that the lines of all processes stand in the order in which things happened.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as work } from 'node:timers/promises';
import {
  Client,
  defineJob,
  fixed,
  type JobContext,
  JobServer,
  moduleOf,
  openBackend,
  stopOnSignals,
} from '../../src/index.ts';

const [, program, url = '', journal = '', role = 'server', options = '{}'] = process.argv;
const { pid } = process;

export interface Line {
  readonly what: 'begin' | 'end' | 'kill' | 'tick';
  readonly pid: number;
  readonly job: string;
  readonly key?: string;
  readonly n?: number;
}

/** What a server tells the test at once. */
export type Word = { readonly said: 'ready' | 'begun' | 'aborted'; readonly job?: string; readonly reason?: string };

export function write(journal: string, line: Line): void {
  appendFileSync(journal, `${JSON.stringify(line)}\n`);
}
const say = (word: Word) => void process.send?.(word);

/** Resolves when the job is told to stop, and says so. */
function told({ id, signal }: JobContext): Promise<void> {
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, 1_000);
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      say({ said: 'aborted', job: id, reason: signal.reason.message });
      resolve();
    });
  });
}

/** Between two lines of the journal. */
async function bracketed(job: JobContext, n: number, ms: number): Promise<void> {
  const line = { pid, job: job.id, ...(job.key !== undefined && { key: job.key }), n };
  write(journal, { what: 'begin', ...line });
  await work(ms);
  write(journal, { what: 'end', ...line });
}

export const single = defineJob({
  name: 'single',
  queue: 'cancel',
  async run(_: null, job) {
    say({ said: 'begun', job: job.id });
    await told(job);
    job.signal.throwIfAborted();
  },
});

/** Ends when each of its jobs has been told to stop or has 'free' as its payload. */
export const batched = defineJob({
  name: 'batched',
  queue: 'cancel',
  keepFor: 60_000,
  batch: {
    size: 3,
    wait: 60_000,
    run: (items: readonly { payload: 'free' | 'stuck'; job: JobContext }[]) => {
      say({ said: 'begun' });
      return Promise.all(
        items.map(async ({ payload, job }) => {
          if (payload === 'free') return { value: 'done' };
          await told(job);
          return { error: job.signal.reason };
        }),
      );
    },
  },
});

export const deaf = defineJob({
  name: 'deaf',
  queue: 'cancel',
  grace: 200,
  threads: 1,
  thread: moduleOf<typeof import('./fleet-thread.ts')>(new URL('./fleet-thread.ts', import.meta.url)),
});

export const tick = defineJob({
  name: 'tick',
  queue: 'ticks',
  run(_: null, { id, headers }) {
    write(journal, { what: 'tick', pid, job: id, n: Date.parse(headers.tick ?? '') });
  },
});

export const only = defineJob({
  name: 'only',
  queue: 'only',
  unique: {},
  run: (n: number, job) => bracketed(job, n, 20),
});

/** In order per key; every third one fails twice before it works. */
export const step = defineJob({
  name: 'step',
  queue: 'steps',
  backoff: fixed(10),
  key: ({ key }: { key: string; n: number }) => key,
  async run({ n }: { key: string; n: number }, job) {
    await bracketed(job, n, 3);
    if (n % 3 === 1 && job.attempt < 3) throw new Error('not yet');
  },
});

export const limited = defineJob({ name: 'limited', queue: 'limited', run: (n: number, job) => bracketed(job, n, 5) });

/** Never ends in the first server that has it. */
export const long = defineJob({
  name: 'long',
  queue: 'long',
  keepFor: 60_000,
  async run(_: null, job) {
    job.progress({ page: job.crashes + 1 });
    job.log(`begun by ${pid}`);
    if (job.crashes === 0) await told(job);
    return { by: pid };
  },
});

export const paused = defineJob({ name: 'paused', queue: 'paused', run: (n: number, job) => bracketed(job, n, 5) });
export const other = defineJob({ name: 'other', queue: 'other', keepFor: 60_000, run: (_: null) => pid });

const jobs = [single, batched, deaf, tick, only, step, limited, long, paused, other];

export interface ServerSays {
  readonly queues?: readonly string[];
  readonly workers?: number;
  readonly lease?: number;
  /** By how many ms the clock of its machine is wrong. */
  readonly skew?: number;
  /** With which a producer enqueues. */
  readonly delay?: number;
}

async function serve({ queues, workers = 10, lease = 3_000 }: ServerSays): Promise<void> {
  const backend = await openBackend(url);
  const mine = jobs.filter(({ queue }) => !queues || queues.includes(queue));
  const server = new JobServer({ backend, jobs: mine, workers, lease, stopDeadline: 100 });
  await server.start();
  say({ said: 'ready' });
  await stopOnSignals([server, { stop: () => backend.close() }], { signals: ['SIGTERM'] });
}

async function produce({ delay = 0 }: ServerSays): Promise<void> {
  const backend = await openBackend(url);
  const client = new Client({ backend });
  let stopping = false;
  const loop = (async () => {
    while (!stopping) await client.enqueue(only, 1, { delay });
  })();
  say({ said: 'ready' });
  const stop = async () => {
    stopping = true;
    await loop;
    await client.close();
    await backend.close();
  };
  await stopOnSignals([{ stop }], { signals: ['SIGTERM'] });
}

if (program === import.meta.filename) {
  // Nobody outlives the test.
  process.once('disconnect', () => process.exit(1));
  const given = JSON.parse(options) as ServerSays;
  if (given.skew) {
    const { skew } = given;
    const { now } = Date;
    Date.now = () => now() + skew;
  }
  await (role === 'server' ? serve(given) : produce(given));
  process.removeAllListeners('disconnect');
  process.disconnect?.();
}
