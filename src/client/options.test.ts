import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { compressed } from '../job/compressed.ts';
import { defineJob } from '../job/job.ts';
import { losslessJson } from '../job/lossless-json.ts';
import { Client, type ClientOptions } from './client.ts';

const plain = defineJob({ name: 'plain', run: (_: { n: number }) => 'done' });
const rich = defineJob({
  name: 'rich',
  key: (order: { customer: string; n: number }) => order.customer,
  tags: ({ n }) => (n > 10 ? ['large'] : []),
  unique: { by: ['customer'] },
  keepFor: 1_000,
  run: () => undefined,
});

async function setup(options: Partial<ClientOptions<[]>> = {}) {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock });
  await backend.open();
  const client = new Client({ backend, clock, ...options });
  const record = async (handle: { id: string }) => {
    const found = await backend.get(handle.id);
    assert.ok(found);
    return found;
  };
  return { clock, backend, client, record };
}

describe('the options of an enqueue', () => {
  it('are stored with the job', async () => {
    const { client, record } = await setup();
    const options = {
      id: 'order-7',
      key: 'acme',
      tags: ['vip', 'vip'],
      headers: { trace: 't1' },
      keepFor: 5,
      maxAttempts: 2,
    };
    const handle = await client.enqueue(plain, { n: 1 }, options);
    assert.equal(handle.id, 'order-7');
    const { key, tags, headers, keepFor, maxAttempts } = await record(handle);
    assert.deepEqual(
      { key, tags, headers, keepFor, maxAttempts },
      { key: 'acme', tags: ['vip'], headers: { trace: 't1' }, keepFor: 5, maxAttempts: 2 },
    );
  });

  it('come from the definition when the call does not say', async () => {
    const { client, record } = await setup();
    const { key, tags, keepFor } = await record(
      await client.enqueue(rich, { customer: 'acme', n: 11 }, { tags: ['new'] }),
    );
    assert.deepEqual({ key, tags, keepFor }, { key: 'acme', tags: ['large', 'new'], keepFor: 1_000 });
    const other = await record(await client.enqueue(rich, { customer: 'bolt', n: 1 }, { key: 'own', keepFor: 7 }));
    assert.deepEqual([other.key, other.tags, other.keepFor], ['own', undefined, 7]);
  });

  it('lead to the job that is there: by its id, or by a unique rule', async () => {
    const { client } = await setup();
    const first = await client.enqueue(plain, { n: 1 }, { id: 'mine' });
    const again = await client.enqueue(plain, { n: 2 }, { id: 'mine' });
    assert.deepEqual([first.isNew, again.isNew, again.id], [true, false, 'mine']);

    const one = await client.enqueue(rich, { customer: 'acme', n: 1 });
    const two = await client.enqueue(rich, { customer: 'acme', n: 2 });
    assert.deepEqual([one.isNew, two.isNew, two.id], [true, false, one.id]);
    const anyway = await client.enqueue(rich, { customer: 'acme', n: 2 }, { unique: false });
    assert.ok(anyway.isNew);
    const ruled = await client.enqueue(rich, { customer: 'acme', n: 2 }, { unique: { by: ['n'] } });
    assert.ok(ruled.isNew);
    const many = await client.enqueueMany(rich, [
      { customer: 'carl', n: 1 },
      { customer: 'acme', n: 9 },
      { customer: 'carl', n: 2 },
    ]);
    assert.deepEqual(
      many.map(({ isNew }) => isNew),
      [true, false, false],
    );
  });

  it('throttle: one job a period, whatever became of the first', async () => {
    const { clock, client, backend } = await setup();
    const unique = { mode: 'throttle', period: 60_000 } as const;
    const first = await client.enqueue(plain, { n: 1 }, { unique });
    await backend.act({ kind: 'cancel', reason: 'test' }, {});
    assert.equal((await client.enqueue(plain, { n: 1 }, { unique })).isNew, false);
    await clock.advance(60_001);
    const later = await client.enqueue(plain, { n: 1 }, { unique });
    assert.ok(later.isNew && later.id !== first.id);
  });

  it('debounce: the last payload and the last time count', async () => {
    const { clock, client, record } = await setup();
    const unique = { by: () => 'all', mode: 'debounce' } as const;
    const first = await client.enqueue(plain, { n: 1 }, { unique, delay: 1_000 });
    await clock.advance(500);
    await client.enqueue(plain, { n: 2 }, { unique, delay: 1_000 });
    const { payload, runAt } = await record(first);
    assert.deepEqual([Buffer.from(payload).toString(), runAt], ['{"n":2}', clock.now() + 1_000]);
  });

  it('refuse what cannot be, and names that are not known, and take nobody with them', async () => {
    const { client, backend } = await setup();
    const wrong = [
      { id: '' },
      { key: 'k'.repeat(256) },
      { tags: [''] },
      { headers: { codec: 'mine' } },
      { headers: { trace: 7 as unknown as string } },
      { keepFor: 0 },
      { maxAttempts: 0 },
      { queue: '\ud800' },
      { unique: { mode: 'throttle' as const } },
      { delay: Number.POSITIVE_INFINITY },
      { delay: '5' as unknown as number },
      ...[null, '', true, '2030-01-01'].map((at) => ({ at: at as unknown as number })),
    ];
    const good = client.enqueue(plain, { n: 1 });
    await Promise.all(
      wrong.map((options) =>
        assert.rejects(client.enqueue(plain, { n: 2 }, options), { code: 'MILLRACE_OPTION_INVALID' }),
      ),
    );
    await assert.rejects(client.enqueueMany(plain, [{ n: 1 }, { n: 2 }], { id: 'x' }), {
      code: 'MILLRACE_OPTION_INVALID',
    });
    await assert.rejects(client.enqueue(plain, { n: 2 }, { delays: 1 } as object), { code: 'MILLRACE_OPTION_UNKNOWN' });
    const untagged = defineJob({
      name: 'untagged',
      tags: () => undefined as unknown as string[],
      run: () => undefined,
    });
    await assert.rejects(client.enqueue(untagged, null), { code: 'MILLRACE_OPTION_INVALID', message: /`tags`/ });
    const tooLong = { customer: 'c'.repeat(256), n: 1 };
    const neighbour = client.enqueue(plain, { n: 1 });
    await assert.rejects(client.enqueue(rich, tooLong), { code: 'MILLRACE_OPTION_INVALID' });
    assert.ok((await good).isNew && (await neighbour).isNew);
    assert.equal((await backend.list({})).jobs.length, 2);
  });

  it('that only the backend can refuse are refused for those who gave them, and the others keep their order', async () => {
    const { client, backend } = await setup();
    const { id } = await client.enqueue(plain, { n: 0 });
    const taken = await client.enqueue(plain, { n: 0 });
    await backend.act({ kind: 'remove' }, {});
    const ends = await Promise.allSettled([
      client.enqueue(plain, { n: 1 }),
      client.enqueue(plain, { n: 2 }, { id }), // an id as the backend gives them
      client.enqueue(plain, { n: 3 }),
      client.enqueue(plain, { n: 4 }, { id: taken.id }),
      client.enqueue(plain, { n: 5 }),
    ]);
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
    );
    const stored = (await backend.list({})).jobs.map(({ payload }) => String(payload));
    assert.deepEqual(stored, ['{"n":1}', '{"n":3}', '{"n":5}']);
  });

  it('refuse a payload that is too large, before and after compression', async () => {
    const { client } = await setup({ maxPayload: 100 });
    const job = defineJob({ name: 'blob', run: (_: string) => undefined });
    await assert.rejects(client.enqueue(job, 'x'.repeat(99)), {
      code: 'MILLRACE_PAYLOAD_TOO_LARGE',
      fields: { name: 'blob', bytes: 101, limit: 100 },
    });
    assert.ok(await client.enqueue(job, 'x'.repeat(98)));
    const packed = defineJob({
      name: 'packed',
      codec: compressed(undefined, { threshold: 0 }),
      run: (_: string) => undefined,
    });
    assert.ok(await client.enqueue(packed, 'x'.repeat(1_000)));
  });

  it('name the codec with the job, unless it is json', async () => {
    const { client, record } = await setup();
    const credit = defineJob({ name: 'credit', codec: losslessJson, run: (_: { account: bigint }) => undefined });
    const handle = await client.enqueue(credit, { account: 2n ** 64n });
    assert.deepEqual((await record(handle)).headers, { codec: 'lossless-json' });
    assert.deepEqual((await handle.get())?.payload, { account: 2n ** 64n });
    assert.equal((await record(await client.enqueue(plain, { n: 1 }))).headers, undefined);
  });
});

describe('the options of a client', () => {
  it('are refused when they cannot be', async () => {
    const { backend } = await setup();
    const wrong = [{ maxWaiting: 0 }, { maxPayload: 0 }, { pollInterval: 0 }, { middleware: [1] }];
    for (const options of wrong) {
      assert.throws(() => new Client({ backend, ...(options as object) }), { code: 'MILLRACE_OPTION_INVALID' });
    }
    assert.throws(() => new Client({ backend, maxwaiting: 1 } as never), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });
});
