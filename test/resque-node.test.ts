/** node-resque as a live peer: its queue, worker and scheduler beside ours on one Redis server, in both directions. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Queue, Scheduler, Worker } from 'node-resque';
import { Client, type JobDefinition, JobServer, workerClass } from '../src/index.ts';
import { type RedisServer, startRedis, until } from '../src/testing/redis.ts';
import { openResque, type Resque } from './support/resque.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

type Perform = (...args: unknown[]) => Promise<unknown>;

/** Ours and theirs on a namespace of their own. */
async function both(t: TestContext) {
  const ours = await openResque(t, server, { isReal: true });
  const connection = {
    pkg: 'ioredis',
    host: '127.0.0.1',
    port: server.port,
    database: 0,
    namespace: ours.namespace,
    options: {},
  };
  const queue = new Queue({ connection });
  await queue.connect();
  ours.defer(() => queue.end());
  return {
    ours,
    queue,
    async work(queues: string[], jobs: Readonly<Record<string, Perform>>): Promise<Worker> {
      const named = Object.fromEntries(Object.entries(jobs).map(([name, perform]) => [name, { perform }]));
      const worker = new Worker({ connection, queues, timeout: 5 }, named);
      await worker.connect();
      await worker.start();
      ours.defer(() => worker.end());
      return worker;
    },
    async schedule(): Promise<void> {
      const scheduler = new Scheduler({ connection, timeout: 20 });
      await scheduler.connect();
      await scheduler.start();
      ours.defer(() => scheduler.end());
    },
  };
}

async function serve(ours: Resque, jobs: readonly JobDefinition[], workers = 4): Promise<JobServer> {
  const { backend } = ours;
  const worker = new JobServer({ backend, jobs, queues: ['low'], workers, pollInterval: 20 });
  await worker.start();
  ours.defer(() => worker.stop());
  return worker;
}

/** Resolves to the first `count` lists of arguments. */
function collector(count: number) {
  const all: unknown[][] = [];
  const { promise, resolve } = Promise.withResolvers<unknown[][]>();
  const collect = (args: unknown[]) => {
    if (all.push(args) === count) resolve(all);
  };
  return { collect, all: promise };
}

const strange = ['<a&b>', 'é', '\u2028', 2 ** 53, null, { a: [1, { b: null }] }, '😀', 'a/b', 1.5, true];

describe('jobs of node-resque', () => {
  it('are run by ours with the arguments that were given', async (t) => {
    const { ours, queue } = await both(t);
    const { collect, all } = collector(2);
    await serve(ours, [workerClass('Mail', (from, ...args: unknown[]) => collect([from, ...args]))]);
    await queue.enqueue('low', 'Mail', strange);
    await queue.enqueue('low', 'Mail', ['second']);
    assert.deepEqual(await all, [
      ['low', ...strange],
      ['low', 'second'],
    ]);
    await until('it is counted', async () => (await queue.stats()).processed === '2');
  });

  it('that fail here are failed there: seen and tried again', async (t) => {
    const { ours, queue } = await both(t);
    let runs = 0;
    const succeeded = Promise.withResolvers<void>();
    const flaky = workerClass('Flaky', () => {
      if (++runs === 1) throw new TypeError('not yet');
      succeeded.resolve();
    });
    await serve(ours, [flaky]);
    await queue.enqueue('low', 'Flaky', [1]);
    await until('it has failed', async () => (await queue.failedCount()) === 1);
    const [failed] = await queue.failed(0, -1);
    assert.ok(failed);
    assert.deepEqual([failed.error, failed.exception, failed.queue], ['not yet', 'TypeError', 'low']);
    assert.deepEqual(failed.payload, { class: 'Flaky', queue: 'low', args: [1] });
    assert.ok(failed.backtrace?.[0]?.includes('resque-node.test'));
    await queue.retryAndRemoveFailed(failed);
    await succeeded.promise;
    assert.equal(await queue.failedCount(), 0);
  });

  it('that are delayed are moved by ours when they are due (check 13)', async (t) => {
    const { ours, queue } = await both(t);
    const { collect, all } = collector(1);
    await queue.enqueueIn(1_000, 'low', 'Mail', ['later']);
    await serve(ours, [workerClass('Mail', (_queue, ...args: unknown[]) => collect(args))]);
    assert.deepEqual(await all, [['later']]);
    assert.deepEqual(await queue.allDelayed(), {});
    assert.deepEqual(
      (await ours.keys()).filter((key) => /delayed|timestamps/.test(key)),
      [],
    );
  });

  it('show with our workers while they run', async (t) => {
    const { ours, queue } = await both(t);
    const begun = Promise.withResolvers<void>();
    const open = Promise.withResolvers<void>();
    const slow = workerClass('Slow', () => {
      begun.resolve();
      return open.promise;
    });
    const { id } = await serve(ours, [slow], 1);
    await queue.enqueue('low', 'Slow', [7]);
    await begun.promise;
    const name = `${id}:${process.pid}-0`;
    assert.deepEqual(await queue.workers(), { [name]: 'low' });
    const working = await queue.allWorkingOn();
    const shown = working[name] as unknown as { queue: string; payload: unknown };
    assert.deepEqual([shown.queue, shown.payload], ['low', { class: 'Slow', queue: 'low', args: [7] }]);
    open.resolve();
    await until('it has ended', async () => (await queue.allWorkingOn())[name] === ('started' as never));
  });
});

