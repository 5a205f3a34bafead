/** A server whose memory is full: nothing is lost, new jobs are refused, and working jobs off makes room again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MillraceError } from '../../errors.ts';
import { startRedis } from '../../testing/redis.ts';
import type { NewJob, Outcome } from '../backend.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';

const job: NewJob = { queue: 'q', name: 'n', payload: Buffer.alloc(1_000, 'x'), priority: 5, maxAttempts: 3 };
const server = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 1 };

describe('a full server', () => {
  it('refuses jobs whole, gives out and settles those it has, and takes new ones when there is room', async () => {
    const redis = await startRedis();
    const backend = new RedisBackend(makeLink(redis.url));
    try {
      await backend.open();
      await backend.beat(server);
      await backend.add([{ jobs: new Array<NewJob>(500).fill(job) }]);
      await redis.command('CONFIG', 'SET', 'maxmemory', '1mb');
      await assert.rejects(
        backend.add([{ jobs: [job] }]),
        (error: MillraceError) => error.code === 'MILLRACE_BACKEND_FULL',
      );

      const ids = new Set<string>();
      for (;;) {
        await backend.beat(server);
        const { jobs } = await backend.claim({ server: 'a', queues: ['q'], limit: 100 });
        if (jobs.length === 0) break;
        for (const { id } of jobs) ids.add(id);
        const outcomes = jobs.map(({ id, claim }): Outcome => ({ id, claim, ending: { kind: 'completed' } }));
        assert.ok((await backend.settle('a', outcomes)).every((result) => result === 'taken'));
      }
      assert.equal(ids.size, 500);
      const [counts] = await backend.counts();
      assert.deepEqual([counts?.available, counts?.running, counts?.completed], [0, 0, 500]);

      await redis.command('CONFIG', 'SET', 'maxmemory', '100mb');
      await backend.add([{ jobs: [job] }]);
    } finally {
      await backend.close();
      await redis.stop();
    }
  });
});
