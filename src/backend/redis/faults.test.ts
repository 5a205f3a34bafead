/** Answers are cut off, and the server is out of reach for longer than a call waits, while jobs go in and are worked on. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it, type TestContext } from 'node:test';
import { Client } from '../../client/client.ts';
import { isError } from '../../errors.ts';
import { defineJob } from '../../job/job.ts';
import { JobServer } from '../../server/server.ts';
import { FaultProxy } from '../../testing/fault-proxy.ts';
import { type RedisServer, startRedis, until } from '../../testing/redis.ts';
import type { Outcome } from '../backend.ts';
import { add, job, server } from '../conformance/support.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';
import { decode, encode } from './msgpack.ts';

const JOBS = 5_000;
const PER_CALL = 20;
/** For calls that are to be given up, ms; others have to be answered within it. */
const SHORT = 1_500;

describe('when answers do not come', () => {
  let redis: RedisServer;
  let proxy: FaultProxy;
  before(async () => {
    redis = await startRedis();
    proxy = await FaultProxy.start(redis.port);
  });
  after(async () => {
    await proxy.stop();
    await redis.stop();
  });
  beforeEach(async () => {
    proxy.mend();
    await redis.command('FLUSHALL');
  });

  const open = async (t: TestContext, port: number, timeout = 10_000) => {
    const backend = new RedisBackend(makeLink(`redis://127.0.0.1:${port}?timeout=${timeout}`));
    t.after(() => backend.close());
    await backend.open();
    return backend;
  };
  const claim = async (backend: RedisBackend, limit: number) =>
    (await backend.claim({ server: 'a', queues: ['q'], limit })).jobs;
  const done = (jobs: readonly { readonly id: string; readonly claim: number }[]): Outcome[] =>
    jobs.map((each) => ({ id: each.id, claim: each.claim, ending: { kind: 'completed' } }));

  it('a claim that was given up but made is given by the next ones, and nothing is held by nobody', async (t) => {
    const watcher = await open(t, redis.port);
    const backend = await open(t, proxy.port, SHORT);
    const ids = await add(
      backend,
      Array.from({ length: 10 }, () => job()),
    );
    await backend.beat(server());
    await claim(backend, 0); // the script is there
    proxy.refuseAfter(1);
    const sent = proxy.passed(`${backend.shard.script('claim').library?.name}_claim`);
    const lost = assert.rejects(claim(backend, 10), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    await sent;
    await until('the claim is made', async () => (await watcher.counts())[0]?.running === 10);
    await lost;
    proxy.mend();

    const some = await claim(backend, 4);
    const rest = await claim(backend, 100);
    assert.deepEqual([...some, ...rest].map(({ id }) => id).sort(), [...ids].sort());
    assert.deepEqual(await claim(backend, 100), []);
    const results = await backend.settle('a', done([...some, ...rest]));
    assert.ok(results.every((result) => result === 'taken'));
    assert.equal((await backend.counts())[0]?.running, 0);
  });

  it('a claim that arrives after it was given up gives nothing', async (t) => {
    const link = makeLink(redis.url);
    const backend = new RedisBackend(link);
    t.after(() => backend.close());
    await backend.open();
    await add(backend, [job('1'), job('2')]);
    await backend.beat(server());
    const { prefix } = backend.shard;
    const ask = async (turn: number, lost: readonly number[] = []) => {
      const request = { server: 'a', queues: ['q'], limit: 1, claimer: 'me', turn, lost };
      return decode(await link.run(backend.shard.script('claim'), prefix, encode(request))) as { numbers: number[] };
    };
    const [first] = (await ask(5, [4])).numbers;
    assert.deepEqual((await ask(4)).numbers, []);
    assert.deepEqual((await ask(5)).numbers, [first], 'sent again');
    assert.notDeepEqual((await ask(6)).numbers, [first]);
  });

  it('a server that could not beat while Redis was away is not dead for the first that comes back', async (t) => {
    const lease = 2_000;
    const first = await open(t, redis.port, SHORT);
    const other = await open(t, redis.port);
    await add(other, [job()]);
    await first.beat(server('first'));
    await other.beat(server());
    const [held] = await claim(other, 1);
    assert.ok(held);
    const beaten = performance.now();
    await redis.kill('SIGSTOP');
    while (performance.now() - beaten < lease + 300) {
      await assert.rejects(first.counts(), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    }
    await redis.kill('SIGCONT');
    await first.counts();
    assert.equal(await first.rescue(lease), 0);
    await other.beat(server());
    assert.deepEqual(await other.settle('a', done([held])), ['taken']);
  });

  it('each job is stored once and runs once, however often answers are cut off', async (t) => {
    const { random } = dice(t);
    const runs = new Map<number, number>();
    const work = defineJob({
      name: 'work',
      run(n: number) {
        runs.set(n, (runs.get(n) ?? 0) + 1);
        if (random() < 0.02) proxy.cutAfter(Math.floor(random() * 500));
      },
    });
    const client = new Client({ backend: await open(t, proxy.port) });
    const jobs = new JobServer({ backend: await open(t, proxy.port), jobs: [work], workers: 20 });
    await jobs.start();
    const before = proxy.connections;
    const ids = new Set<string>();
    for (let n = 0; n < JOBS; n += PER_CALL) {
      if (random() < 0.1) proxy.cutAfter(Math.floor(random() * 500));
      const numbers = Array.from({ length: PER_CALL }, (_, i) => n + i);
      for (const { id, isNew } of await client.enqueueMany(work, numbers)) {
        assert.ok(isNew);
        ids.add(id);
      }
    }
    await isSettled(await open(t, redis.port), JOBS);
    await jobs.stop();
    await client.close();
    assert.equal(ids.size, JOBS);
    assert.deepEqual([runs.size, [...runs.values()].filter((count) => count !== 1)], [JOBS, []]);
    const cuts = proxy.connections - before;
    t.diagnostic(`${cuts} connections were cut`);
    assert.ok(cuts > 20);
  });

  it('each job runs once and ends, also when calls are given up', async (t) => {
    const { random } = dice(t);
    const runs = new Map<number, number>();
    let isAway = false;
    const goAway = () => {
      if (isAway) return;
      isAway = true;
      proxy.refuse();
    };
    const work = defineJob({
      name: 'work',
      run(n: number) {
        runs.set(n, (runs.get(n) ?? 0) + 1);
        if (random() < 0.005) goAway();
      },
    });
    let givenUp = 0;
    const jobs = new JobServer({
      backend: await open(t, proxy.port, SHORT / 2),
      jobs: [work],
      workers: 20,
      observe(event) {
        if (event.type !== 'backend-error') return;
        givenUp++;
        isAway = false;
        proxy.mend();
      },
    });
    const direct = await open(t, redis.port);
    const client = new Client({ backend: direct });
    await jobs.start();
    for (let n = 0; n < JOBS / 5; n += PER_CALL) {
      await client.enqueueMany(
        work,
        Array.from({ length: PER_CALL }, (_, i) => n + i),
      );
    }
    await isSettled(direct, JOBS / 5);
    proxy.mend();
    await jobs.stop();
    await client.close();
    assert.deepEqual([runs.size, [...runs.values()].filter((count) => count !== 1)], [JOBS / 5, []]);
    t.diagnostic(`${givenUp} calls were given up`);
    assert.ok(givenUp > 0);
  });
});

async function isSettled(backend: RedisBackend, jobs: number): Promise<void> {
  await until('all have ended', async () => (await backend.counts())[0]?.completed === jobs).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await backend.counts())}`);
  });
  const [counts] = await backend.counts();
  assert.deepEqual([counts?.running, counts?.available, counts?.retryable, counts?.discarded], [0, 0, 0, 0]);
}

/** Named by its seed, so that they can be thrown again. */
function dice(t: TestContext): { random: () => number } {
  const seed = Number(process.env.MILLRACE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`MILLRACE_SEED=${seed}`);
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return { random };
}
