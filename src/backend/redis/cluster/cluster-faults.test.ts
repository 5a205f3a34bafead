/** Processes that die in the middle of what spans shards, slots that move, nodes that die. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { Client } from '../../../client/client.ts';
import { VirtualClock } from '../../../clock.ts';
import { defineJob } from '../../../job/job.ts';
import { JobServer } from '../../../server/server.ts';
import { type RedisCluster, startCluster, until } from '../../../testing/redis.ts';
import type { AddGroup, Backend } from '../../backend.ts';
import { add, job, list, server, text } from '../../conformance/support.ts';
import { openBackend } from '../../open.ts';
import { RedisBackend } from '../backend.ts';
import { type Link, makeLink } from '../link/link.ts';
import { ServerClock } from '../server-clock.ts';
import { ClusterBackend, type ClusterOptions } from './cluster.ts';
import { Shards } from './shards.ts';

/** Each of them is in another one of 16 shards. */
const queues = ['q', 'r', 's'];

async function open(t: TestContext, link: Link | string, options: ClusterOptions): Promise<ClusterBackend> {
  const backend = new ClusterBackend(typeof link === 'string' ? makeLink(link) : link, options);
  t.after(() => backend.close());
  await backend.open();
  return backend;
}

/** The tag of the shard that has `queue`. */
function tagOf(namespace: string, queue: string): string {
  const link = makeLink('redis+cluster://127.0.0.1:1');
  const shards = new Shards(link, namespace, 16, undefined, new ServerClock());
  void link.close();
  return shards.at(shards.of(queue)).prefix.slice(1, -2);
}

function withRun(link: Link, run: Link['run']): Link {
  const get = (target: Link, property: keyof Link) => {
    if (property === 'run') return run;
    const value = target[property];
    return typeof value === 'function' ? value.bind(target) : value;
  };
  return new Proxy(link, { get: get as never });
}

/** The link of a process that dies when it has sent script `name` so often: what it sent is done, and nobody hears of it. */
function mortal(url: string, name: string, times: number): { link: Link; died: Promise<void> } {
  const link = makeLink(url);
  const died = Promise.withResolvers<void>();
  const never = new Promise<never>(() => undefined);
  const sent: Promise<unknown>[] = [];
  const mortal = withRun(link, async (script, key, request) => {
    if (sent.length === times) return never;
    const answer = link.run(script, key, request);
    if (script.name === name && sent.push(answer) === times) died.resolve(Promise.all(sent).then(() => undefined));
    return sent.length === times ? never : answer;
  });
  return { link: mortal, died: died.promise };
}

