/** A thousand jobs on the Sidekiq wire while the processes that work them off are killed at every step. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBackend } from '../src/backend/open.ts';
import { Client } from '../src/client/client.ts';
import { workerClass } from '../src/job/worker-class.ts';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';

const JOBS = 1_000;
const seed = Number(process.env.MILLRACE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const steps = ['popped', 'started', 'ran', 'ended'] as const;
const program = fileURLToPath(new URL('./support/sidekiq-worker.ts', import.meta.url));

/** A number below `most`, the same for the same seed. */
function dice(): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 2 ** 31) * most);
  };
}

describe(`on the Sidekiq wire (MILLRACE_SEED=${seed})`, { timeout: 180_000 }, () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  it('16. kill -9 after the pop, after the start and before the answer loses none of 1,000 jobs', async (t) => {
    const roll = dice();
    const backend = await openBackend(`sidekiq:${redis.url}`);
    t.after(() => backend.close());
    const hard = workerClass('HardJob', (_queue, _: number) => undefined);
    await new Client({ backend, jobs: [hard] }).enqueueMany(
      hard,
      Array.from({ length: JOBS }, (_, i) => [i]),
    );
    const killed = new Map<string, number>();
    for (let round = 0; ; round++) {
      const step = steps[round % steps.length] as string;
      const times = 1 + roll(step === 'popped' ? 12 : 200);
      const child = spawn(process.execPath, [program, redis.url, step, String(times)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
      if (signal === 'SIGKILL') killed.set(step, (killed.get(step) ?? 0) + 1);
      else assert.equal(code, 0);
      // A server that has not beaten since just now is dead; the jobs that saw many die wait for a last chance, or for somebody.
      await backend.rescue(0);
      await backend.act({ kind: 'retry' }, { states: ['retryable', 'discarded'] });
      const [counts] = await backend.counts();
      assert.ok(counts && counts.running === 0);
      if (counts.available + counts.scheduled + counts.retryable + counts.discarded === 0) break;
    }
    for (const step of steps) assert.ok((killed.get(step) ?? 0) > 0, `was killed at the step \`${step}\``);
    const seen = ((await redis.command('LRANGE', 'seen', '0', '-1')) as string[]).map(Number);
    assert.equal(new Set(seen).size, JOBS);
    assert.ok(seen.length >= JOBS);
    assert.deepEqual(await redis.command('KEYS', 'millrace:held:*'), []);
    assert.deepEqual(await redis.command('SMEMBERS', 'processes'), []);
  });
});
