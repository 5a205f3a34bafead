/** Worker classes on a running server, on every backend: what they promise must not depend on where the jobs wait. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBackend } from '../backend/open.ts';
import { Client } from '../client/client.ts';
import { defineJob } from '../job/job.ts';
import { workerClass } from '../job/worker-class.ts';
import { type RedisServer, startRedis } from '../testing/redis.ts';
import { Ears, setup, until } from './fixtures/support.ts';
import { JobServer, type JobServerOptions } from './server.ts';

let folder: string;
let redis: RedisServer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-classes-'));
  redis = await startRedis();
});
after(async () => {
  await redis.stop();
  await rm(folder, { recursive: true });
});

let made = 0;
const places = {
  memory: () => 'memory:',
  sqlite: () => `sqlite:${folder}/${made++}.db`,
  redis: () => `${redis.url}?namespace=${made++}`,
  resque: () => `resque:${redis.url}?namespace=${made++}`,
  sidekiq: () => `sidekiq:${redis.url}?namespace=${made++}`,
};

async function program(url: string, options: Omit<JobServerOptions, 'backend'> = {}) {
  const backend = await openBackend(url);
  const ears = new Ears();
  const server = new JobServer({ backend, observe: ears.observe, ...options });
  const client = new Client({ backend });
  return {
    backend,
    server,
    client,
    seen: ears.seen.bind(ears),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await client.close();
      await backend.close();
    },
  };
}

for (const [name, url] of Object.entries(places)) {
  describe(`a worker class on ${name}`, () => {
    it('is registered before the start or while the server runs, and gets the queue and the arguments', async () => {
      await using all = await program(url(), { queues: ['high', 'low'] });
      const calls: unknown[][] = [];
      const mail = all.server.registerWorkerClass(
        'Mail',
        (queue, ...args: string[]) => void calls.push([queue, ...args]),
      );
      await all.server.start();
      const sum = all.server.registerWorkerClass('Sum', (queue, a: number, b: number) => `${queue} ${a + b}`);
      await all.client.enqueue(mail, ['ada', 'sub', 'body'], { queue: 'low' });
      await all.client.enqueue(workerClass('Sum'), [40, 2], { queue: 'high' }); // as somebody who knows the name only
      await all.client.enqueue(sum, [1, 1], { queue: 'low' });
      const values = (await all.seen('completed', 3)).map(({ value }) => value);
      assert.deepEqual(calls, [['low', 'ada', 'sub', 'body']]);
      assert.deepEqual(values.filter(Boolean).sort(), ['high 42', 'low 2']);
    });

    it('that nobody registered, or that throws, fails its attempt with the reason and stops no other', async () => {
      await using all = await program(url(), { mode: 'order' });
      all.server.registerWorkerClass('Panic', () => {
        throw new Error('try{}exception{}');
      });
      const fine = all.server.registerWorkerClass('Fine', (_queue, n: number) => n);
      const once = { maxAttempts: 1 };
      await all.client.enqueue(workerClass('Nobody'), ['hi'], once);
      await all.client.enqueue(workerClass('Panic'), [], once);
      await all.client.enqueue(fine, [7]);
      await all.server.start();
      assert.equal((await all.seen('completed'))[0]?.value, 7);
      const failed = (await all.seen('failed', 2)).map(({ job, error }) => [job.name, error.message]);
      assert.deepEqual(failed, [
        ['Nobody', 'no job named "Nobody" is registered here (known: Panic, Fine)'],
        ['Panic', 'try{}exception{}'],
      ]);
      await until(async () => (await all.backend.list({ states: ['discarded'] })).jobs.length === 2);
    });

    it('keeps integers beyond 2^53 when it is told to, there and back', async () => {
      await using all = await program(url());
      const id = 2n ** 64n + 1n;
      const bigints = { bigints: true };
      const credit = all.server.registerWorkerClass('Credit', (_queue, id: bigint, n: number) => [id, n], bigints);
      const handle = await all.client.enqueue(credit, [id, 2 ** 53 - 1]);
      const stored = (await all.backend.get(handle.id))?.payload as Uint8Array;
      assert.equal(Buffer.from(stored).toString(), '[18446744073709551617,9007199254740991]');
      await all.server.start();
      assert.deepEqual((await all.seen('completed'))[0]?.value, [id, 2 ** 53 - 1]);
    });
  });
}

describe('JobServer.registerWorkerClass', () => {
  it('refuses a name that is taken, and what is no function', async () => {
    const { server, end } = await setup([defineJob({ name: 'mail', run: () => undefined })]);
    const duplicate = { code: 'MILLRACE_JOB_DUPLICATE' };
    assert.throws(() => server.registerWorkerClass('mail', () => undefined), duplicate);
    server.registerWorkerClass('Log', () => undefined);
    assert.throws(() => server.registerWorkerClass('Log', () => undefined), duplicate);
    const nothing = undefined as unknown as () => void;
    assert.throws(() => server.registerWorkerClass('None', nothing), { code: 'MILLRACE_OPTION_INVALID' });
    await end();
  });

  it('makes its queue one of those served, unless the server was told its queues', async () => {
    const { server, backend, end } = await setup([]);
    server.registerWorkerClass('Mail', () => undefined, { queue: 'mail' });
    await server.start();
    assert.deepEqual((await backend.servers())[0]?.queues, ['mail']);
    server.registerWorkerClass('Late', () => undefined, { queue: 'mail' });
    // Served only from the next start on, its jobs would wait and nobody would know why.
    const other = () => server.registerWorkerClass('Other', () => undefined, { queue: 'other' });
    assert.throws(other, /`queue` should be one that the running server serves \(mail\), got "other"/);
    await server.stop();
    other();
    await server.start();
    assert.deepEqual((await backend.servers())[0]?.queues, ['mail', 'other']);
    await end();
    const told = await setup([], { queues: { low: 1 } });
    await told.server.start();
    told.server.registerWorkerClass('Other', () => undefined, { queue: 'other' });
    await told.end();
  });

  it('serves `default` when the server knows no job at its start', async () => {
    const { server, client, seen, end } = await setup([]);
    await server.start();
    const late = server.registerWorkerClass('Late', () => 'ran');
    await client.enqueue(late, []);
    assert.equal((await seen('completed'))[0]?.value, 'ran');
    await end();
  });

  it('makes a server of batches claim single jobs one per free worker', async () => {
    const index = defineJob({ name: 'index', batch: { size: 50, run: async () => undefined } });
    const { server, client, counts, seen, end } = await setup([index], { workers: 2 });
    const { promise: open, resolve } = Promise.withResolvers<void>();
    const wait = server.registerWorkerClass('Wait', () => open);
    await client.enqueueMany(wait, Array<[]>(20).fill([]));
    await server.start();
    await seen('started', 2);
    assert.deepEqual(await counts().then(({ running, available }) => [running, available]), [2, 18]);
    resolve();
    await client.enqueueMany(index, ['a', 'b']);
    await seen('completed', 22);
    await end();
  });
});
