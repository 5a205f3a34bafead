import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../../errors.ts';
import { failure, parseRetryAfter } from './answer.ts';

const answer = (status: number, body = '', headers = {}) => ({ status, headers, body });

describe('failure', () => {
  it('says what the store said', () => {
    const body = '<Error><Code>AccessDenied</Code><Message>Not yours</Message></Error>';
    assert.match(failure('k', answer(403, body), 0).message, /403 AccessDenied: Not yours/);
  });

  it('makes do without message, code or body', () => {
    assert.match(failure('k', answer(503, '<Error><Code>SlowDown</Code></Error>'), 0).message, /503 SlowDown$/);
    assert.match(failure('k', answer(418, 'I am a teapot'), 0).message, /418$/);
  });

  it('tells the region of a bucket that is elsewhere', () => {
    const headers = { 'x-amz-bucket-region': 'eu-west-1' };
    assert.match(failure('k', answer(301, '', headers), 0).message, /the bucket is in eu-west-1/);
    const body = '<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>';
    assert.match(failure('k', answer(400, body), 0).message, /the bucket is in ap-south-1/);
  });

  it('waits rather than refuses when in doubt', () => {
    for (const status of [300, 304, 400, 401, 403, 404, 405, 409, 412, 451, 501, 599]) {
      assert.ok(isError(failure('k', answer(status), 0), 'SINK_AWAY'), `${status}`);
    }
  });
});

describe('parseRetryAfter', () => {
  it('reads seconds and dates, and ignores the rest', () => {
    assert.equal(parseRetryAfter('2', 0), 2000);
    assert.equal(parseRetryAfter('0.5', 0), 500);
    assert.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 4000), 5000);
    for (const value of [undefined, '', '0', '-1', 'soon', 'Thu, 01 Jan 1970 00:00:01 GMT']) {
      assert.equal(parseRetryAfter(value, 4000), undefined, value);
    }
  });
});
