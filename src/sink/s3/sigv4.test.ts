import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { deriveSigningKey, encodeComponent, encodePath, encodeQuery, Signer, sha256 } from './sigv4.ts';

// The examples of "Authenticating Requests: Using the Authorization Header" in Amazon's S3 API reference.
const identity = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const time = Date.UTC(2013, 4, 24);
const host = 'examplebucket.s3.amazonaws.com';
const empty = sha256('');
const published = [
  {
    what: 'GET Object with a range',
    request: { method: 'GET', path: '/test.txt', headers: { host, range: 'bytes=0-9' }, payloadHash: empty },
    signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  },
  {
    what: 'PUT Object',
    request: {
      method: 'PUT',
      path: encodePath('/test$file.text'),
      headers: { host, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      payloadHash: sha256('Welcome to Amazon S3.'),
    },
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  {
    what: 'GET Bucket lifecycle',
    request: { method: 'GET', path: '/', query: encodeQuery({ lifecycle: '' }), headers: { host }, payloadHash: empty },
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  {
    what: 'GET Bucket (list objects)',
    request: {
      method: 'GET',
      path: '/',
      query: encodeQuery({ prefix: 'J', 'max-keys': '2' }),
      headers: { host },
      payloadHash: empty,
    },
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
];

describe('Signer', () => {
  for (const { what, request, signature } of published) {
    it(`signs Amazon's published example: ${what}`, () => {
      const { authorization } = new Signer('us-east-1').sign({ ...request, time }, identity);
      assert.ok(
        authorization?.startsWith(
          'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,',
        ),
      );
      assert.ok(authorization?.endsWith(`Signature=${signature}`), authorization);
    });
  }

  it('derives the signing key of the published example', () => {
    const key = deriveSigningKey('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', '20150830', 'us-east-1', 'iam');
    assert.equal(key.toString('hex'), 'c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9');
  });

  it('signs alike whether the signing key was kept or made anew: other days and secrets in between', () => {
    const [used, request] = [new Signer('us-east-1'), published[0]?.request];
    assert.ok(request);
    const fresh = (at: number, who: typeof identity) => new Signer('us-east-1').sign({ ...request, time: at }, who);
    const other = { accessKeyId: 'other', secretAccessKey: 'other' };
    for (const at of [time, time + 1_000, time + 86_400_000, time]) {
      for (const who of [identity, other]) {
        assert.deepEqual(used.sign({ ...request, time: at }, who), fresh(at, who));
      }
    }
  });

  it('signs the session token too', () => {
    const signed = new Signer('us-east-1').sign(
      { method: 'GET', path: '/', headers: { host }, payloadHash: empty, time },
      { ...identity, sessionToken: 'token' },
    );
    assert.equal(signed['x-amz-security-token'], 'token');
    assert.match(
      signed.authorization ?? '',
      /SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,/,
    );
  });
});

describe('encoding', () => {
  it('leaves unreserved characters and nothing else', () => {
    assert.equal(encodeComponent("aZ09-._~ !'()*+/=&%é日"), 'aZ09-._~%20%21%27%28%29%2A%2B%2F%3D%26%25%C3%A9%E6%97%A5');
  });

  it('keeps the slashes of a path, doubled ones too', () => {
    assert.equal(encodePath('a b//c+d/'), 'a%20b//c%2Bd/');
  });

  it('can be undone, whatever the key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (key) => {
        assert.equal(decodeURIComponent(encodePath(key)), key);
        assert.match(encodePath(key), /^[\w.~%/-]*$/);
      }),
    );
  });
});
