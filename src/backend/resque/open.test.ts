/** Addresses of the Resque wire, what they lead to, and a server that beats there by itself. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import { type RedisServer, startCluster, startRedis, until } from '../../testing/redis.ts';
import type { NewJob, ServerInfo } from '../backend.ts';
import { openBackend } from '../open.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

const job: NewJob = { queue: 'q', name: 'A', payload: Buffer.from('[]'), priority: 4, maxAttempts: 1 };
const member: ServerInfo = { id: 'web1-7-ab', host: 'web1', pid: 7, queues: ['q'], concurrency: 2 };

describe('an address of the Resque wire', () => {
  for (const [query, key] of [
    ['', 'resque:queue:q'],
    ['?namespace=shop', 'shop:queue:q'],
    ['?namespace=shop:', 'shop:queue:q'],
    ['?namespace=a:b', 'a:b:queue:q'],
    ['?namespace=', 'queue:q'],
  ] as const) {
    it(`may say what keys begin with: "${query}"`, async () => {
      const backend = await openBackend(`resque:${server.url}${query}`);
      await backend.add([{ jobs: [job] }]);
      assert.equal(await server.command('LPOP', key), '{"class":"A","args":[]}');
      await backend.close();
    });
  }

  it('may say how often a job is tried, and is without secrets in messages', async () => {
    const backend = await openBackend(`resque:${server.url.replace('//', '//default:@')}?attempts=4`);
    assert.equal(backend.name, `resque:${server.url}`);
    await backend.add([{ jobs: [job] }]);
    await backend.beat(member);
    const { jobs } = await backend.claim({ server: member.id, queues: ['q'], limit: 1 });
    assert.equal(jobs[0]?.maxAttempts, 4);
    await backend.leave(member.id);
    await backend.close();
  });

  it('is refused with what is not known or cannot be', async () => {
    for (const [query, code] of [
      ['attempts=0', 'OPTION_INVALID'],
      ['attempts=two', 'OPTION_INVALID'],
      ['delivery=never', 'OPTION_INVALID'],
      ['manner=ruby', 'OPTION_INVALID'],
      ['attempt=2', 'OPTION_UNKNOWN'],
    ] as const) {
      await assert.rejects(openBackend(`resque:${server.url}?${query}`), (error) => isError(error, code), query);
    }
  });

  it('of a cluster is refused unless its namespace keeps all keys together, and then works', async () => {
    const cluster = await startCluster(2);
    try {
      await assert.rejects(openBackend(`resque:${cluster.url}`), (error) => {
        return isError(error, 'OPTION_INVALID') && error.fields.option === 'namespace';
      });
      const backend = await openBackend(`resque:${cluster.url}?namespace={resque}`);
      await backend.add([{ jobs: [job, job] }]);
      await backend.beat(member);
      const { jobs } = await backend.claim({ server: member.id, queues: ['q'], limit: 1 });
      const [one] = jobs;
      assert.ok(one);
      const outcome = { id: one.id, claim: one.claim, ending: { kind: 'completed' } } as const;
      assert.deepEqual(await backend.settle(member.id, [outcome]), ['taken']);
      assert.deepEqual(
        (await backend.list({})).jobs.map(({ state }) => state),
        ['available'],
      );
      await backend.leave(member.id);
      await backend.close();
    } finally {
      await cluster.stop();
    }
  });
});

describe('the beats of a server', () => {
  it('come from a thread of its own, also for peers, until it leaves', async () => {
    const backend = await openBackend(`resque:${server.url}?namespace=heart`);
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    await backend.startHeart?.(member, { every: 5, stallTimeout: 60_000, pulse });
    const beatAt = async () => (await backend.servers())[0]?.beatAt ?? 0;
    const first = await beatAt();
    await until('it beats', async () => (await beatAt()) > first + 50);
    const [{ beatAt: _, ...shown } = {}] = await backend.servers();
    assert.deepEqual(shown, { ...member, running: 0 });
    assert.equal(await server.command('HLEN', 'heart:workers:heartbeat'), 2);
    await backend.leave(member.id);
    assert.deepEqual(await backend.servers(), []);
    assert.equal(await server.command('EXISTS', 'heart:workers', 'heart:workers:heartbeat'), 0);
    await backend.close();
  });

  it("come from the caller with a clock of the caller's", async () => {
    const backend = await openBackend(`resque:${server.url}`, { clock: new VirtualClock() });
    assert.equal(backend.startHeart, undefined);
    await backend.close();
  });
});
