import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../../../errors.ts';
import { parseAddress } from './address.ts';

describe('the address of Redis', () => {
  it('has a host, and what is left out has a default', () => {
    const address = parseAddress('redis://cache');
    assert.equal(address.kind, 'single');
    assert.deepEqual(address.places, [{ host: 'cache', port: 6379 }]);
    assert.deepEqual(address.access, { db: 0 });
    assert.deepEqual([address.timeout, address.waitForReplicas, address.waitForDisk], [10_000, 0, false]);
  });

  it('may have a user, a password, a port, a database and options', () => {
    const address = parseAddress('redis://me:p%40ss%3A%2F@[::1]:7000/3?timeout=500&waitForReplicas=2&waitForDisk=1');
    assert.deepEqual(address.places, [{ host: '::1', port: 7000 }]);
    assert.deepEqual(address.access, { username: 'me', password: 'p@ss:/', db: 3 });
    assert.deepEqual([address.timeout, address.waitForReplicas, address.waitForDisk], [500, 2, true]);
    assert.deepEqual(parseAddress('redis://:secret@a').access, { password: 'secret', db: 0 });
  });

  it('names files for TLS', () => {
    const { access } = parseAddress('rediss://a?ca=ca.pem&cert=me.pem&key=me.key&servername=b&rejectUnauthorized=0');
    const files = { ca: 'ca.pem', cert: 'me.pem', key: 'me.key', servername: 'b' };
    assert.deepEqual(access.tls, { ...files, rejectUnauthorized: false });
    assert.deepEqual(parseAddress('rediss+cluster://a').access.tls, { rejectUnauthorized: true });
  });

  it('may be a socket', () => {
    const address = parseAddress('redis+unix://:pw@/run/my%20redis.sock?db=2');
    assert.deepEqual(address.places, [{ path: '/run/my redis.sock' }]);
    assert.deepEqual(address.access, { password: 'pw', db: 2 });
    assert.equal(address.name, 'redis+unix:///run/my%20redis.sock?db=2');
  });

  it('may be sentinels and the name of their master', () => {
    const address = parseAddress('redis+sentinel://u:p@s1,s2:1/main/4?sentinelPassword=q');
    assert.equal(address.kind, 'sentinel');
    assert.deepEqual(address.places, [
      { host: 's1', port: 26379 },
      { host: 's2', port: 1 },
    ]);
    assert.deepEqual(address.sentinel, { master: 'main', access: { password: 'q', db: 0 } });
    assert.deepEqual(address.access, { username: 'u', password: 'p', db: 4 });
  });

  it('may be nodes of a cluster', () => {
    const address = parseAddress('redis+cluster://a,b:7001,c');
    assert.equal(address.kind, 'cluster');
    assert.deepEqual(
      address.places.map((place) => 'port' in place && `${place.host} ${place.port}`),
      ['a 6379', 'b 7001', 'c 6379'],
    );
  });

  it('hands over options that are the business of somebody else', () => {
    const { others } = parseAddress('redis://a?namespace=x&timeout=1', ['namespace', 'shards']);
    assert.deepEqual([...others], [['namespace', 'x']]);
  });

  it('keeps secrets out of its name and of every complaint', () => {
    const urls = [
      'redis://u:hunter2@a:7000/1?timeout=9',
      'rediss+cluster://u:hunter2@a,b',
      'redis+sentinel://u:hunter2@a/main?sentinelPassword=hunter2',
      'redis+unix://u:hunter2@/run/redis.sock',
    ];
    for (const url of urls) assert.doesNotMatch(parseAddress(url).name, /hunter2/);
    assert.equal(parseAddress(urls[0] as string).name, 'redis://a:7000/1');
    for (const url of [
      'redis://u:hunter2@a@b',
      'redis://u:hunter2/x@a',
      'redis://u:12/hunter2@a',
      'redis://:12?hunter2@a',
      'redis+cluster://u:12/hunter2@a',
      'redis+sentinel://u:12/hunter2@a',
      'redis://hunter2@a',
      'redis://u:hunter2@a,b',
      'redis://u:hunter2@a:99999',
      'redis://u:hunter2%@a',
      'redis://u:hunter2@',
      'redis+sentinel://u:hunter2@a',
      'rediss+unix://u:hunter2@/x',
      'redis+unix://u:hunter2@/',
      'redis+cluster://u:hunter2@a/1',
      'redis://u:hunter2@a/x',
    ]) {
      assert.throws(
        () => parseAddress(url),
        (error) => isError(error, 'OPTION_INVALID') && !/hunter2/.test(error.message),
        url,
      );
    }
  });

  it('refuses options that are not known, or not for this kind, and values that cannot be', () => {
    for (const [url, option] of [
      ['redis://a?timeuot=1', 'timeuot'],
      ['redis://a?ca=x', 'ca'],
      ['redis+cluster://a?db=1', 'db'],
      ['redis://a?sentinelPassword=x', 'sentinelPassword'],
    ] as const) {
      assert.throws(
        () => parseAddress(url),
        (error) => isError(error, 'OPTION_UNKNOWN') && error.fields.option === option,
      );
    }
    assert.throws(
      () => parseAddress('redis://a/1?db=2'),
      (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'db',
    );
    for (const query of [
      'timeout=0',
      'timeout=240001',
      'timeout=1.5',
      'timeout=',
      'waitForReplicas=-1',
      'waitForDisk=yes',
      'db=x',
    ]) {
      assert.throws(
        () => parseAddress(`redis://a?${query}`),
        (error) => isError(error, 'OPTION_INVALID'),
        query,
      );
    }
  });
});
