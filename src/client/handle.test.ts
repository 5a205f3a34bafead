import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import type { Ending } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { defineJob } from '../job/job.ts';
import { losslessJson } from '../job/lossless-json.ts';
import { Client } from './client.ts';

const render = defineJob({ name: 'render', keepFor: 60_000, run: ({ page }: { page: number }) => `page ${page}` });

async function setup() {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock });
  await backend.open();
  const client = new Client({ backend, clock });
  const server = { id: 's', host: 'h', pid: 1, queues: ['default'], concurrency: 1 };
  await backend.beat(server);
  const claim = async () => (await backend.claim({ server: 's', queues: ['default'], limit: 100 })).jobs;
  /** Ends everything that can be claimed. */
  const end = async (ending: Ending) => {
    const outcomes = (await claim()).map(({ id, claim }) => ({ id, claim, ending }));
    assert.ok(outcomes.length > 0);
    await backend.settle('s', outcomes);
  };
  /** Loops of the event loop: long enough for a look at a backend in memory. */
  const turns = async () => {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  /** Every call of `list`, by the ids that it asks for. */
  const asked: (readonly string[] | undefined)[] = [];
  const list = backend.list.bind(backend);
  backend.list = (filter, page) => {
    asked.push(filter.ids);
    return list(filter, page);
  };
  return { clock, backend, client, claim, end, turns, asked };
}

const done = (value: unknown): Ending => ({ kind: 'completed', result: Buffer.from(JSON.stringify(value)) });
const failed = (message: string): Ending => ({ kind: 'failed', error: { attempt: 1, at: 0, message } });

