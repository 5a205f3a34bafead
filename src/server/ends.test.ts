import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../errors.ts';
import { fixed } from '../job/backoff.ts';
import type { Codec } from '../job/codec.ts';
import { cancel, discard, snooze } from '../job/control.ts';
import { defineJob } from '../job/job.ts';
import { setup, until } from './fixtures/support.ts';

const DAY = 86_400_000;

/** Writes text backwards, and nothing else. */
const backwards: Codec = {
  name: 'backwards',
  encode(value) {
    if (typeof value !== 'string') throw new TypeError('text only');
    return Buffer.from([...value].reverse().join(''));
  },
  decode: (bytes) => [...Buffer.from(bytes).toString()].reverse().join(''),
};

describe('how an attempt ends', () => {
  for (const how of ['returned', 'thrown'] as const) {
    const out = <T extends Error>(control: T): T => {
      if (how === 'thrown') throw control;
      return control;
    };

    it(`snooze, ${how}: again later, without an attempt`, async () => {
      let runs = 0;
      const job = defineJob({ name: 'a', run: (_: null, { attempt }) => (runs++ ? attempt : out(snooze(60_000))) });
      const { clock, server, client, seen, counted, end } = await setup([job]);
      await server.start();
      await client.enqueue(job, null);
      const [snoozed] = await seen('snoozed');
      assert.equal(snoozed?.runAt, clock.now() + 60_000);
      await counted('scheduled', 1);
      await clock.advance(60_000);
      const [done] = await seen('completed');
      assert.equal(done?.value, 1);
      await end();
    });

    it(`discard, ${how}: no more attempts`, async () => {
      const job = defineJob({ name: 'a', run: async (_: null) => out(discard('no such customer')) });
      const { backend, server, client, counted, end } = await setup([job]);
      await server.start();
      const { id } = await client.enqueue(job, null);
      await counted('discarded', 1);
      const record = await backend.get(id);
      assert.deepEqual(
        record?.errors.map(({ message, code }) => [message, code]),
        [['no such customer', 'MILLRACE_JOB_DISCARDED']],
      );
      await end();
    });

    it(`cancel, ${how}: ended on purpose`, async () => {
      const job = defineJob({ name: 'a', run: async (_: null) => out(cancel('order withdrawn')) });
      const { backend, server, client, seen, counted, end } = await setup([job]);
      await server.start();
      const { id } = await client.enqueue(job, null);
      await counted('cancelled', 1);
      assert.equal((await backend.get(id))?.errors[0]?.message, 'order withdrawn');
      await seen('cancelled');
      await end();
    });
  }

  it('takes a wait that leads out of time for one without end', async () => {
    const sleeper = defineJob({ name: 'sleeper', run: (_: null) => snooze(Number.MAX_VALUE) });
    const patient = defineJob({
      name: 'patient',
      backoff: fixed(Number.MAX_VALUE),
      run: (_: null) => Promise.reject(new Error('no')),
    });
    const { server, client, counted, list, of, end } = await setup([sleeper, patient]);
    await server.start();
    await client.enqueue(sleeper, null);
    await client.enqueue(patient, null);
    await counted('retryable', 1);
    await counted('scheduled', 1);
    const LAST = 8.64e15;
    assert.deepEqual(
      (await list()).map(({ runAt }) => runAt),
      [LAST, LAST],
    );
    assert.deepEqual(of('backend-error'), []);
    await end();
  });

  it('survives what is thrown or returned and lets nobody look at it', async () => {
    const no = () => {
      throw new Error('hands off');
    };
    const closed = () =>
      new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : no()), has: no, getPrototypeOf: no });
    const thrown: Record<string, () => unknown> = {
      getter: () => Object.defineProperty(new Error('a'), 'message', { get: no }),
      object: () => Object.assign(new Error('a'), { message: Object.create(null) }),
      constructor: () => Object.defineProperty({}, 'constructor', { get: no }),
      proxy: closed,
    };
    const job = defineJob({
      name: 'a',
      maxAttempts: 1,
      run(how: string) {
        throw thrown[how]?.();
      },
    });
    const returns = defineJob({ name: 'returns', run: async (_: null) => closed() });
    const { server, client, counted, end } = await setup([job, returns]);
    await server.start();
    await client.enqueueMany(job, Object.keys(thrown));
    await client.enqueue(returns, null);
    await counted('discarded', 4);
    await counted('completed', 1);
    await end();
  });

  it('fails a batch whose list says something else of an item than a value or an error', async () => {
    const settled = Promise.allSettled([Promise.reject(new Error('lost')), 'fine']);
    for (const answer of [[1, 2], ['fine', undefined], await settled]) {
      const batch = { size: 2, wait: 1_000, run: async () => answer as undefined[] };
      const job = defineJob({ name: 'a', maxAttempts: 1, batch });
      const { server, client, counted, list, end } = await setup([job]);
      await server.start();
      await client.enqueueMany(job, [1, 2]);
      await counted('discarded', 2);
      assert.match((await list())[0]?.errors[0]?.message ?? '', /`batch.run` should be a function that gives/);
      await end();
    }
  });

  it('waits as the back-off says, which sees the error', async () => {
    class Busy extends Error {
      readonly retryAfter = 7_000;
    }
    const job = defineJob({
      name: 'a',
      backoff: (_attempt, _random, error) => (error instanceof Busy ? error.retryAfter : 1),
      run: (_: null) => Promise.reject(new Busy('come back')),
    });
    const { clock, server, client, seen, end } = await setup([job]);
    await server.start();
    await client.enqueue(job, null);
    const [failed] = await seen('failed');
    assert.equal(failed?.retryAt, clock.now() + 7_000);
    await end();
  });

  it('waits 16 seconds and a little after the first failure when no back-off is given, or it throws', async () => {
    const run = (_: null) => Promise.reject(new Error('no'));
    const throws = () => {
      throw new Error('nonsense');
    };
    const plain = defineJob({ name: 'plain', run });
    const broken = defineJob({ name: 'broken', backoff: throws, run });
    const absurd = defineJob({ name: 'absurd', backoff: () => Number.NaN, run });
    const { clock, server, client, seen, end } = await setup([plain, broken, absurd]);
    await server.start();
    for (const job of [plain, broken, absurd]) await client.enqueue(job, null);
    for (const { retryAt } of await seen('failed', 3)) assert.equal(retryAt, clock.now() + 21_000);
    await end();
  });

  it('discards at once what retryIf says will not go away', async () => {
    const job = defineJob({
      name: 'a',
      backoff: fixed(1_000),
      retryIf: (error, { attempt }) => attempt < 2 || error.message !== 'hopeless',
      run: (_: null) => Promise.reject(new Error('hopeless')),
    });
    const { clock, backend, server, client, counted, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await counted('retryable', 1);
    await clock.advance(1_000);
    await counted('discarded', 1);
    assert.equal((await backend.get(id))?.errors.length, 2);
    await end();
  });

  it('keeps the result of a job that asked for it, written by its codec, and no other', async () => {
    const kept = defineJob({ name: 'kept', codec: backwards, keepFor: DAY, run: (text: string) => `${text}!` });
    const dropped = defineJob({ name: 'dropped', run: (n: number) => n });
    const silent = defineJob({ name: 'silent', keepFor: DAY, run: (_: null) => undefined });
    const { backend, server, client, counted, end } = await setup([kept, dropped, silent]);
    await server.start();
    const handles = [
      await client.enqueue(kept, 'abc'),
      await client.enqueue(dropped, 1),
      await client.enqueue(silent, null),
    ];
    await counted('completed', 3);
    const records = await Promise.all(handles.map(({ id }) => backend.get(id)));
    assert.deepEqual(
      records.map((record) => record?.state),
      ['completed', undefined, 'completed'],
    );
    assert.equal(Buffer.from(records[0]?.result ?? []).toString(), '!cba');
    assert.equal(records[2]?.result, undefined);
    await end();
  });

  it('completes a job whose result cannot be written, without it', async () => {
    const job = defineJob({ name: 'a', keepFor: DAY, run: (_: null) => ({ big: 1n }) });
    const dropped = defineJob({ name: 'b', run: (_: null) => ({ big: 1n }) });
    const { backend, server, client, of, counted, end } = await setup([job, dropped]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await client.enqueue(dropped, null);
    await counted('completed', 2);
    const lost = of('result-lost');
    assert.deepEqual(
      lost.map(({ job, error }) => [job.id, isError(error, 'PAYLOAD_NOT_JSON')]),
      [[id, true]],
      'what nobody keeps is not written at all',
    );
    assert.equal((await backend.get(id))?.result, undefined);
    await end();
  });

  it('reads payloads by the codec of the job, and lets it not loose on those of another', async () => {
    const seenPayloads: string[] = [];
    const text = defineJob({
      name: 'text',
      codec: backwards,
      maxAttempts: 1,
      run: (payload: string) => void seenPayloads.push(payload),
    });
    const batch = defineJob({
      name: 'batch',
      codec: backwards,
      maxAttempts: 1,
      batch: { size: 2, run: async (items) => void seenPayloads.push(...items.map(({ payload }) => String(payload))) },
    });
    const { backend, server, client, counted, end } = await setup([text, batch]);
    await client.enqueue(text, 'good');
    await client.enqueue(batch, 'fine');
    const foreign = (name: string) => ({
      queue: 'default',
      name,
      payload: Buffer.from('"bad"'),
      priority: 4,
      maxAttempts: 1,
    });
    const [added] = await backend.add([{ jobs: [foreign('text'), foreign('batch')] }]);
    await server.start();
    await counted('completed', 2);
    await counted('discarded', 2);
    assert.deepEqual(seenPayloads.sort(), ['fine', 'good']);
    for (const id of added?.status === 'stored' ? added.ids : ['none']) {
      assert.equal((await backend.get(id))?.errors[0]?.code, 'MILLRACE_CODEC_MISMATCH');
    }
    await end();
  });

  it('tells a job its key, tags and headers', async () => {
    const job = defineJob({
      name: 'a',
      key: (n: number) => `k${n}`,
      tags: ['t'],
      run: (_: number, { key, tags, headers }) => ({ key, tags, headers }),
    });
    const plain = defineJob({ name: 'b', run: (_: null, { key, tags, headers }) => ({ key, tags, headers }) });
    const { server, client, seen, end } = await setup([job, plain]);
    await server.start();
    await client.enqueue(job, 7, { headers: { h: 'v' } });
    const [first] = await seen('completed');
    assert.deepEqual(first?.value, { key: 'k7', tags: ['t'], headers: { h: 'v' } });
    await client.enqueue(plain, null);
    const [, second] = await seen('completed', 2);
    assert.deepEqual(second?.value, { key: undefined, tags: [], headers: {} });
    await end();
  });
});

