/** Claims on the Resque wire whose answers never came: nobody runs what they gave, so it is given again. */
import assert from 'node:assert/strict';
import { after, before, it, type TestContext } from 'node:test';
import { FaultProxy } from '../../testing/fault-proxy.ts';
import { type RedisServer, startRedis, until } from '../../testing/redis.ts';
import type { NewJob, ServerInfo } from '../backend.ts';
import { makeLink } from '../redis/link/link.ts';
import { ResqueBackend } from './backend.ts';
import type { Manner } from './manner.ts';

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

const job = (n: number): NewJob => {
  return { queue: 'q', name: 'A', payload: Buffer.from(`[${n}]`), priority: 4, maxAttempts: 1 };
};
const member: ServerInfo = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 2 };
const texts = (jobs: readonly { readonly payload: Uint8Array }[]) => jobs.map(({ payload }) => String(payload));

for (const manner of ['resque', 'goworker'] as const) {
  it(`what a claim gave that was given up is given by the next one, in the manner of ${manner}`, async (t) => {
    const backend = await open(t, `redis://127.0.0.1:${proxy.port}?timeout=1500`, manner);
    const watcher = await open(t, redis.url, manner);
    const held = async () => (await watcher.servers())[0]?.running;
    const claim = async (limit: number, queues: readonly string[]) => {
      return (await backend.claim({ server: member.id, queues, limit })).jobs;
    };
    await backend.add([{ jobs: [1, 2, 3, 4].map(job) }]);
    await backend.beat(member);
    await claim(0, ['q']); // the script is there
    proxy.refuseAfter(1);
    const lost = assert.rejects(claim(3, ['q']), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    await until('the claim is made', async () => (await held()) === 3);
    await lost;
    proxy.mend();
    const { count } = await watcher.act({ kind: 'cancel', reason: 'enough' }, { states: ['running'] }, { limit: 1 });
    assert.equal(count, 1);
    const jobs = await claim(5, ['other', 'q']);
    assert.deepEqual(texts(jobs), ['[2]', '[3]', '[4]']);
    assert.equal(await held(), 3);
    assert.equal((await watcher.list({ states: ['cancelled'] })).jobs.length, 1);
    const outcomes = jobs.map(({ id, claim: token }) => ({ id, claim: token, ending: { kind: 'completed' } }) as const);
    assert.deepEqual(await backend.settle(member.id, outcomes), ['taken', 'taken', 'taken']);
    assert.equal(await held(), 0);
    await backend.leave(member.id);
    const keys = (await redis.command('KEYS', `${manner}:worker*`)) as string[];
    assert.deepEqual(keys, []);
  });
}

async function open(t: TestContext, url: string, manner: Manner): Promise<ResqueBackend> {
  const backend = new ResqueBackend(makeLink(url), { manner, namespace: manner });
  t.after(() => backend.close());
  await backend.open();
  return backend;
}
