/** The numbers of jobs, on a server that may have lost some. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type RedisServer, replicate, startRedis } from '../../testing/redis.ts';
import { add, claim, job, settle } from '../conformance/support.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';

const ways = {
  'its library': async () => undefined,
  'scripts, as it lets nobody call functions': async (server: RedisServer) => {
    await server.command('ACL', 'SETUSER', 'default', '-fcall');
  },
};

for (const [way, prepare] of Object.entries(ways)) {
  describe(`ids, on a server with ${way}`, () => {
    it('go up across a restart, also when the jobs from before it end after it', async (t) => {
      await using redis = await startRedis();
      await prepare(redis);
      const backend = new RedisBackend(makeLink(redis.url));
      t.after(() => backend.close());
      await backend.open();
      const ids = [...(await add(backend, [job()]))];
      const held = await claim(backend);
      await redis.kill();
      await redis.restart();
      await prepare(redis);
      const before = await numberOf(redis);
      ids.push(...(await add(backend, [job()])));
      assert.ok((await numberOf(redis)) >= before + 2 ** 30 - 1, 'numbers that may have been lost are left out');
      await settle(backend, held, { kind: 'completed' });
      ids.push(...(await add(backend, [job()])));
      assert.deepEqual(ids, ids.toSorted());
    });

    it('go up when a replica takes over', async (t) => {
      await using redis = await startRedis();
      await using replica = await startRedis();
      for (const server of [redis, replica]) await prepare(server);
      const open = async ({ url }: RedisServer) => {
        const backend = new RedisBackend(makeLink(url));
        t.after(() => backend.close());
        await backend.open();
        return backend;
      };
      const ids = [...(await add(await open(redis), [job()]))];
      await replicate(replica, redis);
      await redis.kill();
      await replica.command('REPLICAOF', 'NO', 'ONE');
      const before = await numberOf(replica);
      ids.push(...(await add(await open(replica), [job()])));
      assert.ok((await numberOf(replica)) >= before + 2 ** 30 - 1);
      assert.deepEqual(ids, ids.toSorted());
    });
  });
}

const numberOf = async (server: RedisServer) => Number(await server.command('GET', '{millrace}:number'));
