import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AddGroup, AddResult } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { defineJob } from '../job/job.ts';
import { Client } from './client.ts';
import type { EnqueueMiddleware } from './middleware.ts';

const plain = defineJob({ name: 'plain', run: (_: { n: number }) => 'done' });

async function setup(...middleware: EnqueueMiddleware[]) {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock });
  await backend.open();
  const client = new Client({ backend, clock, middleware });
  const jobs = async () => (await backend.list({})).jobs;
  return { backend, client, jobs };
}

describe('middleware of a client', () => {
  it('wraps the enqueue in the order of the list, and sees the id when the job is stored', async () => {
    const said: string[] = [];
    const layer =
      (name: string): EnqueueMiddleware =>
      async (draft, next) => {
        said.push(`${name} ${draft.name} ${draft.id}`);
        await next();
        said.push(`${name} ${draft.id}`);
      };
    const { client } = await setup(layer('a'), layer('b'));
    const { id } = await client.enqueue(plain, { n: 1 });
    assert.deepEqual(said, ['a plain undefined', 'b plain undefined', `b ${id}`, `a ${id}`]);
  });

  it('may change everything but the name, before the job is encoded', async () => {
    const { client, jobs } = await setup(async (draft, next) => {
      draft.payload = { n: 2 };
      draft.queue = 'other';
      draft.priority = 1;
      draft.key = 'k';
      draft.tags = [...draft.tags, 'seen'];
      draft.headers.trace = 't1';
      await next();
    });
    await client.enqueue(plain, { n: 1 });
    const [job] = await jobs();
    const { queue, priority, key, tags, headers, payload } = job ?? assert.fail();
    assert.deepEqual(
      { queue, priority, key, tags, headers, payload: Buffer.from(payload).toString() },
      { queue: 'other', priority: 1, key: 'k', tags: ['seen'], headers: { trace: 't1' }, payload: '{"n":2}' },
    );
  });

  it('is passed by each job of many, which then leave together', async () => {
    const groups: number[] = [];
    const { backend, client } = await setup(async (draft, next) => {
      draft.headers.n = String((draft.payload as { n: number }).n);
      await next();
    });
    const add = backend.add.bind(backend);
    backend.add = (all) => {
      groups.push(...all.map(({ jobs }) => jobs.length));
      return add(all);
    };
    const handles = await client.enqueueMany(plain, [{ n: 1 }, { n: 2 }, { n: 3 }]);
    assert.deepEqual(groups, [3]);
    const views = await Promise.all(handles.map((handle) => handle.get()));
    assert.deepEqual(
      views.map((view) => view?.headers.n),
      ['1', '2', '3'],
    );
  });

  it('refuses with what it throws, and then nothing of the call is stored', async () => {
    const refusal = new Error('not today');
    const told: unknown[] = [];
    const { client, jobs } = await setup(async (draft, next) => {
      if ((draft.payload as { n: number }).n === 2) throw refusal;
      await next().catch((error) => told.push(error));
    });
    await assert.rejects(client.enqueueMany(plain, [{ n: 1 }, { n: 2 }, { n: 3 }]), refusal);
    assert.deepEqual(told, [refusal, refusal]);
    assert.deepEqual(await jobs(), []);
  });

  it('must call next once', async () => {
    const never = await setup(async () => undefined);
    await assert.rejects(never.client.enqueue(plain, { n: 1 }), {
      code: 'MILLRACE_ENQUEUE_REFUSED',
      message: 'job "plain" was not enqueued: a middleware ended without calling next()',
    });
    assert.deepEqual(await never.jobs(), []);
    const twice = await setup(async (_, next) => {
      await next();
      await next();
    });
    await assert.rejects(twice.client.enqueue(plain, { n: 1 }), { code: 'MILLRACE_ENQUEUE_REFUSED' });
  });

  it('need not wait for next, and cannot hide that the job was not stored', async () => {
    const { client } = await setup(async (draft, next) => {
      draft.priority = 11;
      void next();
    });
    await assert.rejects(client.enqueue(plain, { n: 1 }), { code: 'MILLRACE_OPTION_INVALID' });
    const { client: silent } = await setup(async (draft, next) => {
      draft.priority = 11;
      await next().catch(() => undefined);
    });
    await assert.rejects(silent.enqueue(plain, { n: 1 }), { code: 'MILLRACE_OPTION_INVALID' });
  });
});

describe('enqueueIn', () => {
  const inbox = (answer?: () => AddResult) => {
    const groups: AddGroup[] = [];
    return {
      groups,
      add(given: readonly AddGroup[]) {
        groups.push(...given);
        return given.map(
          ({ jobs }): AddResult => answer?.() ?? { status: 'stored', ids: jobs.map((_, i) => `id-${i}`) },
        );
      },
    };
  };

  it('hands the job over at once, middleware included', async () => {
    const { client } = await setup(async (draft, next) => {
      draft.headers.trace = 't1';
      await next();
    });
    const box = inbox();
    const handle = client.enqueueIn(box, plain, { n: 1 }, { tags: ['tx'] });
    assert.deepEqual([handle.id, handle.isNew], ['id-0', true]);
    const [job] = box.groups[0]?.jobs ?? [];
    assert.deepEqual([job?.headers, job?.tags, String(job?.payload)], [{ trace: 't1' }, ['tx'], '{"n":1}']);
  });

  it('throws at once what went wrong, and hands nothing over', async () => {
    const { client } = await setup();
    const box = inbox();
    assert.throws(() => client.enqueueIn(box, plain, { n: 1 }, { priority: 11 }), { code: 'MILLRACE_OPTION_INVALID' });
    assert.throws(() => client.enqueueIn(box, plain, 1n as never), { code: 'MILLRACE_PAYLOAD_NOT_JSON' });
    assert.equal(box.groups.length, 0);
    const full = inbox(() => ({ status: 'full', queue: 'default', waiting: 1, limit: 1 }));
    assert.throws(() => client.enqueueIn(full, plain, { n: 1 }), { code: 'MILLRACE_QUEUE_FULL' });
    const broken = new Error('database is locked');
    const locked = inbox(() => {
      throw broken;
    });
    assert.throws(() => client.enqueueIn(locked, plain, { n: 1 }), broken);
  });

  it('refuses middleware and schemas that make it wait', async () => {
    const { client } = await setup(async (_, next) => {
      await Promise.resolve();
      await next();
    });
    const box = inbox();
    assert.throws(() => client.enqueueIn(box, plain, { n: 1 }), {
      code: 'MILLRACE_ENQUEUE_REFUSED',
      message: /did not call next\(\) at once/,
    });
    const slow = defineJob({
      name: 'slow',
      schema: { '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => ({ value }) } },
      run: () => undefined,
    });
    assert.throws(() => client.enqueueIn(box, slow, 1), { code: 'MILLRACE_OPTION_INVALID', message: /`schema`/ });
    const picky = defineJob({
      name: 'picky',
      schema: { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'no' }] }) } },
      run: () => undefined,
    });
    const { client: plainClient } = await setup();
    assert.throws(() => plainClient.enqueueIn(box, picky, 1 as never), { code: 'MILLRACE_PAYLOAD_INVALID' });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(box.groups.length, 0, 'not even later');
  });
});
