/** A server that comes back without its last moments. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startRedis } from '../../testing/redis.ts';
import type { AddResult, NewJob } from '../backend.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link.ts';

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
    const backend = new RedisBackend(makeLink(redis.url));
    try {
      await backend.open();
      await backend.beat(server);
      await backend.add([{ jobs: [job('kept')] }]);
      const claim = async () => (await backend.claim({ server: 'a', queues: ['q'], limit: 1 })).jobs[0];
      const kept = await claim();
      assert.ok(kept);
      await redis.command('SAVE');

      const lostId = idOf(await backend.add([{ jobs: [job('lost')] }]));
      const lost = await claim();
      assert.equal(lost?.id, lostId);
      await redis.restart();

      const newId = idOf(await backend.add([{ jobs: [job('new')] }]));
      assert.ok(newId && lostId && newId > lostId);
      assert.equal((await claim())?.id, newId);
      const ending = { kind: 'completed' } as const;
      const late = { id: lostId, claim: lost?.claim ?? 0, ending };
      assert.deepEqual(await backend.settle('a', [late]), ['stale']);
      assert.deepEqual(await backend.settle('a', [{ id: kept.id, claim: kept.claim, ending }]), ['taken']);
      assert.equal((await backend.get(newId))?.state, 'running');
    } finally {
      await backend.close();
      await redis.stop();
    }
  });
});