describe('what a job reports', () => {
  it('reaches the backend within 100 ms, all jobs in one call, the latest progress of each', async () => {
    const open = Promise.withResolvers<void>();
    const job = defineJob({
      name: 'a',
      async run(n: number, context) {
        for (let i = 0; i <= n; i++) context.progress({ done: i });
        context.log(`step ${n}`);
        await open.promise;
      },
    });
    const { clock, backend, server, client, seen, end } = await setup([job]);
    const calls: number[] = [];
    const { report } = backend;
    backend.report = (id, reports) => {
      calls.push(reports.length);
      return report.call(backend, id, reports);
    };
    await server.start();
    const handles = await client.enqueueMany(job, [3, 4]);
    await seen('started', 2);
    await clock.advance(99);
    assert.deepEqual(calls, []);
    await clock.advance(1);
    assert.deepEqual(calls, [2]);
    const records = await Promise.all(handles.map(({ id }) => backend.get(id)));
    assert.deepEqual(
      records.map((record) => [record?.progress, record?.log?.map(({ text }) => text)]),
      [
        ['{"done":3}', ['step 3']],
        ['{"done":4}', ['step 4']],
      ],
    );
    open.resolve();
    await seen('completed', 2);
    await end();
  });

  it('is stored before the job ends, however short it is, and nothing of what it says later', async () => {
    let late: () => void = () => undefined;
    const job = defineJob({
      name: 'a',
      keepFor: DAY,
      run(_: null, context) {
        context.progress('half');
        context.log('one');
        context.log('two');
        late = () => {
          context.progress('late');
          context.log('late');
        };
      },
    });
    const { clock, backend, server, client, counted, end } = await setup([job]);
    const { report } = backend;
    let calls = 0;
    backend.report = (id, reports) => {
      calls++;
      return report.call(backend, id, reports);
    };
    await server.start();
    const { id } = await client.enqueue(job, null);
    await counted('completed', 1);
    late();
    await clock.advance(1_000);
    assert.equal(calls, 1);
    const record = await backend.get(id);
    assert.equal(record?.progress, '"half"');
    assert.deepEqual(
      record?.log?.map(({ text }) => text),
      ['one', 'two'],
    );
    await end();
  });

  it('is bounded: the last 1,000 lines, each cut, and a progress that is too large is refused', async () => {
    const job = defineJob({
      name: 'a',
      keepFor: DAY,
      run(_: null, context) {
        for (let i = 0; i < 5_000; i++) context.log(`${i}`);
        context.log('x'.repeat(5_000));
        for (const wrong of ['x'.repeat(70_000), undefined, 1n]) {
          assert.throws(() => context.progress(wrong), { code: 'MILLRACE_OPTION_INVALID' });
        }
      },
    });
    const { backend, server, client, counted, end } = await setup([job]);
    const { report } = backend;
    let longest = 0;
    backend.report = (id, reports) => {
      for (const { log = [] } of reports) longest = Math.max(longest, log.length);
      return report.call(backend, id, reports);
    };
    await server.start();
    const { id } = await client.enqueue(job, null);
    await counted('completed', 1);
    assert.equal(longest, 1_000, 'the others do not even leave');
    const record = await backend.get(id);
    assert.equal(record?.log?.length, 1_000);
    assert.equal(record?.log?.[0]?.text, '4001');
    assert.equal(record?.log?.at(-1)?.text.length, 4_096);
    assert.equal(record?.progress, undefined);
    await end();
  });

  it('costs no job when the backend refuses it', async () => {
    const job = defineJob({ name: 'a', run: (_: null, context) => context.log('line') });
    const { backend, server, client, seen, counted, end } = await setup([job]);
    backend.report = () => Promise.reject(new Error('no'));
    await server.start();
    await client.enqueue(job, null);
    await counted('completed', 1);
    const [error] = await seen('backend-error');
    assert.equal(error?.doing, 'report');
    await end();
  });

  it('waits with the outcome while the backend is away, and loses nothing', async () => {
    const job = defineJob({ name: 'a', keepFor: DAY, run: (_: null, context) => context.log('line') });
    const { clock, backend, server, client, seen, counted, end } = await setup([job]);
    const { MillraceError } = await import('../errors.ts');
    const { report } = backend;
    let away = 2;
    backend.report = (id, reports) =>
      away-- > 0
        ? Promise.reject(new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'a test' }))
        : report.call(backend, id, reports);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('backend-error');
    for (let i = 0; i < 5; i++) await clock.advance(500);
    await counted('completed', 1);
    assert.equal((await backend.get(id))?.log?.[0]?.text, 'line');
    await until(() => away < 0);
    await end();
  });
});
