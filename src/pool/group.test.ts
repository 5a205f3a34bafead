import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { isError } from '../errors.ts';
import { Pool } from './pool.ts';

const never = () => assert.fail('must not start');
const failure = new Error('the first');
const fail = () => Promise.reject(failure);

describe('Group', () => {
  it('gives the values in the order of submission', async () => {
    const pool = new Pool({ workers: 2 });
    const group = pool.group<number>();
    const first = gate<number>();
    group.submit(first.body);
    for (const n of [2, 3]) group.submit(async () => n);
    await turn();
    first.resolve(1);
    assert.deepEqual(await group.all(), [1, 2, 3]);
    assert.equal(group.size, 3);
    await group.ended;
  });

  it('cancels the rest when one fails, with its error as the reason', async () => {
    const pool = new Pool({ workers: 2 });
    const group = pool.group();
    const [bad, good] = [gate(), gate()];
    const ends = [group.submit(bad.body), group.submit(good.body), group.submit(never)];
    const other = pool.submit(() => 'not of the group');
    await turn();
    bad.reject(failure);
    await assert.rejects(group.all(), failure);
    await Promise.all(ends.map(({ done }) => assert.rejects(done, failure)));
    assert.deepEqual(
      (await group.outcomes()).map(({ status }) => status),
      ['rejected', 'cancelled', 'cancelled'],
    );
    await group.ended;
    assert.equal(await other.done, 'not of the group');
  });

  it('starts no further body after a failure, also where bodies end at once', async () => {
    const pool = new Pool({ workers: 1 });
    const group = pool.group();
    let started = 0;
    const submissions = Array.from({ length: 10 }, (_, n) =>
      group.submit(() => {
        started++;
        if (n === 2) throw failure;
      }),
    );
    await Promise.allSettled(submissions.map(({ done }) => done));
    assert.equal(started, 3);
    assert.equal(pool.stats().cancelled, 7);
  });

  it('gives one reason to all: the error of the first that failed', async () => {
    const pool = new Pool({ workers: 3 });
    const group = pool.group();
    const gates = [gate(), gate(), gate()];
    for (const { body } of gates) group.submit(body);
    await turn();
    gates[1]?.reject(failure);
    gates[0]?.reject(new Error('the second'));
    const outcomes = await group.outcomes();
    assert.ok(outcomes.every((outcome) => outcome.status !== 'fulfilled' && outcome.error === failure));
  });

  it('runs all of them with failFast: false', async () => {
    const pool = new Pool({ workers: 1 });
    const group = pool.group<number>({ failFast: false });
    group.submit(fail);
    group.submit(() => 2);
    group.submit(async () => 3);
    assert.deepEqual(await group.outcomes(), [
      { status: 'rejected', error: failure },
      { status: 'fulfilled', value: 2 },
      { status: 'fulfilled', value: 3 },
    ]);
    await assert.rejects(group.all(), failure);
  });

  it('refuses what is submitted after the failure, with the same reason', async () => {
    const pool = new Pool({ workers: 1 });
    const group = pool.group();
    await assert.rejects(group.submit(fail).done, failure);
    const late = group.submit(never);
    await assert.rejects(late.accepted, failure);
    await assert.rejects(late.done, failure);
    await late.ended;
    assert.deepEqual([group.size, pool.stats().refused], [2, 1]);
    assert.equal(await pool.submit(() => 'the pool goes on').done, 'the pool goes on');
  });

  it('is cancelled by its signal, by `cancel`, and member by member by their own signals', async () => {
    const pool = new Pool({ workers: 1 });
    const over = new AbortController();
    const bySignal = pool.group({ signal: over.signal });
    const byHand = pool.group();
    const running = bySignal.submit(untilAborted);
    const waiting = byHand.submit(never);
    await turn();
    byHand.cancel(new Error('by hand'));
    byHand.cancel(new Error('too late'));
    await assert.rejects(waiting.done, { message: 'by hand' });
    over.abort(new Error('by signal'));
    await assert.rejects(running.done, { message: 'by signal' });

    const own = new AbortController();
    const all = pool.group({ failFast: false });
    const member = all.submit(untilAborted, { signal: own.signal });
    const next = all.submit(() => 'not cancelled');
    await turn();
    own.abort(new Error('its own'));
    await assert.rejects(member.done, { message: 'its own' });
    assert.equal(await next.done, 'not cancelled');
    for (const { signal } of [over, own]) assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('tells when every body has really ended, also those that do not listen', async () => {
    const pool = new Pool({ workers: 3 });
    const group = pool.group();
    const [deaf, bad] = [gate({ deaf: true }), gate()];
    group.submit(deaf.body);
    group.submit(bad.body);
    let ended = false;
    const end = group.ended.then(() => {
      ended = true;
    });
    await turn();
    bad.reject(failure);
    await assert.rejects(group.all(), failure);
    await turn();
    assert.equal(ended, false, 'one of them still runs');
    deaf.resolve();
    await end;
    assert.deepEqual((await group.outcomes())[0], { status: 'fulfilled', value: undefined }, 'it did its work');
  });

  it('takes every option of submit, and counts a refusal as a failure', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 1, whenFull: 'reject' } });
    const group = pool.group();
    const running = group.submit(untilAborted);
    await turn();
    const waiting = group.submit(never, { priority: 0, key: 'k' });
    const refused = group.submit(never);
    for (const { done } of [refused, running, waiting]) {
      await assert.rejects(done, (error) => isError(error, 'POOL_FULL'));
    }
    assert.throws(
      () => group.submit(never, { priority: 10 }),
      (error) => isError(error, 'OPTION_INVALID'),
    );
    assert.throws(
      () => pool.group({ failFast: 1 as never }),
      (error) => isError(error, 'OPTION_INVALID'),
    );
  });

  it('runs bodies in the AsyncLocalStorage context of their submission, and payloads with the worker', async () => {
    const storage = new AsyncLocalStorage<string>();
    const pool = new Pool({ workers: 1, worker: async (n: number) => `${storage.getStore()} ${n}` });
    const group = pool.group();
    for (const n of [1, 2]) storage.run(`context ${n}`, () => group.submit(n));
    const values: string[] = await group.all();
    assert.deepEqual(values, ['context 1 1', 'context 2 2']);
  });

  it('leaves no rejection unhandled when nobody looks', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listen);
    const pool = new Pool({ workers: 1 });
    for (const failFast of [true, false]) {
      const group = pool.group({ failFast });
      group.submit(fail);
      group.submit(fail);
      await group.ended;
    }
    await turn();
    process.off('unhandledRejection', listen);
    assert.deepEqual(unhandled, []);
  });

  it('of nothing is done at once', async () => {
    const group = new Pool({ workers: 1 }).group();
    assert.deepEqual([await group.all(), await group.outcomes(), await group.ended], [[], [], undefined]);
  });
});
