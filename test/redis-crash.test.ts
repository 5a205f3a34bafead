/**
 * What was acknowledged is done, whoever dies: a hundred thousand jobs of all kinds, four producers and four workers, a worker
 * killed every second and replaced, and Redis itself (`appendfsync always`) killed and started again three times.
 *
 * A job may run again only when the worker that ran it died; and when all is done nothing of it is left in Redis.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Backend, Inspector, openBackend } from '../src/index.ts';
import { type RedisServer, startRedis, until } from '../src/testing/redis.ts';
import { type Count, QUEUE, type Run } from './support/crew.ts';

const JOBS = 100_000;
const PRODUCERS = 4;
const WORKERS = 4;
/** Redis is killed when so much of the jobs has begun. */
const OUTAGES = [0.2, 0.45, 0.7];
const KILL_EVERY = 1_000;
/** On a slow machine there would be no end of it. */
const MOST_KILLS = 20;

const program = fileURLToPath(new URL('support/crew.ts', import.meta.url));

/** The processes of the test, and how far they are. */
class Crew {
  readonly #args: readonly string[];
  readonly #children: ChildProcess[] = [];
  readonly #begun = new Map<ChildProcess, number>();
  readonly workers = new Set<ChildProcess>();
  readonly killed = new Set<number>();
  /** Called whenever more jobs have begun. */
  onBegun: (count: number) => void = () => undefined;

  constructor(url: string, folder: string) {
    this.#args = [url, folder];
  }

