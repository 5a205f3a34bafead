import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type RedisServer, startCluster, startRedis } from '../../testing/redis.ts';
import type { ClaimedJob } from '../backend.ts';
import { openBackend } from '../open.ts';

const kinds: Readonly<Record<string, (t: TestContext) => Promise<{ url: string; servers: readonly RedisServer[] }>>> = {
  'one server': async (t) => {
    const server = await startRedis();
    t.after(() => server.stop());
    return { url: server.url, servers: [server] };
  },
  'a cluster': async (t) => {
    const cluster = await startCluster();
    t.after(() => cluster.stop());
    return { url: cluster.url, servers: cluster.masters };
  },
};

/** How servers come to know what they run. */
const ways = {
  libraries: { prepare: async () => undefined, forget: ['FUNCTION', 'FLUSH'] },
  scripts: {
    prepare: async (server: RedisServer) => {
      await server.command('ACL', 'SETUSER', 'default', '-fcall');
    },
    forget: ['SCRIPT', 'FLUSH'],
  },
};

for (const [kind, start] of Object.entries(kinds)) {
  for (const [way, { prepare, forget }] of Object.entries(ways)) {
    describe(`a process that adds and claims, with ${kind} and ${way}`, () => {
      it('finds its jobs by what it is told, also when the add is not stored at once', async (t) => {
        const { url, servers } = await start(t);
        for (const server of servers) await prepare(server);
        const backend = await openBackend(url);
        t.after(() => backend.close());
        await backend.beat({ id: 's', host: 'h', pid: 1, queues: ['q'], concurrency: 1 });
        const claim = () => backend.claim({ server: 's', queues: ['q'], limit: 10 });
        for (let n = 0; n < 3; n++) {
          for (const server of servers) await server.command(...(forget as [string, string]));
          // A claim alone would have its script again when the add has not; a library has both.
          if (way === 'scripts') assert.deepEqual((await claim()).jobs, []);
          const taken = Promise.withResolvers<readonly ClaimedJob[]>();
          const stop = backend.listen({ queues: ['q'] }, () => {
            claim().then(({ jobs }) => jobs.length > 0 && taken.resolve(jobs), taken.reject);
          });
          await backend.add([
            { jobs: [{ queue: 'q', name: 'n', payload: Buffer.from('1'), priority: 4, maxAttempts: 1 }] },
          ]);
          assert.equal((await taken.promise).length, 1);
          stop();
        }
      });
    });
  }
}
