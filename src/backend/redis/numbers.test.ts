/** The numbers of jobs, on a server that may have lost some. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startRedis } from '../../testing/redis.ts';
import { add, claim, job, settle } from '../conformance/support.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';

it('ids go up across a restart, also when the jobs from before it end after it', async (t) => {
  await using redis = await startRedis();
  const backend = new RedisBackend(makeLink(redis.url));
  t.after(() => backend.close());
  await backend.open();
  const ids = [...(await add(backend, [job()]))];
  const held = await claim(backend);
  // A server that was started anew does not know the scripts, and that is what it is told by.
  await redis.command('SCRIPT', 'FLUSH');
  ids.push(...(await add(backend, [job()])));
  await settle(backend, held, { kind: 'completed' });
  ids.push(...(await add(backend, [job()])));
  assert.deepEqual(ids, ids.toSorted());
});
