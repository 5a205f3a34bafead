import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import { gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { type PoolEvents, poolEvents } from './events.ts';
import type { Limit } from './limits/limit.ts';
import { Pool } from './pool.ts';

type Names = keyof PoolEvents;
const names = Object.keys(poolEvents) as Names[];

/** Notes every message while `during` runs. */
async function record(during: () => Promise<unknown>) {
  const messages: { name: Names; message: unknown }[] = [];
  const listeners = names.map((name) => {
    const listener = (message: unknown) => void messages.push({ name, message });
    subscribe(`millrace.pool.${name}`, listener);
    return () => unsubscribe(`millrace.pool.${name}`, listener);
  });
  try {
    await during();
  } finally {
    for (const stop of listeners) stop();
  }
  return {
    messages,
    of: <Name extends Names>(name: Name) =>
      messages.filter((entry) => entry.name === name).map(({ message }) => message as PoolEvents[Name]),
  };
}

describe('Events of a pool', () => {
  it('tell each moment of a task once, in order, with who it is', async () => {
    const { messages } = await record(async () => {
      const pool = new Pool({ workers: 1, name: 'mine' });
      await pool.submit(() => 'first').done;
      await pool.submit(async () => 'second', { priority: 2, key: 'k' }).done;
    });
    const about = [
      { pool: 'mine', id: 0, priority: 4, key: undefined },
      { pool: 'mine', id: 1, priority: 2, key: 'k' },
    ];
    assert.deepEqual(
      messages,
      about.flatMap((task) => [
        { name: 'submitted', message: task },
        { name: 'started', message: task },
        { name: 'settled', message: { ...task, status: 'fulfilled', error: undefined } },
      ]),
    );
  });

  it('come when the task stands somewhere: a subscriber that aborts it loses nothing', async () => {
    for (const whenFull of ['wait', 'caller-runs'] as const) {
      const pool = new Pool({ workers: 1, queue: { size: 1, whenFull } });
      const holder = gate();
      const first = pool.submit(holder.body);
      const second = pool.submit(() => 2);
      // The first is about to run, the second has the only place: one that waits for a place, or runs in its call.
      for (const full of [true, false]) {
        if (!full) holder.resolve();
        if (!full) await second.done;
        const over = new AbortController();
        const abort = () => over.abort(new Error('seen and stopped'));
        subscribe('millrace.pool.submitted', abort);
        const { done } = pool.submit(() => assert.fail('must not start'), { signal: over.signal });
        unsubscribe('millrace.pool.submitted', abort);
        await assert.rejects(done, { message: 'seen and stopped' });
      }
      await first.done;
      await pool.drain();
      const { waiting, blocked, running, cancelled } = pool.stats();
      assert.deepEqual({ waiting, blocked, running, cancelled }, { waiting: 0, blocked: 0, running: 0, cancelled: 2 });
    }
  });

  it('tell how each task ended, once, whatever ended it', async () => {
    const failure = new Error('failed');
    const reason = new Error('enough');
    const clock = new VirtualClock();
    const { of } = await record(async () => {
      const pool = new Pool({ workers: 1, queue: { size: 1, whenFull: 'drop-oldest' }, clock });
      await pool.submit(() => Promise.reject(failure)).done.catch(() => undefined);
      const over = new AbortController();
      pool.submit(untilAborted, { signal: over.signal });
      await turn();
      pool.submit(untilAborted); // dropped
      pool.submit(untilAborted, { queueTimeout: 5 });
      await clock.advance(5);
      over.abort(reason);
      await turn();
      const late = pool.submit(untilAborted, { timeout: 7 });
      await turn();
      await clock.advance(7);
      await late.ended;
    });
    const settled = of('settled').map(({ id, status, error }) => [id, status, error]);
    assert.deepEqual(
      settled.map(([id, status]) => [id, status]),
      [
        [0, 'rejected'],
        [2, 'cancelled'],
        [3, 'rejected'],
        [1, 'cancelled'],
        [4, 'rejected'],
      ],
    );
    assert.equal(settled[0]?.[2], failure);
    assert.ok(isError(settled[1]?.[2], 'TASK_DROPPED'));
    assert.ok(isError(settled[2]?.[2], 'TASK_TIMEOUT'));
    assert.equal(settled[3]?.[2], reason);
    assert.ok(isError(settled[4]?.[2], 'TASK_TIMEOUT'));
    assert.deepEqual(
      of('started').map(({ id }) => id),
      [0, 1, 4],
      'what never started tells no start',
    );
  });

  it('tell of calls that are turned away, and of those nothing else', async () => {
    const { messages, of } = await record(async () => {
      const pool = new Pool({ workers: 1, queue: { size: 0, whenFull: 'reject' }, name: 'full' });
      const running = gate();
      const first = pool.submit(running.body);
      pool.submit(() => 0);
      running.resolve();
      await first.done;
      await pool.close();
      pool.submit(() => 0);
    });
    const [full, closed] = of('refused');
    assert.ok(full?.pool === 'full' && isError(full.error, 'POOL_FULL'));
    assert.ok(isError(closed?.error, 'STOPPED'));
    assert.equal(messages.length, 3 + 2);
  });

  it('tell of a body that is older than stuckAfter, once, also when its worker was given back', async () => {
    const clock = new VirtualClock();
    const { of } = await record(async () => {
      const pool = new Pool({ workers: 3, clock, stuckAfter: 100, onTimeout: 'release' });
      const [quick, slow, given] = [gate(), gate(), gate({ deaf: true })];
      pool.submit(quick.body);
      pool.submit(slow.body, { key: 'slow' });
      pool.submit(given.body, { timeout: 50 });
      await turn();
      await clock.advance(60);
      quick.resolve();
      await turn();
      await clock.advance(500);
      slow.resolve();
      given.resolve();
      await pool.close();
      assert.equal(clock.pending, 0);
    });
    assert.deepEqual(
      of('stuck')
        .map(({ id, key, age }) => ({ id, key, age }))
        .toSorted((a, b) => a.id - b.id),
      [
        { id: 1, key: 'slow', age: 100 },
        { id: 2, key: undefined, age: 100 },
      ],
    );
  });

  it('tell that the adaptive limit moved, from what to what, and why', async () => {
    const limit: Limit = {
      limit: 3,
      sample() {
        (this as { limit: number }).limit = 2;
      },
      restart() {},
    };
    const { of } = await record(async () => {
      const pool = new Pool({ workers: limit, classify: () => 'overload', name: 'adaptive' });
      await pool.submit(() => 1).done;
      await pool.submit(() => 2).done;
    });
    assert.deepEqual(of('limit'), [{ pool: 'adaptive', from: 3, to: 2, cause: 'overload' }]);
  });

  it('are told for the jobs of a run and the members of a group as well', async () => {
    const { of } = await record(async () => {
      const pool = new Pool({ workers: 1 });
      for await (const { status } of pool.run([1, 2], (n) => n)) assert.equal(status, 'fulfilled');
      const group = pool.group();
      group.submit(() => 3);
      await group.all();
    });
    for (const name of ['submitted', 'started', 'settled'] as const) {
      assert.deepEqual(
        of(name).map(({ id }) => id),
        [0, 1, 2],
      );
    }
  });

  it('cost nothing while nobody listens: no message is made', async () => {
    const clock = new VirtualClock();
    const published: string[] = [];
    const originals = names.map((name) => [poolEvents[name], poolEvents[name].publish] as const);
    for (const [channel] of originals) channel.publish = () => void published.push(String(channel.name));
    const pool = new Pool({ workers: 1, queue: { size: 0, whenFull: 'reject' }, clock, stuckAfter: 5 });
    const body = gate();
    const { done } = pool.submit(body.body);
    pool.submit(() => 'refused');
    await turn();
    await clock.advance(5);
    body.resolve();
    await done;
    await pool.close();
    for (const [channel, publish] of originals) channel.publish = publish;
    assert.deepEqual(published, []);
  });
});

describe('Histograms of a pool', () => {
  it('hold what tasks waited and what they ran, in microseconds, of those that started', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, histograms: true });
    const [first, second] = [gate(), gate()];
    const over = new AbortController();
    const ends = [pool.submit(first.body), pool.submit(second.body)];
    pool.submit(() => assert.fail('must not start'), { signal: over.signal });
    over.abort();
    await turn();
    await clock.advance(30);
    first.resolve();
    await turn();
    await clock.advance(4);
    second.resolve();
    await Promise.all(ends.map(({ done }) => done));
    const { wait, run } = pool.histograms ?? assert.fail('there are some');
    assert.deepEqual([wait.count, run.count], [2, 2]);
    const near = (value: number, ms: number) => assert.ok(Math.abs(value / 1_000 - ms) < 0.05 * ms + 0.01, `${value}`);
    near(wait.max, 30);
    near(run.max, 30);
    near(run.min, 4);
  });

  it('are there only when asked for', () => {
    assert.equal(new Pool({ workers: 1 }).histograms, undefined);
  });
});
