/** A server that comes back without its last moments. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startRedis } from '../../testing/redis.ts';
import type { AddResult, NewJob } from '../backend.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';

const job = (text: string): NewJob => ({
  queue: 'q',
  name: 'n',
  payload: Buffer.from(text),
  priority: 5,
  maxAttempts: 3,
});
const server = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 1 };
const idOf = (results: readonly AddResult[]) => (results[0]?.status === 'stored' ? results[0].ids[0] : undefined);

describe('a server that has lost its last moments', () => {
  it('gives no number twice, so who still runs a lost job cannot settle another one', async () => {
    const redis = await startRedis({ config: { appendonly: 'no' } });
    // Two sets of jobs: the server knows the scripts of both as soon as it knows those of one.
    const sets = ['one', 'two'].map((namespace) => new RedisBackend(makeLink(redis.url), { namespace }));
    const claim = async (backend: RedisBackend) =>
      (await backend.claim({ server: 'a', queues: ['q'], limit: 1 })).jobs[0];
    try {
      for (const backend of sets) {
        await backend.open();
        await backend.beat(server);
        await backend.add([{ jobs: [job('kept')] }]);
      }
      const kept = await Promise.all(sets.map(claim));
      await redis.command('SAVE');
      for (const backend of sets) await backend.add([{ jobs: [job('lost')] }]);
      const lost = await Promise.all(sets.map(claim));
      await redis.restart();

      for (const [i, backend] of sets.entries()) {
        const [before, late] = [kept[i], lost[i]];
        assert.ok(before && late);
        const newId = idOf(await backend.add([{ jobs: [job('new')] }]));
        assert.ok(newId && newId > late.id);
        assert.equal((await claim(backend))?.id, newId);
        const ending = { kind: 'completed' } as const;
        assert.deepEqual(await backend.settle('a', [{ id: late.id, claim: late.claim, ending }]), ['stale']);
        assert.deepEqual(await backend.settle('a', [{ id: before.id, claim: before.claim, ending }]), ['taken']);
        assert.equal((await backend.get(newId))?.state, 'running');
      }
    } finally {
      for (const backend of sets) await backend.close();
      await redis.stop();
    }
  });
});

describe('jobs of a later layout', () => {
  it('are left alone', async () => {
    const redis = await startRedis();
    try {
      await redis.command('SET', '{millrace}:layout', '9');
      const backend = new RedisBackend(makeLink(redis.url));
      await assert.rejects(backend.open(), { code: 'MILLRACE_SCHEMA_TOO_NEW' });
      await backend.close();
      assert.deepEqual(await redis.command('KEYS', '*'), ['{millrace}:layout']);
    } finally {
      await redis.stop();
    }
  });
});