describe('handle.result', () => {
  it('resolves to what the handler returned, typed', async () => {
    const { client, end, turns } = await setup();
    const handle = await client.enqueue(render, { page: 3 });
    const waiting: Promise<string> = handle.result();
    await turns();
    await end(done('page 3'));
    assert.equal(await waiting, 'page 3');
    assert.equal(await handle.result(), 'page 3', 'also when it has ended before');
  });

  it('works with an id alone, from another client', async () => {
    const { backend, clock, client, end } = await setup();
    const { id } = await client.enqueue(render, { page: 3 });
    await end(done('page 3'));
    const elsewhere = new Client({ backend, clock, jobs: [render] });
    assert.equal(await elsewhere.handle(id, 'render').result(), 'page 3');
    assert.equal((await elsewhere.handle(id).get())?.state, 'completed');
  });

  it('decodes with the codec of the job', async () => {
    const { client, end } = await setup();
    const big = defineJob({ name: 'big', codec: losslessJson, keepFor: 1, run: (_: null) => 2n ** 70n });
    const handle = await client.enqueue(big, null);
    await end({ kind: 'completed', result: losslessJson.encode(2n ** 70n, 'big') });
    assert.equal(await handle.result(), 2n ** 70n);
  });

  it('is undefined when the handler returned nothing', async () => {
    const { client, end } = await setup();
    const handle = await client.enqueue(render, { page: 3 });
    await end({ kind: 'completed' });
    assert.equal(await handle.result(), undefined);
  });

  it('rejects with JOB_FAILED and the last reason when the job ends otherwise', async () => {
    const { backend, client, end } = await setup();
    const broken = await client.enqueue(render, { page: 1 });
    await end(failed('no ink'));
    await assert.rejects(broken.result(), {
      code: 'MILLRACE_JOB_FAILED',
      fields: { id: broken.id, state: 'discarded', reason: 'no ink' },
    });
    const unwanted = await client.enqueue(render, { page: 2 });
    const waiting = assert.rejects(unwanted.result(), {
      message: new RegExp(`job ${unwanted.id} was cancelled: .*late`),
    });
    await backend.act({ kind: 'cancel', reason: 'too late' }, { ids: [unwanted.id] });
    await waiting;
  });

  it('rejects with RESULT_NOT_KEPT when the job is gone', async () => {
    const { client, end } = await setup();
    const handle = await client.enqueue(render, { page: 1 }, { id: 'x', keepFor: 1 });
    const forgotten = defineJob({ name: 'forgotten', run: (_: number) => 1 });
    const unkept = await client.enqueue(forgotten, 1);
    await end(done(1));
    await assert.rejects(unkept.result(), { code: 'MILLRACE_RESULT_NOT_KEPT', fields: { id: unkept.id } });
    assert.equal(await handle.result(), 1);
    await assert.rejects(client.handle('nowhere').result(), { code: 'MILLRACE_RESULT_NOT_KEPT' });
  });

  it('stops waiting at its timeout and with its signal, and leaves the job alone', async () => {
    const { clock, backend, client, turns } = await setup();
    const handle = await client.enqueue(render, { page: 1 });
    const late = assert.rejects(handle.result({ timeout: 500 }), {
      code: 'MILLRACE_RESULT_TIMEOUT',
      message: `job ${handle.id} has not ended within 500 ms`,
    });
    const abort = new AbortController();
    const reason = new Error('enough');
    const aborted = assert.rejects(handle.result({ signal: abort.signal }), reason);
    await turns();
    await clock.advance(500);
    await late;
    abort.abort(reason);
    await aborted;
    await assert.rejects(handle.result({ signal: abort.signal }), reason);
    assert.equal((await backend.get(handle.id))?.state, 'available');
    assert.equal(getEventListeners(abort.signal, 'abort').length, 0);
    assert.equal(clock.pending, 0, 'no timer when nobody waits');
    await assert.rejects(handle.result({ timeout: -1 }), { code: 'MILLRACE_OPTION_INVALID' });
  });

  it('asks for all waiters together, in pages, and only when there is a reason', async () => {
    const { clock, client, end, turns, asked } = await setup();
    const handles = await client.enqueueMany(
      render,
      Array.from({ length: 250 }, (_, page) => ({ page })),
    );
    const results = Promise.all([...handles, ...handles].map((handle) => handle.result()));
    await turns();
    assert.deepEqual(
      asked.map((ids) => ids?.length),
      [100, 100, 50],
    );
    const late = await client.enqueue(render, { page: 250 }, { delay: 10_000 });
    const lateResult = late.result();
    await turns();
    assert.deepEqual(asked.at(-1), [late.id], 'a new one does not make the others be asked for again');
    asked.length = 0;
    await end(done('done'));
    await end(done('done'));
    await end(done('done'));
    assert.deepEqual(new Set(await results), new Set(['done']));
    const looks = asked.length;
    assert.ok(looks > 0);
    await turns();
    assert.equal(asked.length, looks, 'nothing is asked while nothing happens');
    await client.handle(late.id).cancel();
    await assert.rejects(lateResult, { code: 'MILLRACE_JOB_FAILED' });
    assert.equal(clock.pending, 0);
  });

  it('looks again when something happened while it was looking', async () => {
    const { backend, client, end, turns } = await setup();
    const handle = await client.enqueue(render, { page: 1 });
    const { list } = backend;
    const gate = Promise.withResolvers<void>();
    backend.list = async (...call) => {
      const seen = await list(...call);
      await gate.promise;
      return seen;
    };
    const waiting = handle.result();
    await turns();
    await end(done('meanwhile'));
    await turns();
    gate.resolve();
    assert.equal(await waiting, 'meanwhile');
  });

  it('does not take an answer from before it was asked', async () => {
    const { backend, client, turns } = await setup();
    const { list } = backend;
    const gate = Promise.withResolvers<void>();
    backend.list = async (...call) => {
      const seen = await list(...call);
      await gate.promise;
      return seen;
    };
    const before = assert.rejects(client.handle('mine', render).result(), { code: 'MILLRACE_RESULT_NOT_KEPT' });
    await turns();
    const handle = await client.enqueue(render, { page: 1 }, { id: 'mine' });
    const abort = new AbortController();
    const after = assert.rejects(handle.result({ signal: abort.signal }), { name: 'AbortError' });
    await turns();
    gate.resolve();
    await before;
    await turns();
    abort.abort();
    await after;
  });

  it('reads on when the backend gives its answer in pieces', async () => {
    const { backend, client, end } = await setup();
    const handles = await client.enqueueMany(render, [{ page: 1 }, { page: 2 }, { page: 3 }]);
    await end(done('done'));
    const { list } = backend;
    backend.list = (filter, page) => list(filter, { ...page, limit: 1 });
    assert.deepEqual(await Promise.all(handles.map((handle) => handle.result())), ['done', 'done', 'done']);
  });

  it('leaves no timer and no listener behind when it has its answer', async () => {
    const { clock, backend, client, end, turns } = await setup();
    let listening = 0;
    const listen = backend.listen.bind(backend);
    backend.listen = (...call) => {
      listening++;
      const stop = listen(...call);
      return () => {
        listening--;
        stop();
      };
    };
    const { signal } = new AbortController();
    const waiting = (await client.enqueue(render, { page: 1 })).result({ signal, timeout: 1_000 });
    await turns();
    assert.equal(listening, 1);
    await end(done('done'));
    await waiting;
    assert.deepEqual([listening, clock.pending, getEventListeners(signal, 'abort').length], [0, 0, 0]);
  });

  it('finds out by its poll when the word got lost', async () => {
    const { clock, backend, client, end, turns } = await setup();
    backend.listen = () => () => undefined;
    const handle = await client.enqueue(render, { page: 1 });
    const waiting = handle.result();
    await turns();
    await end(done('late'));
    await turns();
    await clock.advance(1_000);
    assert.equal(await waiting, 'late');
  });

  it('waits for a backend that is away, and not for one that is closed', async () => {
    const { clock, backend, client, end, turns } = await setup();
    const handle = await client.enqueue(render, { page: 1 });
    const { list } = backend;
    backend.list = () =>
      Promise.reject(new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'test' }));
    const waiting = handle.result();
    await turns();
    await end(done('late'));
    await turns();
    backend.list = list;
    await clock.advance(1_000);
    assert.equal(await waiting, 'late');

    await backend.close();
    await assert.rejects(client.handle('x').result(), { code: 'MILLRACE_BACKEND_CLOSED' });
    assert.equal(clock.pending, 0);
  });

  it('ends with the client', async () => {
    const { clock, client, turns } = await setup();
    const handle = await client.enqueue(render, { page: 1 });
    const waiting = assert.rejects(handle.result(), { code: 'MILLRACE_STOPPED' });
    await turns();
    await client.close();
    await waiting;
    await assert.rejects(handle.result(), { code: 'MILLRACE_STOPPED' });
    assert.equal(clock.pending, 0);
  });
});

