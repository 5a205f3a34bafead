import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { collect, gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { isError } from '../errors.ts';
import { Pool, type WhenFull } from './pool.ts';

/** A pool whose one worker is busy and whose queue of `size` is full of bodies that give their number. */
async function full(whenFull: WhenFull, size: number, priorities: number[] = Array(size).fill(4)) {
  const pool = new Pool({ workers: 1, queue: { size, whenFull } });
  const busy = gate();
  pool.submit(busy.body);
  await turn();
  const waiting = priorities.map((priority, n) => pool.submit(() => n, { priority }));
  assert.equal(pool.stats().waiting, size);
  return { pool, busy, waiting };
}

const dropped = (which: 'oldest' | 'newest') => (error: unknown) =>
  isError(error, 'TASK_DROPPED') && error.fields.which === which;

const never = () => assert.fail('must not start');

describe("whenFull: 'wait'", () => {
  it('gives places to callers in the order of their calls', async () => {
    const { pool, busy } = await full('wait', 1);
    const order: number[] = [];
    const callers = [0, 1, 2].map((n) => pool.submit(() => order.push(n)));
    assert.equal(pool.stats().blocked, 3);
    busy.resolve();
    await Promise.all(callers.map(({ done }) => done));
    assert.deepEqual(order, [0, 1, 2]);
  });

  it('lets nobody who comes later take the place of a caller that waits', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 1 } });
    const order: string[] = [];
    pool.submit(() => order.push('first'));
    pool.submit(() => {
      // The queue is empty while this one runs, and the place belongs to the caller below.
      pool.submit(() => order.push('late'));
    });
    pool.submit(() => order.push('blocked'));
    await pool.drain();
    assert.deepEqual(order, ['first', 'blocked', 'late']);
  });
});

describe("whenFull: 'reject'", () => {
  it('refuses at once and counts it apart', async () => {
    const { pool, busy, waiting } = await full('reject', 2);
    const { accepted, done, ended } = pool.submit(never);
    for (const promise of [accepted, done]) {
      await assert.rejects(promise, (error) => isError(error, 'POOL_FULL') && error.fields.size === 2);
    }
    await ended;
    busy.resolve();
    assert.deepEqual(await Promise.all(waiting.map((submission) => submission.done)), [0, 1]);
    await pool.drain();
    const { submitted, fulfilled, refused } = pool.stats();
    assert.deepEqual({ submitted, fulfilled, refused }, { submitted: 3, fulfilled: 3, refused: 1 });
  });
});

describe("whenFull: 'drop-oldest'", () => {
  it('gives up the oldest that waits for the new one', async () => {
    const { pool, busy, waiting } = await full('drop-oldest', 2);
    const next = pool.submit(() => 'next');
    await next.accepted;
    await assert.rejects(waiting[0]?.done as Promise<number>, dropped('oldest'));
    busy.resolve();
    assert.deepEqual([await waiting[1]?.done, await next.done], [1, 'next']);
    const { dropped: count, cancelled, refused } = pool.stats();
    assert.deepEqual({ count, cancelled, refused }, { count: 1, cancelled: 1, refused: 0 });
  });

  it('gives up one of the lowest priority, and none of a higher priority than the new one', async () => {
    const { pool, busy, waiting } = await full('drop-oldest', 3, [2, 7, 7]);
    const a = pool.submit(() => 'a', { priority: 9 });
    await assert.rejects(a.done, dropped('newest'));
    const b = pool.submit(() => 'b', { priority: 7 });
    await assert.rejects(waiting[1]?.done as Promise<number>, dropped('oldest'));
    const c = pool.submit(() => 'c', { priority: 0 });
    await assert.rejects(waiting[2]?.done as Promise<number>, dropped('oldest'));
    const d = pool.submit(() => 'd', { priority: 1 });
    await assert.rejects(b.done, dropped('oldest'));
    busy.resolve();
    assert.deepEqual(await Promise.all([waiting[0]?.done, c.done, d.done]), [0, 'c', 'd']);
    const { dropped: count, refused } = pool.stats();
    assert.deepEqual({ count, refused }, { count: 3, refused: 1 });
  });

  it('gives up one that waits for its key like any other', async () => {
    const pool = new Pool({ workers: 3, queue: { size: 1, whenFull: 'drop-oldest' } });
    const gates = [gate(), gate(), gate()];
    for (const { body } of gates) pool.submit(body, { key: 'k' });
    await turn();
    // One runs, two are parked behind it and two workers are idle: the queue has room for another one.
    const urgent = pool.submit(untilAborted, { priority: 0, key: 'other' });
    await turn();
    assert.equal(urgent.accepted !== undefined && pool.stats().running, 2);
    const rest = [1, 2, 3].map((n) => pool.submit(() => n, { priority: 0, key: 'other' }));
    await turn();
    assert.equal(pool.stats().dropped, 3, 'the two parked of priority 4, then the oldest of the new ones');
    await assert.rejects(rest[0]?.done as Promise<number>, dropped('oldest'));
    for (const { resolve } of gates) resolve();
    await pool.close({ deadline: 0 });
  });

  it('refuses the new one when there is no queue', async () => {
    const { pool, busy } = await full('drop-oldest', 0);
    await assert.rejects(pool.submit(never).done, dropped('newest'));
    busy.resolve();
    await pool.drain();
  });

  it('drops one for one, also when a run waits for a place', async () => {
    const { pool, busy, waiting } = await full('drop-oldest', 1);
    const reading = collect(pool.run([10], (n) => n));
    await turn();
    assert.equal(pool.stats().blocked, 1);
    const next = pool.submit(() => 'next');
    await assert.rejects(waiting[0]?.done as Promise<number>, dropped('oldest'));
    assert.deepEqual([pool.stats().dropped, pool.stats().blocked, pool.stats().waiting], [1, 1, 1]);
    busy.resolve();
    assert.equal(await next.done, 'next');
    assert.equal((await reading).all[0]?.status, 'fulfilled');
  });

  it('counts as dropped only what it dropped, whatever reason others give', async () => {
    const { pool, busy, waiting } = await full('drop-oldest', 1);
    pool.submit(never, { signal: AbortSignal.timeout(60_000) }).done.catch(() => undefined);
    const reason = await waiting[0]?.done.catch((error) => error);
    const over = new AbortController();
    busy.resolve();
    await turn();
    const cancelled = pool.submit(untilAborted, { signal: over.signal });
    await turn();
    over.abort(reason);
    await assert.rejects(cancelled.done, dropped('oldest'));
    assert.equal(pool.stats().dropped, 1);
  });
});

