import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend, Order } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { fixed } from '../job/backoff.ts';
import { snooze } from '../job/control.ts';
import { defineJob } from '../job/job.ts';
import { altered, setup, turn, until } from './fixtures/support.ts';

/** Rejects as soon as its signal aborts. */
const heeds = (_: null, { signal }: { signal: AbortSignal }) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));

/** A body that runs until the test says so, whatever its signal does. */
function deaf() {
  const open = Promise.withResolvers<unknown>();
  return { run: (_: null) => open.promise, open: open.resolve };
}

describe('a job that somebody cancels', () => {
  it('is told at once by its signal, and ends as cancelled with the reason whatever it throws', async () => {
    const job = defineJob({ name: 'a', run: heeds });
    const { backend, server, client, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id, 'the customer left');
    const [cancelled] = await seen('cancelled');
    assert.ok(isError(cancelled?.error, 'JOB_CANCELLED'));
    await counted('cancelled', 1);
    const record = await backend.get(id);
    assert.deepEqual(
      record?.errors.map(({ code, message }) => [code, /the customer left/.test(message)]),
      [['MILLRACE_JOB_CANCELLED', true]],
    );
    await end();
  });

  it('is cancelled too when it snoozes instead of failing', async () => {
    const job = defineJob({ name: 'a', run: (_: null, context) => heeds(_, context).catch(() => snooze(5)) });
    const { server, client, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id);
    await counted('cancelled', 1);
    await end();
  });

  it('is completed when it completes in spite of it', async () => {
    const job = defineJob({ name: 'a', run: (_: null, context) => heeds(_, context).catch(() => 'done') });
    const { server, client, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id);
    await counted('completed', 1);
    await end();
  });

  it('does not run when it was claimed and had not started', async () => {
    const { run, open } = deaf();
    const ran: unknown[] = [];
    const blocker = defineJob({ name: 'blocker', run });
    const job = defineJob({ name: 'a', run: (n: number) => void ran.push(n) });
    const { server, client, counts, seen, counted, cancel, end } = await setup([blocker, job], {
      workers: 1,
      prefetch: 4,
    });
    await client.enqueue(blocker, null);
    const [one, two] = await client.enqueueMany(job, [1, 2]);
    await server.start();
    await seen('started');
    await until(async () => (await counts()).running === 3);
    await cancel(one?.id ?? '');
    await counted('cancelled', 1);
    assert.ok(two);
    open(1);
    await seen('completed', 2);
    assert.deepEqual(ran, [2]);
    await end();
  });

  it('is left out of a batch that is full and waits for a worker', async () => {
    const { run, open } = deaf();
    const payloads: unknown[] = [];
    const blocker = defineJob({ name: 'blocker', run });
    const batch = {
      size: 2,
      wait: 60_000,
      run: async (items: readonly { payload: unknown }[]) => void payloads.push(...items.map(({ payload }) => payload)),
    };
    const job = defineJob({ name: 'a', batch });
    const options = { workers: 1, prefetch: 4 };
    const { server, client, counts, seen, counted, cancel, end } = await setup([blocker, job], options);
    await server.start();
    await client.enqueue(blocker, null);
    await seen('started');
    const [first] = await client.enqueueMany(job, [1, 2]);
    await until(async () => (await counts()).running === 3);
    await cancel(first?.id ?? '');
    await turn();
    open(0);
    await counted('cancelled', 1);
    await seen('completed', 2);
    assert.deepEqual(payloads, [2]);
    await end();
  });

  it('is taken out of a batch that gathers', async () => {
    const sizes: number[] = [];
    const batch = { size: 10, wait: 1_000, run: async (items: readonly unknown[]) => void sizes.push(items.length) };
    const job = defineJob({ name: 'a', batch });
    const { clock, server, client, of, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const [first] = await client.enqueueMany(job, [1, 2, 3]);
    await until(() => of('claimed').some(({ count }) => count === 3));
    await cancel(first?.id ?? '');
    await counted('cancelled', 1);
    await clock.advance(1_000);
    await seen('completed', 2);
    assert.deepEqual(sizes, [2]);
    await end();
  });

  it('ends alone when it is one of a batch', async () => {
    const open = Promise.withResolvers<void>();
    const aborted: unknown[] = [];
    const job = defineJob({
      name: 'a',
      batch: {
        size: 3,
        async run(items, signal) {
          for (const { job, payload } of items) job.signal.addEventListener('abort', () => aborted.push(payload));
          await open.promise;
          assert.equal(signal.aborted, false);
          return items.map(({ job }) => (job.signal.aborted ? { error: new Error('left out') } : undefined));
        },
      },
    });
    const { server, client, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const handles = await client.enqueueMany(job, [1, 2, 3]);
    await seen('started', 3);
    await cancel(handles[1]?.id ?? '');
    await until(() => aborted.length > 0);
    open.resolve();
    await counted('cancelled', 1);
    await counted('completed', 2);
    assert.deepEqual(aborted, [2]);
    await end();
  });

  it('is settled after its grace when its batch goes on, which keeps its worker', async () => {
    const { run, open } = deaf();
    const job = defineJob({ name: 'a', grace: 2_000, batch: { size: 2, run: async () => void (await run(null)) } });
    const { clock, server, client, seen, of, counted, cancel, end } = await setup([job]);
    await server.start();
    const handles = await client.enqueueMany(job, [1, 2]);
    await seen('started', 2);
    await cancel(handles[0]?.id ?? '');
    await turn();
    await clock.advance(2_000);
    await counted('cancelled', 1);
    assert.deepEqual([server.running, server.abandoned, of('abandoned').length], [1, 0, 0]);
    open(undefined);
    await counted('completed', 1);
    await end();
  });

  it('is cancelled and not handed back when the server stops meanwhile', async () => {
    const { run, open } = deaf();
    const job = defineJob({ name: 'a', grace: 60_000, run });
    const { clock, backend, server, client, seen, cancel, end } = await setup([job], { stopDeadline: 1_000 });
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id);
    await turn();
    const stopped = server.stop();
    await turn();
    await clock.advance(1_000);
    await clock.advance(1_000);
    await stopped;
    await seen('cancelled');
    assert.equal((await backend.get(id))?.state, 'cancelled');
    open(1);
    await end();
  });

  it('is left alone by an order that comes after its end', async () => {
    const { run, open } = deaf();
    const job = defineJob({ name: 'a', timeout: 1_000, grace: 60_000, backoff: fixed(60_000), run });
    const { clock, backend, server, client, seen, of, end } = await setup([job]);
    const orders: Order[] = [];
    backend.orders = async () => orders;
    await server.start();
    await client.enqueue(job, null);
    const [started] = await seen('started');
    await clock.advance(61_000);
    await seen('abandoned');
    orders.push({ kind: 'cancel', id: started?.job.id ?? '', claim: started?.job.claim ?? 0, reason: 'too late' });
    await clock.advance(5_000);
    assert.equal(of('cancelled').length, 0);
    await end();
    open(1);
    await until(() => server.abandoned === 0);
  });

  it('hears of it at the next beat when the word was lost', async () => {
    const job = defineJob({ name: 'a', run: heeds });
    const { clock, backend, server, client, seen, counted, cancel, end } = await setup([job]);
    const { listen } = backend;
    backend.listen = (topic, listener) => ('orders' in topic ? () => undefined : listen.call(backend, topic, listener));
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id);
    await turn();
    assert.equal(server.running, 1);
    await clock.advance(5_000);
    await counted('cancelled', 1);
    await end();
  });
});