describe('a handle', () => {
  it('shows the job as it is now', async () => {
    const { backend, client, claim } = await setup();
    const handle = await client.enqueue(render, { page: 3 }, { tags: ['draft'], key: 'acme' });
    const view = await handle.get();
    const page: number | undefined = view?.payload.page;
    assert.deepEqual(
      [page, view?.state, view?.tags, view?.key, view?.result],
      [3, 'available', ['draft'], 'acme', undefined],
    );
    const [job] = await claim();
    assert.ok(job);
    await backend.report('s', [
      { id: job.id, claim: job.claim, progress: '{"done":1}', log: [{ at: 1, text: 'begun' }] },
    ]);
    const running = await handle.get();
    assert.deepEqual(
      [running?.state, running?.progress, running?.log],
      ['running', { done: 1 }, [{ at: 1, text: 'begun' }]],
    );
    assert.equal(await client.handle('nowhere').get(), undefined);
  });

  it('cancels a job that waits, and says when there was nothing to cancel', async () => {
    const { client } = await setup();
    const handle = await client.enqueue(render, { page: 3 });
    assert.equal(await handle.cancel('not wanted'), true);
    const view = await handle.get();
    assert.deepEqual([view?.state, view?.errors.at(-1)?.message.includes('not wanted')], ['cancelled', true]);
    assert.equal(await handle.cancel(), false);
    assert.equal(await client.handle('nowhere').cancel(), false);
  });

  it('changes a job that waits', async () => {
    const { clock, client, claim } = await setup();
    const handle = await client.enqueue(render, { page: 3 });
    assert.equal(await handle.update({ payload: { page: 4 }, priority: 1, maxAttempts: 2, tags: ['new'] }), 'changed');
    assert.equal(await client.update(handle.id, { delay: 1_000 }), 'changed');
    const view = await handle.get();
    const { payload, priority, maxAttempts, tags, runAt, state } = view ?? assert.fail();
    assert.deepEqual(
      { payload, priority, maxAttempts, tags, runAt, state },
      {
        payload: { page: 4 },
        priority: 1,
        maxAttempts: 2,
        tags: ['new'],
        runAt: clock.now() + 1_000,
        state: 'scheduled',
      },
    );
    assert.equal(await handle.update({ delay: 0 }), 'changed');
    assert.equal((await handle.get())?.state, 'available');
    assert.equal(await client.update(handle.id, { payload: { page: 5 } }, render), 'changed');
    await claim();
    assert.equal(await handle.update({ priority: 2 }), 'busy');
    assert.equal(await client.update('nowhere', { priority: 2 }), 'unknown');
  });

  it('refuses changes that cannot be', async () => {
    const { client } = await setup();
    const handle = await client.enqueue(render, { page: 3 });
    await assert.rejects(handle.update({ prio: 1 } as object), { code: 'MILLRACE_OPTION_UNKNOWN' });
    await assert.rejects(handle.update({ priority: 10 }), { code: 'MILLRACE_OPTION_INVALID' });
    await assert.rejects(handle.update({ delay: 1, at: 1 }), { code: 'MILLRACE_OPTION_INVALID' });
    await assert.rejects(client.handle(handle.id).update({ payload: 1 }), { code: 'MILLRACE_OPTION_INVALID' });
    assert.deepEqual((await handle.get())?.payload, { page: 3 });
  });

  it('has the types of its job (checked by the compiler)', async () => {
    const { client } = await setup();
    const wrong = async () => {
      const handle = await client.enqueue(render, { page: 3 });
      // @ts-expect-error the result is text
      const result: number = await handle.result();
      // @ts-expect-error `page` is a number
      await handle.update({ payload: { page: 'three' } });
      // @ts-expect-error a payload needs its job
      await client.update('id', { payload: { page: 3 } });
      return result;
    };
    assert.equal(typeof wrong, 'function');
  });
});