describe("whenFull: 'drop-newest'", () => {
  it('turns the new one away', async () => {
    const { pool, busy, waiting } = await full('drop-newest', 1);
    const { accepted, done } = pool.submit(never, { priority: 0 });
    await assert.rejects(accepted, dropped('newest'));
    await assert.rejects(done, dropped('newest'));
    busy.resolve();
    assert.equal(await waiting[0]?.done, 0);
    const { submitted, dropped: count, refused } = pool.stats();
    assert.deepEqual({ submitted, count, refused }, { submitted: 2, count: 0, refused: 1 });
  });
});

describe("whenFull: 'caller-runs'", () => {
  it('runs the body in the call, beyond the workers, in the context of the caller', async () => {
    const storage = new AsyncLocalStorage<string>();
    const { pool, busy } = await full('caller-runs', 1);
    let inside: string | undefined;
    const { done } = storage.run('caller', () =>
      pool.submit(() => {
        inside = storage.getStore();
        return 'ran';
      }),
    );
    assert.equal(inside, 'caller', 'it ran before the call returned');
    assert.equal(await done, 'ran');
    assert.equal(pool.stats().running, 1);
    busy.resolve();
    await pool.drain();
  });

  it('holds back a caller that awaits `accepted` until its body has ended, well or badly', async () => {
    const { pool, busy } = await full('caller-runs', 0);
    for (const how of ['resolve', 'reject'] as const) {
      const body = gate();
      const { accepted, done } = pool.submit(body.body);
      let held = true;
      void accepted.then(() => {
        held = false;
      });
      await turn();
      assert.deepEqual([held, pool.stats().detached, pool.stats().running], [true, 1, 1]);
      body[how]();
      await accepted;
      await done.catch(() => undefined);
    }
    await assert.rejects(
      pool.submit(() => {
        throw new Error('sync');
      }).done,
      { message: 'sync' },
    );
    busy.resolve();
    await pool.drain();
    const { fulfilled, rejected, detached } = pool.stats();
    assert.deepEqual({ fulfilled, rejected, detached }, { fulfilled: 2, rejected: 2, detached: 0 });
  });

  it('aborts such a body with its signal, and at the deadline of a close', async () => {
    const { pool, busy } = await full('caller-runs', 0);
    const over = new AbortController();
    const first = pool.submit(untilAborted, { signal: over.signal });
    const second = pool.submit(untilAborted);
    over.abort(new Error('enough'));
    await assert.rejects(first.done, { message: 'enough' });
    busy.resolve();
    assert.deepEqual(await pool.close({ deadline: 0 }), { finished: 1, aborted: 1, abandoned: 0 });
    await assert.rejects(second.done, (error) => isError(error, 'STOPPED'));
  });

  it('refuses a key, which a body in its caller could not honour', async () => {
    const pool = new Pool({ workers: 1, queue: { whenFull: 'caller-runs' } });
    assert.throws(
      () => pool.submit(never, { key: 'k' }),
      (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'key',
    );
  });

  it('refuses a rate, which a body in its caller could not honour', () => {
    assert.throws(
      () => new Pool({ workers: 1, queue: { whenFull: 'caller-runs' }, rate: { take: () => 0 } }),
      (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'rate',
    );
  });

  it('piles nothing up on the stack when such a body submits the next one, and that the next', async () => {
    const { pool, busy } = await full('caller-runs', 0);
    let deep = 0;
    let deepest = 0;
    let ran = 0;
    const body = () => {
      deepest = Math.max(deepest, ++deep);
      if (++ran < 5_000) pool.submit(body);
      deep--;
    };
    pool.submit(body);
    busy.resolve();
    await pool.drain();
    assert.equal(ran, 5_000);
    assert.ok(deepest <= 2, `${deepest} bodies in each other`);
  });

  it('starts nothing while the pool is paused: the call waits for a place', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 1, whenFull: 'caller-runs' } });
    pool.pause();
    let ran = 0;
    const bodies = [1, 2, 3].map(() => pool.submit(() => ran++));
    await turn();
    assert.deepEqual([ran, pool.stats().waiting, pool.stats().blocked], [0, 1, 2]);
    pool.resume();
    await Promise.all(bodies.map(({ done }) => done));
    assert.equal(ran, 3);
  });
});