describe('in a cluster', () => {
  let cluster: RedisCluster;
  before(async () => {
    cluster = await startCluster(3);
  });
  after(() => cluster.stop());

  const group: AddGroup = {
    jobs: [...queues, 'q'].map((queue, i) => job(String(i + 1), { queue })),
    once: { key: 'k', fingerprint: 'f', ttl: 60_000 },
  };
  const all = ['1', '2', '3', '4'];

  /** A process dies in the middle of a call; the jobs that others see then, and another process. */
  async function die(t: TestContext, name: string, times: number, call: (backend: Backend) => Promise<unknown>) {
    const clock = new VirtualClock();
    const namespace = randomUUID();
    const other = await open(t, cluster.url, { namespace, clock });
    const { link, died } = mortal(cluster.url, name, times);
    const dying = await open(t, link, { namespace, clock });
    await dying.beat(server('dying')); // scripts are sent once more when they are not known
    void call(dying);
    await died;
    return { other, clock, seen: (await list(other)).map(text) };
  }

  for (const [name, times, seen] of [
    ['intend', 1, []],
    ['add', 1, ['1', '4']],
    ['add', 3, all],
    ['fulfil', 1, all],
  ] as const) {
    it(`a group for several queues is stored whole when its process dies at \`${name}\` ${times}`, async (t) => {
      const { other, clock, ...left } = await die(t, name, times, (backend) => backend.add([group]));
      assert.deepEqual(left.seen, seen);
      await clock.advance(4_999);
      await other.rescue(60_000);
      assert.deepEqual((await list(other)).map(text), seen, 'not while its process may be at it');
      await clock.advance(1);
      for (let times = 0; times < 2; times++) {
        assert.equal(await other.rescue(60_000), 0);
        assert.deepEqual((await list(other)).map(text), all);
      }
      const ids = (await list(other)).map(({ id }) => id);
      assert.deepEqual(await other.add([group]), [{ status: 'repeated', ids }]);
    });

    it(`its repeat finishes it when its process dies at \`${name}\` ${times}`, async (t) => {
      const { other } = await die(t, name, times, (backend) => backend.add([group]));
      const [result] = await other.add([group]);
      const jobs = await list(other);
      assert.deepEqual(jobs.map(text), all);
      assert.deepEqual(result, { status: 'repeated', ids: jobs.map(({ id }) => id) });
      const wrong = { ...group, once: { key: 'k', fingerprint: 'g', ttl: 1 } };
      assert.deepEqual(await other.add([wrong]), [{ status: 'mismatch' }]);
    });
  }

  it('a tick makes its jobs in other shards, too, when its process dies', async (t) => {
    const firing = { key: 's', tick: 1000, jobs: group.jobs, nextAt: 2000 };
    const { other, clock, seen } = await die(t, 'fire', 1, async (backend) => {
      await backend.putSchedule({ key: 's', rule: 'hourly', job: job(), nextAt: 1000 });
      await backend.fire([firing]);
    });
    assert.deepEqual(seen, []);
    assert.deepEqual(await other.fire([firing]), [{ status: 'stale' }]);
    await clock.advance(5_000);
    for (let times = 0; times < 2; times++) await other.rescue(60_000);
    assert.deepEqual((await list(other)).map(text), all);
    assert.deepEqual(
      (await other.schedules()).map(({ fired, nextAt }) => [fired, nextAt]),
      [[1, 2000]],
    );
  });

  it('a server whose lease ran out in one shard is told by its next claim there, and starts anew with its beat', async (t) => {
    const clock = new VirtualClock();
    const namespace = randomUUID();
    const backend = await open(t, cluster.url, { namespace, clock });
    const shard = new RedisBackend(makeLink(cluster.url), { namespace: tagOf(namespace, 'q'), clock });
    t.after(() => shard.close());
    await shard.open();
    await add(
      backend,
      queues.map((queue) => job(queue, { queue })),
    );
    const info = { ...server('a'), queues };
    await backend.beat(info);
    const claim = (queue: string) => backend.claim({ server: 'a', queues: [queue], limit: 1 });
    assert.equal((await claim('q')).jobs.length, 1);
    await clock.advance(1000);
    assert.equal(await shard.rescue(1000), 1);
    await assert.rejects(claim('q'), { code: 'MILLRACE_SERVER_UNKNOWN' });
    assert.equal((await claim('r')).jobs.length, 1);
    const both = await backend.claim({ server: 'a', queues: ['s', 'q'], limit: 2 });
    assert.deepEqual(both.jobs.map(text), ['s'], 'what was claimed before is not lost');
    await backend.beat(info);
    assert.equal((await claim('q')).jobs.length, 1);
    const [record] = await backend.servers();
    assert.deepEqual([record?.id, record?.running, record?.beatAt], ['a', 3, clock.now()]);
  });

  it('the heart beats wherever its server has claimed from', async (t) => {
    const namespace = randomUUID();
    const backend = await open(t, cluster.url, { namespace });
    const shards = await Promise.all(
      ['q', 'r'].map(async (queue) => {
        const shard = new RedisBackend(makeLink(cluster.url), { namespace: tagOf(namespace, queue) });
        t.after(() => shard.close());
        await shard.open();
        return async () => (await shard.servers())[0]?.beatAt ?? 0;
      }),
    );
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    const made = once(process, 'worker') as Promise<[Worker]>;
    await backend.startHeart?.(server('a'), { every: 10, stallTimeout: 60_000, pulse });
    const [thread] = await made;
    await once(thread, 'message'); // until its first beat they come from here
    const again = once(thread, 'message');
    await backend.claim({ server: 'a', queues: ['r'], limit: 1 });
    await again;
    for (const beatAt of shards) {
      const first = await beatAt();
      await until('it beats', async () => (await beatAt()) > first);
    }
    await backend.leave('a');
    assert.deepEqual(await backend.servers(), []);
  });

  it('a schedule whose job goes to another queue stands where it stood, and is in one place only', async (t) => {
    const namespace = randomUUID();
    const [one, two] = [await open(t, cluster.url, { namespace }), await open(t, cluster.url, { namespace })];
    const put = (backend: Backend, queue: string) =>
      backend.putSchedule({ key: 's', rule: 'hourly', job: job('', { queue }), nextAt: 1000 });
    await put(one, 'q');
    await one.fire([{ key: 's', tick: 1000, jobs: [job()], nextAt: 5000 }]);
    assert.equal((await one.dueSchedules(1)).due.length, 1);
    await put(two, 'r');
    const [moved, ...none] = await one.schedules();
    assert.deepEqual([moved?.job.queue, moved?.nextAt, moved?.fired, none], ['r', 5000, 1, []]);
    // The first has seen it elsewhere.
    const [result] = await one.fire([{ key: 's', tick: 5000, jobs: [job()], nextAt: 9000 }]);
    assert.equal(result?.status, 'fired');
    await Promise.all(Array.from({ length: 12 }, (_, i) => put(i % 2 === 0 ? one : two, queues[i % 3] as string)));
    assert.equal((await two.schedules()).length, 1);
  });

  it('events of all shards have one row of numbers, in order of time, whoever reads first', async (t) => {
    const namespace = randomUUID();
    const [one, two] = [await open(t, cluster.url, { namespace }), await open(t, cluster.url, { namespace })];
    for (const queue of queues) await one.configure(queue, { events: 2_000 });
    const { last } = await one.events();
    const expected: string[] = [];
    for (let round = 0; round < 5; round++) {
      for (const queue of queues) {
        await add(round % 2 === 0 ? one : two, [job('', { queue })]);
        expected.push(queue);
      }
    }
    const [left, right] = await Promise.all([one.events(last), two.events(last)]);
    assert.deepEqual(left, right);
    assert.deepEqual(
      left.events.map(({ queue }) => queue),
      expected,
    );
    assert.deepEqual(
      left.events.map(({ number }) => number - last),
      expected.map((_, i) => i + 1),
    );
    // More than one round of numbering.
    for (const queue of queues)
      await add(
        one,
        Array.from({ length: 1_500 }, () => job('', { queue })),
      );
    const numbers: number[] = [];
    for (let after = left.last; ; ) {
      const page = await two.events(after, 700);
      if (page.events.length === 0) break;
      assert.equal(page.missed, false);
      numbers.push(...page.events.map(({ number }) => number - left.last));
      after = page.last;
    }
    assert.deepEqual(
      numbers,
      Array.from({ length: 4_500 }, (_, i) => i + 1),
    );
    assert.equal((await one.events(undefined, 2_500)).events.length, 2_500);
  });

  it('jobs of many queues are found in order of arrival, page by page', async (t) => {
    const backend = await open(t, cluster.url, { namespace: randomUUID() });
    const names = Array.from({ length: 300 }, (_, i) => `mail-${(i * 7) % 40}`);
    for (const [i, queue] of names.entries()) await add(backend, [job(String(i), { queue })]);
    const found: string[] = [];
    let after: string | undefined;
    do {
      const { jobs, next } = await backend.list({}, { limit: 17, ...(after !== undefined && { after }) });
      found.push(...jobs.map(text));
      after = next;
    } while (after !== undefined);
    assert.deepEqual(
      found,
      names.map((_, i) => String(i)),
    );
  });

  it('what a process adds later comes later, whatever the clocks of the nodes say', async (t) => {
    const namespace = randomUUID();
    const backend = await open(t, cluster.url, { namespace });
    const tag = `{${tagOf(namespace, 'q')}}`;
    // As if this node were an hour ahead.
    await (await cluster.ownerOf(tag)).command('SET', `${tag}:stamp`, String((Date.now() + 3_600_000) * 1_000));
    for (const [i, queue] of ['q', 'r', 'q', 's', 'r'].entries()) await add(backend, [job(String(i), { queue })]);
    assert.deepEqual((await list(backend)).map(text), ['0', '1', '2', '3', '4']);
  });

  it('the number of shards stays what it was at first', async (t) => {
    const namespace = randomUUID();
    const first = await open(t, cluster.url, { namespace, shards: 3 });
    const [id] = await add(first, [job()]);
    const same = await open(t, cluster.url, { namespace });
    assert.equal((await same.get(id as string))?.id, id);
    // Nothing is left to close.
    const url = `${cluster.url}?namespace=${namespace}&shards=`;
    await assert.rejects(openBackend(`${url}4`), { code: 'MILLRACE_OPTION_INVALID' });
    await (await openBackend(`${url}3`)).close();
    await assert.rejects(openBackend('redis://127.0.0.1:1?shards=3'), { code: 'MILLRACE_OPTION_UNKNOWN' });
    for (const shards of [0, 1.5, 257]) {
      const link = makeLink(cluster.url);
      t.after(() => link.close());
      assert.throws(() => new ClusterBackend(link, { shards }), { code: 'MILLRACE_OPTION_INVALID' });
    }
  });

  it('slots move while jobs go in and are worked on, and each job runs once', async (t) => {
    const namespace = randomUUID();
    const runs = await worked(t, cluster.url, namespace, async () => {
      for (const queue of queues) {
        const tag = `{${tagOf(namespace, queue)}}`;
        const owner = await cluster.ownerOf(tag);
        const to = cluster.masters.find((server) => server !== owner);
        assert.ok(to);
        await cluster.move(tag, to);
      }
    });
    assert.ok([...runs.values()].every((count) => count === 1));
  });
});