  /** Resolves to how many it has stored when it has ended by itself. */
  async produce(from: number, to: number): Promise<number> {
    const child = this.#fork('producer', String(from), String(to));
    let stored = 0;
    child.on('message', (count: Count) => {
      stored = count.stored ?? stored;
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    return stored;
  }

  startWorker(): void {
    const child = this.#fork('worker');
    this.workers.add(child);
    child.once('exit', (code) => assert.ok(!this.workers.has(child) || code === 0, 'a worker ended by itself'));
    child.on('message', ({ begun = 0 }: Count) => {
      this.#begun.set(child, begun);
      this.onBegun([...this.#begun.values()].reduce((sum, count) => sum + count, 0));
    });
  }

  /** One of those that are at work, for another; on a machine that starts none within a second they are let live. */
  replaceWorker(): void {
    const busy = [...this.workers].filter((child) => this.#begun.has(child));
    const child = busy[Math.floor(Math.random() * busy.length)];
    if (!child) return;
    this.workers.delete(child);
    this.killed.add(child.pid as number);
    child.kill('SIGKILL');
    this.startWorker();
  }

  async stopWorkers(): Promise<void> {
    for (const child of this.workers) {
      child.kill('SIGTERM');
      const [code] = await once(child, 'close');
      assert.equal(code, 0);
    }
  }

  /** For those that found nobody there when they began. */
  redisIsBack(): void {
    for (const child of this.#living()) if (child.connected) child.send('Redis is back', () => undefined); // it may just end
  }

  async end(): Promise<void> {
    this.workers.clear();
    const living = this.#living();
    for (const child of living) child.kill('SIGKILL');
    await Promise.all(living.map((child) => once(child, 'close')));
  }

  #living(): ChildProcess[] {
    return this.#children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  }

  #fork(...args: string[]): ChildProcess {
    const child = fork(program, [...this.#args, ...args], { execArgv: [] });
    this.#children.push(child);
    return child;
  }
}

it('loses nothing and does nothing twice without a reason, while workers and Redis are killed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-crash-'));
  const redis = await startRedis({ appendfsync: 'always' });
  const backend = await openBackend(redis.url);
  const crew = new Crew(redis.url, folder);
  let kills: NodeJS.Timeout | undefined;
  t.after(async () => {
    clearInterval(kills);
    await crew.end();
    await backend.close();
    await redis.stop();
    await rm(folder, { recursive: true });
  });

  await backend.configure(QUEUE, { maxCrashes: 1_000 });
  for (let i = 0; i < WORKERS; i++) crew.startWorker();
  kills = setInterval(() => {
    if (crew.killed.size < MOST_KILLS) crew.replaceWorker();
  }, KILL_EVERY);

  const outages = OUTAGES.map((share) => share * JOBS);
  let restarted = Promise.resolve();
  let restarts = 0;
  const allBegun = new Promise<void>((resolve) => {
    crew.onBegun = (count) => {
      if (count >= (outages[0] ?? Number.POSITIVE_INFINITY)) {
        outages.shift();
        restarted = restarted
          .then(() => redis.restart())
          .then(() => {
            restarts++;
            crew.redisIsBack();
          });
      }
      if (count > 0.95 * JOBS) resolve();
    };
  });

  const share = JOBS / PRODUCERS;
  const stored = await Promise.all(
    Array.from({ length: PRODUCERS }, (_, i) => crew.produce(i * share, (i + 1) * share)),
  );
  assert.deepEqual(
    stored,
    stored.map(() => share),
  );
  await allBegun;
  await restarted;
  clearInterval(kills);
  assert.equal(restarts, OUTAGES.length);

  await untilDone(backend);
  await crew.stopWorkers();

  await assertRuns(t, folder, crew.killed);
  await assertNothingIsLeft(redis, backend);
});

/** Resolves when all jobs are completed; rejects when for long none was, or one has ended in another way. */
async function untilDone(backend: Backend): Promise<void> {
  let before = -1;
  for (let done = 0; done < JOBS; ) {
    before = done;
    await until(`more than ${before} jobs are done`, async () => {
      const [queue] = await backend.counts();
      assert.deepEqual([queue?.discarded, queue?.quarantined, queue?.cancelled], [0, 0, 0]);
      done = queue?.completed ?? 0;
      return done > before;
    }).catch(async (error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await backend.counts())}`);
    });
  }
}

/** Every job ran, as one job, and again only because its worker died or it failed. */
async function assertRuns(t: TestContext, folder: string, killed: ReadonlySet<number>): Promise<void> {
  const byNumber = new Map<number, Run[]>();
  for (const name of await readdir(folder)) {
    const text = await readFile(join(folder, name), 'utf8');
    // The last line of a killed process is whole: it is one write.
    for (const line of text.trimEnd().split('\n')) {
      const run = JSON.parse(line) as Run;
      const runs = byNumber.get(run.n);
      if (runs) runs.push(run);
      else byNumber.set(run.n, [run]);
    }
  }
  assert.equal(byNumber.size, JOBS);
  let again = 0;
  for (const [n, runs] of byNumber) {
    assert.equal(new Set(runs.map(({ job }) => job)).size, 1, `${n} was stored twice`);
    runs.sort((a, b) => a.attempt - b.attempt || a.crashes - b.crashes);
    for (const [i, { pid, crashes, attempt }] of runs.entries()) {
      const next = runs[i + 1];
      if (!next) continue;
      const hasFailed = next.attempt === attempt + 1 && attempt === 1;
      const hasDied = next.attempt === attempt && next.crashes > crashes && killed.has(pid);
      if (hasDied) again++;
      assert.ok(hasFailed || hasDied, `${n} ran again: ${JSON.stringify(runs)}, killed were ${[...killed]}`);
    }
  }
  t.diagnostic(`${killed.size} workers killed; ${again} of ${JOBS} jobs ran again because theirs died`);
  assert.ok(killed.size > 0 && again > 0);
}

/** What stays is what there is to know of a queue and a kind of job; the rest is gone or goes by itself. */
async function assertNothingIsLeft(redis: RedisServer, backend: Backend): Promise<void> {
  const lasting = async () => {
    await backend.tidy();
    const keys = (await redis.command('KEYS', '*')) as string[];
    const ttls = await Promise.all(keys.map((key) => redis.command('PTTL', key)));
    return keys.filter((_, i) => ttls[i] === -1).map((key) => key.replace('{millrace}:', ''));
  };
  const legitimate = ['event', 'layout', 'number', 'q:1', 'queues', 'serverNumber', 'store', 'template', 'templates'];
  let left: string[] = [];
  await until('nothing is left', async () => {
    left = (await lasting()).sort();
    return left.length <= legitimate.length;
  }).catch(() => undefined); // what is left is told below
  assert.deepEqual(left, legitimate);
  const inspector = new Inspector({ backend });
  assert.deepEqual(await inspector.servers(), []);
}
