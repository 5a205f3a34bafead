import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../../errors.ts';
import { locate, parseS3Url } from './location.ts';

describe('locate', () => {
  it('uses the virtual host at Amazon', () => {
    const { origin, host, path, secure } = locate('logs', 'a b/', 'eu-west-1');
    assert.equal(origin, 'https://logs.s3.eu-west-1.amazonaws.com');
    assert.equal(host, 'logs.s3.eu-west-1.amazonaws.com');
    assert.equal(path, '/a%20b/');
    assert.ok(secure);
  });

  it('uses the path for buckets with a dot, whose name no certificate covers', () => {
    const { origin, path } = locate('my.logs', '', 'us-east-1');
    assert.equal(origin + path, 'https://s3.us-east-1.amazonaws.com/my.logs/');
  });

  it('knows the domain of China', () => {
    assert.equal(locate('logs', '', 'cn-north-1').host, 'logs.s3.cn-north-1.amazonaws.com.cn');
  });

  it('uses the path at other endpoints, and keeps theirs', () => {
    const { origin, host, path, secure } = locate('logs', 'p/', 'us-east-1', 'http://127.0.0.1:9000/base/');
    assert.deepEqual([origin, host, path, secure], ['http://127.0.0.1:9000', '127.0.0.1:9000', '/base/logs/p/', false]);
  });

  it('refuses an endpoint that is no address', () => {
    for (const endpoint of ['', 'host:9000', 'ftp://x', 'http://x/?a', 'http://user@x']) {
      assert.throws(
        () => locate('b', '', 'r', endpoint),
        (error) => isError(error, 'OPTION_INVALID'),
        endpoint,
      );
    }
  });
});

describe('parseS3Url', () => {
  it('takes bucket, prefix, region and endpoint apart', () => {
    const none = { region: undefined, endpoint: undefined };
    assert.deepEqual(parseS3Url('s3://logs'), { bucket: 'logs', prefix: '', ...none });
    assert.deepEqual(parseS3Url('s3://logs/'), { bucket: 'logs', prefix: '', ...none });
    assert.deepEqual(parseS3Url('s3://logs/a/b c/'), { bucket: 'logs', prefix: 'a/b c/', ...none });
    const { region, endpoint } = parseS3Url('s3://logs/a?region=eu-west-1&endpoint=http://x:1');
    assert.deepEqual([region, endpoint], ['eu-west-1', 'http://x:1']);
  });

  it('refuses what names no bucket or no plain prefix', () => {
    for (const url of [
      's3://',
      's3:///a',
      's3://a',
      's3://-bucket/',
      's3://b@d/',
      's3://bucket/../x',
      's3://bucket//x',
    ]) {
      assert.throws(
        () => parseS3Url(url),
        (error) => isError(error, 'OPTION_INVALID'),
        url,
      );
    }
  });
});