describe('in a cluster that loses a node', () => {
  it('jobs go on when a replica has taken over, and none is lost', async (t) => {
    await using cluster = await startCluster(3, 1);
    const namespace = randomUUID();
    await worked(t, `${cluster.url}?waitForReplicas=1`, namespace, async () => {
      const master = await cluster.ownerOf(`{${tagOf(namespace, 'q')}}`);
      await master.kill();
      await until('a replica has taken over', async () => {
        const roles = await Promise.all(cluster.replicas.map((replica) => replica.command('INFO', 'replication')));
        return roles.some((role) => String(role).includes('role:master'));
      });
      await master.restart(); // now the replica of that one
    });
  });

  it('the queues of the others go on when nobody takes over', async (t) => {
    await using cluster = await startCluster(3, 0, { config: { 'cluster-require-full-coverage': 'no' } });
    const namespace = randomUUID();
    const link = makeLink(`${cluster.url}?timeout=2000`);
    const claims: string[] = [];
    const watched = withRun(link, (script, key, request) => {
      if (script.name === 'claim') claims.push(key);
      return link.run(script, key, request);
    });
    const backend = await open(t, watched, { namespace });
    const away = await cluster.ownerOf(`{${tagOf(namespace, 'q')}}`);
    const isAway: Record<string, boolean> = {};
    for (const queue of queues) isAway[queue] = (await cluster.ownerOf(`{${tagOf(namespace, queue)}}`)) === away;
    const left = queues.find((queue) => !isAway[queue]) as string;
    await add(backend, [job('1', { queue: left }), job('2', { queue: left })]);
    await backend.beat({ ...server('a'), queues: ['q', left] });
    await away.kill();
    const claim = () => backend.claim({ server: 'a', queues: ['q', left], limit: 1 });
    const first = await claim();
    assert.deepEqual(first.jobs.map(text), ['1']);
    const second = await claim();
    assert.deepEqual(second.jobs.map(text), ['2']);
    await assert.rejects(claim(), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    const [gone, here] = ['q', left].map((queue) => `{${tagOf(namespace, queue)}}:`);
    assert.deepEqual(claims, [gone, here, here, here], 'the one that is away is not waited for again');
    assert.deepEqual(
      await backend.settle(
        'a',
        [...first.jobs, ...second.jobs].map(({ id, claim }) => ({ id, claim, ending: { kind: 'completed' } })),
      ),
      ['taken', 'taken'],
    );
    await away.restart();
    await until('its queue is served again', async () => {
      await backend.beat({ ...server('a'), queues: ['q', left] }).catch(() => undefined);
      return claim().then(
        () => true,
        () => false,
      );
    });
  });
});

const JOBS = 900;

/** Jobs are enqueued and worked on while `trouble` happens; resolves, when all have ended, to how often each ran. */
async function worked(t: TestContext, url: string, namespace: string, trouble: () => Promise<void>) {
  const runs = new Map<number, number>();
  const half = Promise.withResolvers<void>();
  const define = (queue: string) =>
    defineJob({
      name: `work ${queue}`,
      queue,
      run(n: number) {
        runs.set(n, (runs.get(n) ?? 0) + 1);
        if (runs.size === JOBS / 3) half.resolve();
      },
    });
  const jobs = queues.map(define);
  const backend = await open(t, url, { namespace });
  const client = new Client({ backend: await open(t, url, { namespace }) });
  const jobServer = new JobServer({ backend, jobs, workers: 10 });
  await jobServer.start();
  const troubled = half.promise.then(trouble);
  for (let n = 0; n < JOBS; n += 30) {
    const numbers = Array.from({ length: 30 }, (_, i) => n + i);
    await Promise.all(
      jobs.map((each, i) =>
        client.enqueueMany(
          each,
          numbers.filter((number) => number % 3 === i),
        ),
      ),
    );
  }
  await troubled;
  await until('all have ended', async () => {
    const counts = await backend.counts();
    return counts.reduce((sum, { completed }) => sum + completed, 0) === JOBS;
  });
  await jobServer.stop();
  await client.close();
  assert.equal(runs.size, JOBS);
  for (const { running, available, retryable, discarded } of await backend.counts()) {
    assert.deepEqual([running, available, retryable, discarded], [0, 0, 0, 0]);
  }
  return runs;
}