describe('schedules of a client', () => {
  it('are put, replaced, told and removed', async () => {
    const { clock, client } = await setup();
    await client.schedule('nightly', render, { page: 1 }, { every: 60_000 }, { tags: ['night'], priority: 2 });
    const [schedule] = await client.schedules();
    assert.equal(schedule?.nextAt, clock.now() + 60_000);
    assert.deepEqual(
      [schedule?.key, schedule?.job.name, schedule?.job.tags, schedule?.job.priority, String(schedule?.job.payload)],
      ['nightly', 'render', ['night'], 2, '{"page":1}'],
    );
    await clock.advance(30_000);
    await client.schedule('nightly', render, { page: 2 }, { every: 60_000 });
    const [again, ...others] = await client.schedules();
    assert.deepEqual([again?.nextAt, String(again?.job.payload), others.length], [schedule?.nextAt, '{"page":2}', 0]);
    assert.equal(await client.unschedule('nightly'), true);
    assert.equal(await client.unschedule('nightly'), false);
    assert.deepEqual(await client.schedules(), []);
  });

  it('are refused when rule, payload or options cannot be', async () => {
    const { client } = await setup();
    const put = (rule: object, options = {}) =>
      client.schedule('k', render, { page: 1 }, rule as { every: number }, options);
    await assert.rejects(put({ every: 0 }), { code: 'MILLRACE_SCHEDULE_INVALID' });
    await assert.rejects(put({ every: 5 }, { delay: 5 }), { code: 'MILLRACE_OPTION_UNKNOWN' });
    await assert.rejects(put({ every: 5 }, { priority: 10 }), { code: 'MILLRACE_OPTION_INVALID' });
    const headers = Object.fromEntries(Array.from({ length: 63 }, (_, i) => [`h${i}`, '']));
    await assert.rejects(put({ every: 5 }, { headers }), { code: 'MILLRACE_OPTION_INVALID', message: /`headers`/ });
    await assert.rejects(client.schedule('k', render, 1n as never, { every: 5 }), {
      code: 'MILLRACE_PAYLOAD_NOT_JSON',
    });
    assert.deepEqual(await client.schedules(), []);
  });
});