describe('a body that does not heed its signal', () => {
  it('is left behind after its grace: its attempt has failed, its worker is free, its late outcome is dropped', async () => {
    const { run, open } = deaf();
    const stuck = defineJob({ name: 'stuck', timeout: 1_000, grace: 500, backoff: fixed(60_000), run });
    const next = defineJob({ name: 'next', run: () => 'ran' });
    const house = await setup([stuck, next], { workers: 1, prefetch: 0 });
    const { clock, backend, server, client, seen, of, counted, end } = house;
    await server.start();
    const { id } = await client.enqueue(stuck, null);
    await seen('started');
    await client.enqueue(next, null);
    await clock.advance(1_499);
    assert.deepEqual([server.running, of('failed').length, of('completed').length], [1, 0, 0]);
    await clock.advance(1);
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'JOB_TIMEOUT'));
    const [left] = await seen('abandoned');
    assert.deepEqual([left?.job.id, left?.held, server.abandoned, server.running], [id, false, 1, 0]);
    const [done] = await seen('completed');
    assert.equal(done?.value, 'ran');
    await counted('retryable', 1);
    open('late');
    await until(() => server.abandoned === 0);
    assert.equal(of('completed').length, 1);
    assert.equal((await backend.get(id))?.state, 'retryable');
    await end();
  });

  it('is settled as cancelled after its grace when somebody cancelled it', async () => {
    const { run, open } = deaf();
    const job = defineJob({ name: 'a', timeout: 60_000, grace: 500, run });
    const { clock, server, client, seen, counted, cancel, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, null);
    await seen('started');
    await cancel(id);
    await turn();
    await clock.advance(500);
    await counted('cancelled', 1);
    await seen('abandoned');
    await end();
    open(1);
    await until(() => server.abandoned === 0);
  });

  it('keeps its worker when maxAbandoned others are left behind, until one of them or itself has ended', async () => {
    const bodies = [deaf(), deaf(), deaf()];
    const stuck = defineJob({
      name: 'stuck',
      timeout: 1_000,
      grace: 0,
      maxAttempts: 1,
      run: (n: number) => bodies[n]?.run(null),
    });
    const next = defineJob({ name: 'next', run: (n: number) => n });
    const options = { workers: 3, prefetch: 0, maxAbandoned: 1 };
    const { clock, server, client, seen, of, counted, end } = await setup([stuck, next], options);
    await server.start();
    await client.enqueueMany(stuck, [0, 1, 2]);
    await seen('started', 3);
    await clock.advance(1_000);
    const left = await seen('abandoned', 3);
    assert.deepEqual(
      left.map(({ held }) => held),
      [false, true, true],
    );
    await counted('discarded', 3);
    assert.equal(server.abandoned, 1);
    bodies[0]?.open(0); // the second is let go in its place
    bodies[2]?.open(2); // the third gives its worker back itself
    await turn();
    assert.equal(server.abandoned, 1);
    await client.enqueueMany(next, [1, 2, 3]);
    await seen('completed', 3);
    bodies[1]?.open(1);
    await until(() => server.abandoned === 0);
    assert.equal(of('completed').length, 3);
    await end();
  });

  it('takes all jobs of its batch with it at a timeout', async () => {
    const { run, open } = deaf();
    const signals: AbortSignal[] = [];
    const job = defineJob({
      name: 'a',
      timeout: 1_000,
      grace: 100,
      batch: {
        size: 2,
        async run(items, signal) {
          signals.push(signal, ...items.map(({ job }) => job.signal));
          await run(null);
        },
      },
    });
    const { clock, server, client, seen, counted, end } = await setup([job]);
    await server.start();
    await client.enqueueMany(job, [1, 2]);
    await seen('started', 2);
    await clock.advance(1_000);
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, true, true],
    );
    await clock.advance(100);
    await counted('retryable', 2);
    assert.equal((await seen('abandoned', 2)).length, 2);
    assert.equal(server.abandoned, 1, 'one body');
    open(undefined);
    await until(() => server.abandoned === 0);
    await end();
  });

  it('does not keep the server from stopping', async () => {
    const { run, open } = deaf();
    const job = defineJob({ name: 'a', timeout: 1_000, grace: 0, run });
    const { clock, server, client, seen, end } = await setup([job], { maxAbandoned: 0 });
    await server.start();
    await client.enqueue(job, null);
    await seen('started');
    await clock.advance(1_000);
    const [held] = await seen('abandoned');
    assert.deepEqual([held?.held, server.abandoned], [true, 0]);
    await end();
    assert.equal(server.abandoned, 1);
    open(1);
    await until(() => server.abandoned === 0);
  });
});

describe('a server that stops', () => {
  it('starts nothing that it had claimed ahead, however long a claim is under way', async () => {
    const body = deaf();
    const job = defineJob({ name: 'a', run: body.run });
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ clock });
    const late = Promise.withResolvers<void>();
    let claims = 0;
    const claim: Backend['claim'] = async (request) => {
      if (++claims === 2) await late.promise;
      return memory.claim(request);
    };
    const backend = altered(memory, { claim });
    const { server, client, of, counts, end } = await setup([job], { clock, backend, workers: 1, prefetch: 2 });
    await client.enqueueMany(job, [null, null]);
    await server.start();
    await until(() => claims === 1 && of('started').length === 1);
    await clock.advance(1_000);
    assert.equal(claims, 2);
    const stopped = server.stop();
    await turn();
    body.open(undefined);
    await until(() => of('completed').length >= 1);
    await turn();
    late.resolve();
    await stopped;
    assert.equal(of('started').length, 1);
    assert.deepEqual(await counts().then(({ available, completed }) => [available, completed]), [1, 1]);
    await end();
  });
});