describe('our jobs', () => {
  it('are run by node-resque with the arguments that were given', async (t) => {
    const { ours, work } = await both(t);
    const client = new Client({ backend: ours.backend });
    ours.defer(() => client.close());
    const { collect, all } = collector(1);
    await work(['low'], { Mail: async (...args) => collect(args) });
    await client.enqueue(workerClass('Mail'), strange, { queue: 'low' });
    assert.deepEqual(await all, [strange]);
  });

  it('that fail there are failed here: seen and tried again', async (t) => {
    const { ours, work, queue } = await both(t);
    const client = new Client({ backend: ours.backend });
    ours.defer(() => client.close());
    let runs = 0;
    const worker = await work(['low'], {
      Flaky: async () => {
        if (++runs === 1) throw new TypeError('not yet');
      },
    });
    const failure = once(worker, 'failure');
    const success = once(worker, 'success');
    await client.enqueue(workerClass('Flaky'), [1], { queue: 'low' });
    await failure;
    const { jobs } = await ours.backend.list({ states: ['discarded'] });
    assert.deepEqual(
      jobs.map(({ name, queue: from, errors: [error] }) => [name, from, error?.message, error?.code]),
      [['Flaky', 'low', 'not yet', 'TypeError']],
    );
    assert.deepEqual(await ours.backend.act({ kind: 'retry' }, { states: ['discarded'] }), { count: 1 });
    await success;
    assert.equal(await queue.failedCount(), 0);
  });

  it('that are scheduled are moved by its scheduler (check 13)', async (t) => {
    const { ours, work, schedule } = await both(t);
    const client = new Client({ backend: ours.backend });
    ours.defer(() => client.close());
    const { collect, all } = collector(1);
    await client.enqueue(workerClass('Mail'), ['later'], { queue: 'low', delay: 1_000 });
    assert.equal((await ours.backend.list({ states: ['scheduled'] })).jobs.length, 1);
    await work(['low'], { Mail: async (...args) => collect(args) });
    await schedule();
    assert.deepEqual(await all, [['later']]);
    await until(
      'nothing of it is left',
      async () => !(await ours.keys()).some((key) => /delayed|timestamps/.test(key)),
    );
  });
});

it('both work on one queue, and each job runs once', async (t) => {
  const { ours, work, queue } = await both(t);
  const count = 2_000;
  const runs = new Map<unknown, number>();
  const by = { ours: 0, theirs: 0 };
  const { promise, resolve } = Promise.withResolvers<void>();
  const run = (who: keyof typeof by, n: unknown) => {
    by[who]++;
    runs.set(n, (runs.get(n) ?? 0) + 1);
    if (runs.size === count) resolve();
  };
  const client = new Client({ backend: ours.backend });
  ours.defer(() => client.close());
  const numbers = Array.from({ length: count / 2 }, (_, i) => i);
  await client.enqueueMany(
    workerClass('Count'),
    numbers.map((n) => [n]),
    { queue: 'low' },
  );
  await Promise.all(numbers.map((n) => queue.enqueue('low', 'Count', [n + count / 2])));
  const theirs = await work(['low'], { Count: async (n) => run('theirs', n) });
  await once(theirs, 'success');
  await serve(ours, [workerClass('Count', (_queue, n: number) => run('ours', n))]);
  await promise;
  assert.ok(by.ours > 0 && by.theirs > 0, JSON.stringify(by));
  assert.equal(by.ours + by.theirs, count);
});
