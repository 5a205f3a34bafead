import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { S3TestClient } from './client.ts';
import { aboveKnee, type FakeS3Options, fakeCredentials, startFakeS3 } from './fake.ts';

async function setUp(t: TestContext, options?: FakeS3Options) {
  const store = await startFakeS3(options);
  t.after(() => store.close());
  return { store, client: new S3TestClient(store.endpoint, fakeCredentials) };
}

const crc = (body: string) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body));
  return bytes.toString('base64');
};

describe('FakeS3', () => {
  it('puts, gets, heads, lists page by page and deletes', async (t) => {
    const { store, client } = await setUp(t);
    for (const key of ['a/1', 'a/2', 'a/3&<', 'b']) {
      assert.equal((await client.send('PUT', `/bucket/${key}`, { body: key })).status, 200);
    }
    assert.equal(new TextDecoder().decode(await client.get('bucket', 'a/3&<')), 'a/3&<');
    assert.equal((await client.send('HEAD', '/bucket/b')).headers.get('content-length'), '1');
    const page = await client.send('GET', '/bucket', { query: { 'list-type': '2', prefix: 'a/', 'max-keys': '2' } });
    const xml = await page.text();
    assert.match(xml, /<KeyCount>2<.*<IsTruncated>true<.*<NextContinuationToken>a\/2</s);
    assert.deepEqual(await client.list('bucket', 'a/'), ['a/1', 'a/2', 'a/3&<']);
    assert.equal((await client.send('DELETE', '/bucket/b')).status, 204);
    assert.equal((await client.send('GET', '/bucket/b')).status, 404);
    assert.equal(store.stored, 4);
  });

  it('refuses every damaged body, and stores nothing of it', async (t) => {
    const { store, client } = await setUp(t);
    const put = (headers: Record<string, string>) => client.send('PUT', '/bucket/k', { body: 'body', headers });
    for (const headers of [{ 'x-amz-checksum-crc32': crc('other') }, { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }]) {
      assert.match(await (await put(headers)).text(), /BadDigest/);
    }
    assert.equal(store.objects.size, 0);
    assert.equal((await put({ 'x-amz-checksum-crc32': crc('body') })).status, 200);
  });

  it('refuses a body that is not the one that was signed', async (t) => {
    const { store, client } = await setUp(t);
    let signed: Headers | undefined;
    store.fault = ({ headers }) => {
      signed = new Headers(headers as Record<string, string>);
      return { kind: 'error', status: 500, code: 'InternalError' };
    };
    await client.send('PUT', '/bucket/k', { body: 'body' });
    store.fault = () => undefined;
    assert.ok(signed);
    signed.delete('content-length');
    signed.delete('connection');
    const replay = (path: string, body: string) =>
      fetch(store.endpoint + path, { method: 'PUT', headers: signed ?? {}, body });
    assert.match(await (await replay('/bucket/k', 'evil')).text(), /XAmzContentSHA256Mismatch/);
    assert.match(await (await replay('/bucket/other', 'body')).text(), /SignatureDoesNotMatch/);
    assert.equal((await replay('/bucket/k', 'body')).status, 200);
  });

  it('refuses strangers: no signature, unknown key, wrong secret, x-amz headers that are not signed', async (t) => {
    const { store } = await setUp(t);
    assert.equal((await fetch(`${store.endpoint}/bucket/k`, { method: 'PUT', body: 'x' })).status, 403);
    for (const wrong of [{ accessKeyId: 'nobody' }, { secretAccessKey: 'wrong' }, { sessionToken: 'made up' }]) {
      const client = new S3TestClient(store.endpoint, { ...fakeCredentials, ...wrong });
      const answer = await client.send('PUT', '/bucket/k', { body: 'x' });
      assert.ok(answer.status === 403 || answer.status === 400, `${answer.status}`);
    }
    assert.equal(store.objects.size, 0);
  });

  it('keeps what is there when If-None-Match says so', async (t) => {
    const { store, client } = await setUp(t);
    const put = (body: string) => client.send('PUT', '/bucket/k', { body, headers: { 'if-none-match': '*' } });
    assert.equal((await put('1')).status, 200);
    assert.equal((await put('2')).status, 412);
    assert.equal(store.objects.get('bucket/k')?.body.toString(), '1');
  });

  it('has a knee when told to, and counts what it answered', async (t) => {
    const { store, client } = await setUp(t, { keepBodies: false });
    store.latency = 20;
    store.fault = aboveKnee(3);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => client.send('PUT', `/bucket/${i}`, { body: 'x' })),
    );
    const stored = answers.filter((answer) => answer.ok).length;
    assert.ok(stored >= 3 && stored < 10);
    assert.deepEqual(
      [store.stored, store.answers.get('200'), store.answers.get('503 SlowDown')],
      [stored, stored, 10 - stored],
    );
    assert.equal(store.objects.values().next().value?.body.length, 0);
    assert.equal(store.inFlight, 0);
  });
});
