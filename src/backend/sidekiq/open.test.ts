import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import { openBackend } from '../open.ts';

const job = { queue: 'q', name: 'A', payload: Buffer.from('[]'), priority: 4, maxAttempts: 26 };

describe('a sidekiq: address', () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  const pushed = async (rest: string) => {
    await redis.command('FLUSHALL');
    const backend = await openBackend(`sidekiq:${redis.url}${rest}`);
    const [result] = await backend.add([{ jobs: [job] }]);
    await backend.close();
    assert.equal(result?.status, 'stored');
    return backend.name;
  };
  const line = async (key: string) => String(await redis.command('LINDEX', key, '0'));

  it('names the server, the database, the form of times and the namespace', async () => {
    assert.equal(await pushed(''), `sidekiq:${redis.url}`);
    assert.match(await line('queue:q'), /"created_at":\d+\.\d+,/);
    await pushed('/0?version=6');
    assert.match(await line('queue:q'), /"created_at":\d+\.\d+,/);
    await pushed('/0?version=8&namespace=app');
    assert.match(await line('app:queue:q'), /"created_at":\d{13},/);
    await pushed('/3?timeout=5000');
    assert.equal(await redis.command('EXISTS', 'queue:q'), 0);
  });

  it('is refused when it is none, before anything is connected', async () => {
    const refused = (rest: string, code: string) =>
      assert.rejects(openBackend(`sidekiq:${rest}`), { code: `MILLRACE_${code}` }, rest);
    for (const version of ['5', '9', '', '7.3', 'eight'])
      await refused(`redis://host?version=${version}`, 'OPTION_INVALID');
    await refused('redis://host?namespace=a{b', 'OPTION_INVALID');
    await refused('redis://host?namespace=', 'OPTION_INVALID');
    await refused('redis+cluster://host', 'OPTION_INVALID');
    await refused('redis://host?shards=2', 'OPTION_UNKNOWN');
    await refused('http://host', 'OPTION_INVALID');
    await refused('', 'OPTION_INVALID');
  });

  it('does not show its password', async () => {
    const wrong = `sidekiq:redis://nobody:secret@127.0.0.1:${redis.port}`;
    await assert.rejects(openBackend(wrong), (error: Error) => !/secret/.test(`${error.message} ${error.stack}`));
  });
});
