import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { VirtualClock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import { server } from '../conformance/support.ts';
import { RedisBackend } from './backend.ts';
import { Heart } from './heart.ts';
import { parseAddress } from './link/address.ts';
import { makeLink } from './link/link.ts';

const every = 5;
/** ms that a thread may get no turn on a machine with much else to do. */
const PATIENCE = 10_000;

describe('the heart', () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  const open = async (t: TestContext) => {
    await redis.command('FLUSHALL');
    const backend = new RedisBackend(makeLink(redis.url));
    t.after(() => backend.close());
    await backend.open();
    return backend;
  };

  /** The thread that is made for the first server, and what moves when it beats. */
  const beating = async (t: TestContext, stallTimeout = 60_000) => {
    const backend = await open(t);
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    const made = once(process, 'worker') as Promise<[Worker]>;
    await backend.startHeart?.(server(), { every, stallTimeout, pulse });
    const [thread] = await made;
    await once(thread, 'message'); // until its first beat they come from here
    const beatAt = async () => (await backend.servers()).find(({ id }) => id === 'a')?.beatAt ?? 0;
    return { backend, pulse, thread, beatAt };
  };

  /** Resolves after so many ms of the server's time with beats in them. */
  const goesOn = async (beatAt: () => Promise<number>) => {
    const start = await beatAt();
    await until(async () => (await beatAt()) >= start + 10 * every);
  };

  it('beats while the main thread is blocked', async (t) => {
    const { backend, beatAt } = await beating(t);
    const { now: before } = await backend.dueSchedules(1);
    const end = performance.now() + 100 * every;
    while (performance.now() < end);
    // Nothing else of this thread has run when this leaves, so the last beat that it sees was made during the loop.
    const seen = await beatAt();
    assert.ok(seen >= before + 50 * every, `the last beat is from ${seen - before} ms after the loop began`);
  });

  it('stops when the pulse stands still, and goes on when it moves again', async (t) => {
    const { backend, beatAt, pulse } = await beating(t, 4 * every);
    const age = async () => (await backend.dueSchedules(1)).now - (await beatAt());
    await until(async () => (await age()) > 20 * every);
    const last = await beatAt();
    Atomics.add(pulse, 0, 1);
    await until(async () => (await beatAt()) > last);
  });

  it('ends when its server leaves: no beat comes after that, and the thread is gone', async (t) => {
    const { backend, thread, beatAt } = await beating(t);
    await goesOn(beatAt);
    const gone = once(thread, 'exit');
    await backend.leave('a');
    await gone;
    assert.deepEqual(await backend.servers(), []);
    // The connection of the thread is closed; the two that are left are ours.
    await until(
      async () =>
        String(await redis.command('CLIENT', 'LIST'))
          .trim()
          .split('\n').length === 2,
    );
    assert.deepEqual(await backend.servers(), []);
  });

  it('goes on for the other servers of its process when one leaves', async (t) => {
    const { backend } = await beating(t);
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    await backend.startHeart?.(server('b'), { every, stallTimeout: 60_000, pulse });
    await backend.leave('a');
    await goesOn(async () => (await backend.servers()).find(({ id }) => id === 'b')?.beatAt ?? 0);
    assert.deepEqual(
      (await backend.servers()).map(({ id }) => id),
      ['b'],
    );
  });

  it('beats from the main thread while its own gets through to nobody', async (t) => {
    const beats = Promise.withResolvers<void>();
    let count = 0;
    const heart = new Heart(async () => {
      if (++count === 3) beats.resolve();
    });
    t.after(() => heart.close());
    const address = parseAddress('redis://127.0.0.1:1');
    const options = { every, stallTimeout: 60_000, pulse: new Int32Array(new SharedArrayBuffer(4)) };
    const script = { name: 'beat', text: '', sha: '' };
    heart.start({ server: server(), keys: ['{a}:'], options }, () => ({ address, script }));
    // Three intervals that do not keep a process alive.
    const alive = setInterval(() => undefined, 1_000);
    await beats.promise;
    clearInterval(alive);
  });

  it('goes on from the main thread when its own dies, and says so', async (t) => {
    const { backend, thread, beatAt } = await beating(t);
    const warned = once(process, 'warning');
    await thread.terminate();
    const [warning] = (await warned) as [Error & { code: string }];
    assert.equal(warning.code, 'MILLRACE_REDIS_HEART');
    await goesOn(beatAt);
    await backend.leave('a');
    assert.deepEqual(await backend.servers(), []);
  });

  it('survives a restart of the server', async (t) => {
    const { beatAt } = await beating(t);
    await goesOn(beatAt);
    await redis.restart();
    await goesOn(beatAt);
  });

  it('does not race when its beats are further apart than a timer can count', async (t) => {
    const { backend, beatAt } = await beating(t);
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    await backend.startHeart?.(server('lazy'), { every: Number.POSITIVE_INFINITY, stallTimeout: 60_000, pulse });
    const beats = async () => (await backend.servers()).find(({ id }) => id === 'lazy')?.beatAt;
    const first = await beats();
    await goesOn(beatAt);
    assert.equal(await beats(), first);
  });

  it('refuses a pulse that no other thread can see', async (t) => {
    const backend = await open(t);
    const options = { every, stallTimeout: 1_000, pulse: new Int32Array(1) };
    await assert.rejects(backend.startHeart?.(server(), options) ?? Promise.resolve(), (error) =>
      isError(error, 'OPTION_INVALID'),
    );
  });

  it('is not offered where a clock of the caller decides', async () => {
    assert.equal(new RedisBackend(makeLink(redis.url), { clock: new VirtualClock() }).startHeart, undefined);
  });
});

/** Looks until it holds. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await holds())) assert.ok(performance.now() < end, 'not in time');
}
