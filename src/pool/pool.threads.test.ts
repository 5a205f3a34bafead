/**
 * The pool with threads as its workers, from the outside. What goes on between the threads is tested in threads/.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { turn } from '../../test/support/bodies.ts';
import { isError } from '../errors.ts';
import { Pool, type PoolOptions, type SubmitOptions } from './pool.ts';
import type act from './threads/fixtures/act.ts';

type Act = typeof act;

const worker = new URL('./threads/fixtures/act.ts', import.meta.url);

/** A pool that the test closes, however it ends. */
function threads(t: TestContext, options: Partial<PoolOptions<Act>> = {}): Pool<Act> {
  const pool = new Pool<Act>({ worker, workers: 2, ...options });
  t.after(() => pool.close({ deadline: 0 }));
  return pool;
}

/** Submission options under which the test hears when the body has begun. */
function hearing(options: SubmitOptions = {}): { options: SubmitOptions; begun: Promise<unknown> } {
  const { promise: begun, resolve } = Promise.withResolvers<unknown>();
  return { begun, options: { ...options, onMessage: resolve } };
}

describe('Pool with threads', () => {
  it('runs what is submitted in other threads, typed by the module', async (t) => {
    const pool = threads(t);
    assert.equal(await pool.submit({ act: 'add', a: 1, b: 2 }).done, 3);
    const [a, b] = await Promise.all([pool.submit(1).done, pool.submit(2).done]);
    assert.deepEqual([a, b], [1, 2]);
    const { running, waiting, fulfilled } = pool.stats();
    assert.deepEqual({ running, waiting, fulfilled }, { running: 0, waiting: 0, fulfilled: 3 });
    // @ts-expect-error the module takes no such payload
    await pool.submit({ act: 'unheard of' }).done;
  });

  it('fans a source out to threads and the results in, in order', async (t) => {
    const pool = threads(t);
    const values: unknown[] = [];
    for await (const result of pool.run(Array(500).keys(), { ordered: true })) {
      assert.equal(result.status, 'fulfilled');
      if (result.status === 'fulfilled') values.push(result.value);
    }
    assert.deepEqual(values, [...Array(500).keys()]);
  });

  it('tells how long a job waited, also in the window of a thread, and how long its body took', async (t) => {
    const pool = threads(t, { workers: 1, threads: { window: 8 } });
    await pool.warm();
    // Each body tells when it began by its value; the first holds the others back until the test lets it go.
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const { promise: begun, resolve } = Promise.withResolvers<unknown>();
    const each = () => ({ onMessage: resolve });
    const results = pool.run([{ act: 'gate', gate } as const, 1, 2], { ordered: true, each });
    const first = results.next();
    await begun;
    const since = performance.now();
    while (performance.now() < since + 5) await turn();
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const { value: held } = await first;
    const { value: behind } = await results.next();
    assert.ok(held && held.took >= 5, `the body took ${held?.took} ms`);
    assert.ok(behind && behind.waited >= 5, `the next one waited ${behind?.waited} ms`);
    await results.return();
  });

  it('starts by priority what no thread has yet', async (t) => {
    const pool = threads(t, { workers: 1, threads: { window: 0 } });
    const { options, begun } = hearing();
    const over = new AbortController();
    const first = pool.submit({ act: 'wait' }, { ...options, signal: over.signal });
    await begun;
    const order: string[] = [];
    const later = pool.submit(1, { priority: 9 }).done.then(() => order.push('low'));
    const sooner = pool.submit(2, { priority: 0 }).done.then(() => order.push('high'));
    over.abort(new Error('go on'));
    await assert.rejects(first.done, { message: 'go on' });
    await Promise.all([later, sooner]);
    assert.deepEqual(order, ['high', 'low']);
  });

  it('cancels what waits, in the queue or in the window of a thread, without a body', async (t) => {
    const pool = threads(t, { workers: 1, threads: { window: 4 } });
    const { options, begun } = hearing();
    const stopFirst = new AbortController();
    const first = pool.submit({ act: 'wait' }, { ...options, signal: stopFirst.signal });
    await begun;
    const over = new AbortController();
    let messages = 0;
    const waiting = Array.from({ length: 20 }, () =>
      pool.submit({ act: 'say', values: [1] }, { signal: over.signal, onMessage: () => messages++ }),
    );
    await turn();
    over.abort(new Error('enough'));
    for (const { done } of waiting) await assert.rejects(done, { message: 'enough' });
    stopFirst.abort(new Error('and you'));
    await assert.rejects(first.done, { message: 'and you' });
    await pool.drain();
    assert.equal(messages, 0);
    assert.deepEqual([pool.stats().running, pool.stats().waiting], [0, 0]);
  });

  it('counts a timeout from the start of the body, and ends a thread whose body is deaf', async (t) => {
    const pool = threads(t, { workers: 1, threads: { abortGrace: 5 } });
    await pool.warm();
    const { options, begun } = hearing({ timeout: 30 });
    const deaf = pool.submit({ act: 'spin' }, options);
    const behind = pool.submit(7, { timeout: 30 });
    await begun;
    await assert.rejects(deaf.done, (error) => isError(error, 'TASK_TIMEOUT') && error.fields.phase === 'running');
    // It waited longer than its timeout for a thread; that time is not its own.
    assert.equal(await behind.done, 7);
    await deaf.ended;
    const { timedOut, threads: crew } = pool.stats();
    assert.deepEqual([timedOut, crew?.terminated], [1, 1]);
  });

  it('gives up what waits too long for a thread', async (t) => {
    const pool = threads(t, { workers: 1, threads: { window: 0 } });
    const { options, begun } = hearing();
    const first = pool.submit({ act: 'spin', polls: true }, options);
    await begun;
    const late = pool.submit(1, { queueTimeout: 5 });
    await assert.rejects(late.done, (error) => isError(error, 'TASK_TIMEOUT') && error.fields.phase === 'queued');
    await pool.close({ deadline: 0 });
    await assert.rejects(first.done, (error) => isError(error, 'STOPPED'));
  });

  it('fails the task whose thread died, and no other', async (t) => {
    const pool = threads(t);
    const ends = Array.from({ length: 50 }, (_, n) => pool.submit(n === 7 ? { act: 'exit', code: 3 } : n).done);
    const results = await Promise.allSettled(ends);
    for (const [n, result] of results.entries()) {
      if (n !== 7) assert.deepEqual(result, { status: 'fulfilled', value: n });
      else
        assert.ok(
          result.status === 'rejected' && isError(result.reason, 'THREAD_DIED') && result.reason.fields.exitCode === 3,
        );
    }
    assert.equal(await pool.submit(51).done, 51, 'the pool is back to its size');
  });

  it('refuses a function as a payload, with what to do instead, and a result that cannot be cloned', async (t) => {
    const pool = threads(t) as unknown as Pool<(payload: unknown) => unknown>;
    const outside = 1;
    await assert.rejects(pool.submit(() => outside).done, (error) => {
      return isError(error, 'TASK_NOT_CLONEABLE') && error.fields.what === 'payload' && /module/.test(error.message);
    });
    await assert.rejects(pool.submit({ act: 'function' }).done, (error) => {
      return isError(error, 'TASK_NOT_CLONEABLE') && error.fields.what === 'result';
    });
  });

  it('moves buffers there and back, and passes on what the body sends meanwhile', async (t) => {
    const pool = threads(t);
    const bytes = new ArrayBuffer(8);
    const back = pool.submit({ act: 'echo', value: bytes }, { transfer: [bytes] });
    assert.equal(((await back.done) as ArrayBuffer).byteLength, 8);
    assert.equal(bytes.byteLength, 0, 'moved, not copied');
    const heard: unknown[] = [];
    assert.equal(
      await pool.submit({ act: 'say', values: [1, 2] }, { onMessage: (value) => heard.push(value) }).done,
      'said',
    );
    assert.deepEqual(heard, [1, 2]);
  });

  it('survives a callback for messages that throws', async (t) => {
    const pool = threads(t);
    const warned = once(process, 'warning');
    const onMessage = () => {
      throw new Error('of the callback');
    };
    assert.equal(await pool.submit({ act: 'say', values: [1] }, { onMessage }).done, 'said');
    assert.match(String((await warned)[0]), /of the callback/);
  });

  it('closes: finishes what it has, or ends bodies and threads at the deadline', async () => {
    const patient = new Pool<Act>({ worker, workers: 2 });
    const ends = Array.from({ length: 20 }, (_, n) => patient.submit(n).done);
    assert.deepEqual(await patient.close(), { finished: 20, aborted: 0, abandoned: 0 });
    await Promise.all(ends);

    const hasty = new Pool<Act>({ worker, workers: 1 });
    const { options, begun } = hearing();
    const deaf = hasty.submit({ act: 'spin' }, options);
    const waits = hasty.submit(1);
    await begun;
    assert.deepEqual(await hasty.close({ deadline: 0 }), { finished: 0, aborted: 2, abandoned: 0 });
    for (const { done } of [deaf, waits]) await assert.rejects(done, (error) => isError(error, 'STOPPED'));
    assert.equal(hasty.stats().threads?.threads, 0);
    await assert.rejects(hasty.submit(1).done, (error) => isError(error, 'STOPPED'));
  });

  it('ends with the reason when threads do not start, for what waits and for what comes', async (t) => {
    const missing = new URL('./threads/fixtures/no-such-module.ts', import.meta.url);
    const pool = threads(t, { worker: missing });
    const failed = (error: unknown) => isError(error, 'THREAD_START_FAILED') && error.fields.module.includes('no-such');
    const waits = Array.from({ length: 10 }, () => pool.submit(1).done);
    for (const done of waits) await assert.rejects(done, failed);
    await assert.rejects(pool.warm(), failed);
    await assert.rejects(pool.submit(1).done, failed);
  });

  it('resizes, pauses and resumes', async (t) => {
    const pool = threads(t, { workers: 1 });
    pool.pause();
    const ends = [1, 2, 3].map((n) => pool.submit(n).done);
    await turn();
    assert.equal(pool.stats().waiting, 3);
    pool.resize(2);
    pool.resume();
    assert.deepEqual(await Promise.all(ends), [1, 2, 3]);
    assert.equal(pool.stats().workers, 2);
  });

  it('refuses options that mean nothing for threads, or only for threads', (t) => {
    const invalid = (option: string) => (error: unknown) =>
      isError(error, 'OPTION_INVALID') && error.fields.option === option;
    const limit = { limit: 1, sample() {}, restart() {} };
    assert.throws(() => new Pool<Act>({ worker, workers: limit }), invalid('workers'));
    assert.throws(() => new Pool<Act>({ worker, workers: 1, onTimeout: 'release' }), invalid('onTimeout'));
    assert.throws(
      () => new Pool<Act>({ worker, workers: 1, queue: { whenFull: 'caller-runs' } }),
      invalid('queue.whenFull'),
    );
    assert.throws(() => new Pool({ workers: 1, threads: {} }), invalid('threads'));
    assert.throws(() => new Pool({ workers: 1, worker: './act.ts' as never }), invalid('worker'));
    assert.throws(() => threads(t).submit(1, { weight: 2 }), invalid('weight'));
    const pool = new Pool({ workers: 1 });
    assert.throws(() => pool.submit(() => 1, { transfer: [] }), invalid('transfer'));
    assert.throws(() => pool.submit(() => 1, { onMessage: () => undefined }), invalid('onMessage'));
  });
});
