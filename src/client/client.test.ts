import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { defineJob } from '../job/job.ts';
import type { StandardSchema } from '../job/schema.ts';
import { Client } from './client.ts';

/** A Standard Schema by hand: an object with a numeric `n`, to which it adds a default. */
const numbered: StandardSchema<unknown, { n: number; unit: string }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate(value) {
      const n = (value as { n?: unknown } | null)?.n;
      if (typeof n !== 'number') return { issues: [{ message: 'should be a number', path: ['n'] }] };
      return { value: { unit: 'm', n } };
    },
  },
};

const plain = defineJob({
  name: 'plain',
  queue: 'own',
  priority: 2,
  maxAttempts: 7,
  run: (_: { n: number }) => 'done',
});
const checked = defineJob({ name: 'checked', schema: numbered, run: ({ n, unit }) => `${n} ${unit}` });

async function setup(maxWaiting?: number) {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock });
  await backend.open();
  const client = new Client({ backend, clock, jobs: [plain, checked], ...(maxWaiting && { maxWaiting }) });
  const texts = async () => (await backend.list({})).jobs.map((job) => Buffer.from(job.payload).toString());
  return { clock, backend, client, texts };
}

describe('Client', () => {
  it('stores a job with the options of its definition, found by name or given itself', async () => {
    const { backend, client } = await setup();
    const byName = await client.enqueue('plain', { n: 1 });
    const byDefinition = await client.enqueue(plain, { n: 2 });
    for (const { id, isNew } of [byName, byDefinition]) {
      assert.ok(isNew);
      const job = await backend.get(id);
      assert.deepEqual([job?.name, job?.queue, job?.priority, job?.maxAttempts], ['plain', 'own', 2, 7]);
    }
  });

  it('lets an enqueue choose queue, priority and time', async () => {
    const { clock, backend, client } = await setup();
    const later = await client.enqueue(plain, { n: 1 }, { queue: 'other', priority: 9, delay: 5_000 });
    const job = await backend.get(later.id);
    assert.deepEqual(
      [job?.queue, job?.priority, job?.state, job?.runAt],
      ['other', 9, 'scheduled', clock.now() + 5_000],
    );
    const at = new Date(clock.now() + 60_000);
    const dated = await client.enqueue(plain, { n: 1 }, { at });
    assert.equal((await backend.get(dated.id))?.runAt, at.getTime());
  });

  it('keeps the order of calls, made one after the other or all at once', async () => {
    const { client, texts } = await setup();
    await Promise.all([1, 2, 3].map((n) => client.enqueue(plain, { n })));
    await client.enqueueMany(plain, [{ n: 4 }, { n: 5 }]);
    assert.deepEqual(
      await texts(),
      [1, 2, 3, 4, 5].map((n) => `{"n":${n}}`),
    );
  });

  it('sends calls of one moment to the backend together', async () => {
    const { backend, client } = await setup();
    const sizes: number[] = [];
    const add = backend.add.bind(backend);
    backend.add = (groups) => {
      sizes.push(groups.length);
      return add(groups);
    };
    await Promise.all(Array.from({ length: 100 }, (_, n) => client.enqueue(plain, { n })));
    assert.deepEqual(sizes, [100]);
  });

  it('stores what the schema makes of a payload', async () => {
    const { client, texts } = await setup();
    await client.enqueue(checked, { n: 3, unit: 'm' });
    assert.deepEqual(await texts(), ['{"unit":"m","n":3}']);
  });

  it('refuses a payload that does not fit, naming job and place, and stores none of its company', async () => {
    const { client, texts } = await setup();
    const wrong = [{ n: 1, unit: 'm' }, { n: '2' } as unknown as { n: number; unit: string }];
    await assert.rejects(client.enqueueMany(checked, wrong), {
      code: 'MILLRACE_PAYLOAD_INVALID',
      message: 'the payload does not fit job "checked": n: should be a number',
    });
    assert.deepEqual(await texts(), []);
  });

  it('refuses what JSON cannot hold', async () => {
    const { client } = await setup();
    const cyclic: { n: number; self?: unknown } = { n: 1 };
    cyclic.self = cyclic;
    for (const payload of [cyclic, undefined, () => 1, 1n]) {
      await assert.rejects(client.enqueue(plain, payload as { n: number }), { code: 'MILLRACE_PAYLOAD_NOT_JSON' });
    }
  });

  it('refuses with QUEUE_FULL at maxWaiting, whole groups or nothing', async () => {
    const { client, texts } = await setup(2);
    await client.enqueue(plain, { n: 1 });
    await assert.rejects(client.enqueueMany(plain, [{ n: 2 }, { n: 3 }]), {
      code: 'MILLRACE_QUEUE_FULL',
      fields: { status: 'full', queue: 'own', waiting: 1, limit: 2 },
    });
    await client.enqueue(plain, { n: 4 });
    assert.equal((await texts()).length, 2);
  });

  it('refuses unknown names and impossible options', async () => {
    const { client } = await setup();
    await assert.rejects(client.enqueue('nobody' as 'plain', { n: 1 }), { code: 'MILLRACE_JOB_UNKNOWN' });
    const impossible = [{ delay: -1 }, { delay: 1, at: 1 }, { at: new Date('never') }, { priority: 10 }, { queue: '' }];
    for (const options of impossible) {
      await assert.rejects(client.enqueue(plain, { n: 1 }, options), { code: 'MILLRACE_OPTION_INVALID' });
    }
  });

  it('stores what was handed over before close, and nothing after', async () => {
    const { client, texts } = await setup();
    const last = client.enqueue(plain, { n: 1 });
    await client.close();
    assert.ok(await last);
    assert.equal((await texts()).length, 1);
    await assert.rejects(client.enqueue(plain, { n: 2 }), { code: 'MILLRACE_STOPPED' });
  });

  it('infers payloads from names and definitions (checked by the compiler)', async () => {
    const { client } = await setup();
    const wrong = async () => {
      // @ts-expect-error `n` is a number
      await client.enqueue('plain', { n: 'one' });
      // @ts-expect-error `n` is missing
      await client.enqueue(checked, {});
      const result: string = await (await client.enqueue('plain', { n: 1 })).result();
      const page: { n: number } | undefined = (await client.handle('id', 'plain').get())?.payload;
      // @ts-expect-error the result is text
      const number: number = await client.handle('id', plain).result();
      assert.ok([result, page, number]);
      // @ts-expect-error no such name
      await client.enqueue('absent', {});
    };
    assert.equal(typeof wrong, 'function');
  });
});
