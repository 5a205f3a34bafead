import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../../../errors.ts';
import { parseAddress } from './address.ts';
import { assertFit, evictionOf, readInfo } from './info.ts';

const infoOf = (fields: Record<string, string>) =>
  readInfo(
    `# Server\r\n${Object.entries({ redis_version: '7.2.4', role: 'master', cluster_enabled: '0', ...fields })
      .map(([name, value]) => `${name}:${value}\r\n`)
      .join('')}`,
  );

describe('what a server says of itself', () => {
  it('tells Valkey from Redis', () => {
    const valkey = infoOf({ valkey_version: '8.0.1', server_name: 'valkey' });
    assert.deepEqual([valkey.product, valkey.version, valkey.redisVersion], ['valkey', '8.0.1', '7.2.4']);
    assert.deepEqual([infoOf({}).product, infoOf({}).version], ['redis', '7.2.4']);
  });

  it('decides whether it will do', () => {
    const fit = (fields: Record<string, string>, url = 'redis://a') => assertFit(infoOf(fields), parseAddress(url));
    fit({ redis_version: '6.2.0' });
    fit({ redis_version: '10.0.0' });
    fit({ cluster_enabled: '1' }, 'redis+cluster://a');
    fit({ aof_enabled: '1' }, 'redis://a?waitForDisk=1');
    assert.throws(() => fit({ redis_version: '6.0.16' }), /6\.0\.16 is too old/);
    assert.throws(
      () => fit({ cluster_enabled: '1' }),
      (error) => isError(error, 'OPTION_INVALID') && /redis\+cluster/.test(error.message),
    );
    assert.throws(() => fit({}, 'redis+cluster://a'), /not part of a cluster/);
    assert.throws(
      () => fit({ role: 'slave' }),
      (error) => isError(error, 'BACKEND_READ_ONLY'),
    );
    const wait = 'redis://a?waitForDisk=1';
    assert.throws(
      () => fit({ redis_version: '7.0.15', aof_enabled: '1' }, wait),
      (error) => isError(error, 'NOT_SUPPORTED'),
    );
    assert.throws(() => fit({ aof_enabled: '0' }, wait), /appendonly no/);
  });

  it('says what running out of memory would cost', () => {
    const cost = (policy: string, maxmemory = '1000') => evictionOf(infoOf({ maxmemory, maxmemory_policy: policy }));
    assert.equal(cost('noeviction'), undefined);
    assert.equal(cost('allkeys-lru', '0'), undefined);
    assert.match(cost('allkeys-random') ?? '', /throws jobs away/);
    assert.match(cost('volatile-ttl') ?? '', /jobs are safe/);
  });
});
