import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isError } from '../../src/errors.ts';
import { GatedSink } from '../../src/sink/gated.ts';
import { type S3Options, S3Sink } from '../../src/sink/s3/s3.ts';
import { Serve } from '../support/serve.ts';
import { S3TestClient } from './client.ts';
import { fakeCredentials, startFakeS3 } from './fake.ts';
import { type Radosgw, radosgwCredentials, radosgwMissing, startRadosgw } from './radosgw.ts';

const json = (key: string, body = '{"a":1}') => ({
  key,
  body: new TextEncoder().encode(body),
  contentType: 'application/json',
});
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const missing = radosgwMissing();
if (missing) console.error(`\n*** ${missing} ***\n`);

describe('S3Sink against Ceph radosgw', { skip: missing ?? false, timeout: 300_000 }, () => {
  let gateway: Radosgw;
  let client: S3TestClient;

  before(async () => {
    gateway = await startRadosgw({ maxConcurrentRequests: 16 });
    client = new S3TestClient(gateway.endpoint, radosgwCredentials);
    await client.makeBucket('bucket');
  });
  after(() => gateway?.close());

  async function open(options: S3Options = {}, url = 's3://bucket/p') {
    const { endpoint } = gateway;
    const sink = new S3Sink(url, { endpoint, credentials: radosgwCredentials, environment: {}, ...options });
    await sink.open();
    return sink;
  }

  const blocked = (code: string) => (error: unknown) =>
    isError(error, 'SINK_AWAY') && error.fields.trouble === 'blocked' && error.fields.reason.includes(code);

  it('stores, overwrites, and gives the same bytes back', async () => {
    await using sink = await open();
    for (const body of ['old', 'new', '', 'x'.repeat(3_000_000)]) {
      await sink.put(json('q/1.json', body));
      assert.equal(text(await client.get('bucket', 'p/q/1.json')), body);
    }
    const head = await client.send('HEAD', '/bucket/p/q/1.json');
    assert.equal(head.headers.get('content-type'), 'application/json');
  });

  it('accepts the signature over keys with every odd character, and reads the same key', async () => {
    await using sink = await open({}, 's3://bucket/odd +%~=é');
    const keys = [
      "a b+c~d%20e=f&g?h#i:j@k!l'm(n)o*p,q;r$s",
      'é/日本語/🙂',
      '%2F/%',
      '...',
      'a..b',
      '~',
      'x'.repeat(900),
    ];
    for (const key of keys) await sink.put(json(key, key));
    for (const key of keys) assert.equal(text(await client.get('bucket', `odd +%~=é/${key}`)), key);
    assert.deepEqual((await client.list('bucket', 'odd +')).sort(), keys.map((key) => `odd +%~=é/${key}`).sort());
  });

  it('accepts MD5, no checksum, encodings, storage class and tags', async () => {
    for (const options of [{ checksum: 'md5' }, { checksum: 'none' }] as const) {
      await using sink = await open(options);
      await sink.put(json(options.checksum));
    }
    await using sink = await open({ storageClass: 'STANDARD', tags: { team: 'a b', env: 'prod' } });
    await sink.put({ ...json('tagged'), contentEncoding: 'gzip' });
    const tags = await (await client.send('GET', '/bucket/p/tagged', { query: { tagging: '' } })).text();
    assert.match(tags, /<Key>team<\/Key><Value>a b<\/Value>/);
  });

  it('is refused with a wrong secret, key or bucket: blocked, so nothing is lost', async () => {
    await using wrongSecret = await open({ credentials: { ...radosgwCredentials, secretAccessKey: 'wrong' } });
    await assert.rejects(wrongSecret.put(json('k')), blocked('SignatureDoesNotMatch'));
    await using wrongKey = await open({ credentials: { ...radosgwCredentials, accessKeyId: 'WRONG' } });
    await assert.rejects(wrongKey.put(json('k')), blocked('InvalidAccessKeyId'));
    await using wrongBucket = await open({}, 's3://no-such-bucket');
    await assert.rejects(wrongBucket.put(json('k')), blocked('NoSuchBucket'));
  });

  it('corrects its clock when radosgw finds it wrong', async () => {
    const clock = {
      now: () => Date.now() - 3_600_000,
      monotonic: () => performance.now(),
      timer: () => ({ cancel() {} }),
    };
    const late = await client.send('PUT', '/bucket/late', { body: '1', time: clock.now() });
    assert.match(await late.text(), /RequestTimeTooSkewed/);
    await using sink = await open({ clock });
    await sink.put(json('late'));
    assert.equal(text(await client.get('bucket', 'p/late')), '{"a":1}');
  });

  it('agrees with the fake: conditional writes 412, damaged bodies BadDigest', async () => {
    const first = await client.send('PUT', '/bucket/once', { headers: { 'if-none-match': '*' }, body: '1' });
    const again = await client.send('PUT', '/bucket/once', { headers: { 'if-none-match': '*' }, body: '2' });
    assert.deepEqual([first.status, again.status], [200, 412]);
    assert.match(await again.text(), /PreconditionFailed/);
    const damaged = await client.send('PUT', '/bucket/k', {
      headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' },
      body: '1',
    });
    assert.match(await damaged.text(), /BadDigest/);
  });

  it('really says SlowDown when 64 puts come at once, and the gate loses none of them', async () => {
    await using bare = await open({}, 's3://bucket/bare');
    const at = (count: number) => Array.from({ length: count }, (_, i) => json(`${i}`, `{"i":${i}}`));
    const answers = await Promise.allSettled(at(200).map((object) => bare.put(object)));
    const slowed = answers.filter((one) => one.status === 'rejected' && isError(one.reason, 'SINK_AWAY'));
    assert.ok(slowed.length > 0, 'the store has no knee here, so the test proves nothing');

    await using gated = new GatedSink(await open({}, 's3://bucket/gated'));
    const objects = at(1000);
    const next = objects.values();
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        for (const object of next) await gated.put(object);
      }),
    );
    const keys = await client.list('bucket', 'gated/');
    assert.equal(keys.length, objects.length);
    for (const i of [0, 500, 999]) assert.equal(text(await client.get('bucket', `gated/${i}`)), `{"i":${i}}`);
    const { stored, overloads } = gated.stats();
    assert.equal(stored, objects.length);
    assert.ok(overloads < objects.length / 4, `${overloads} refused on the way to ${stored}`);
  });

  it('gets from millrace serve the same bodies that the fake store gets, through its SlowDown', async () => {
    await using fake = await startFakeS3();
    const folder = await mkdtemp(join(tmpdir(), 'millrace-radosgw-'));
    after(() => rm(folder, { recursive: true, force: true }));
    const count = 400;
    const payloads = Array.from({ length: count }, (_, n) => ({ n, text: 'ein Stück, два, 三' }));

    const carry = async (
      name: string,
      endpoint: string,
      identity: { accessKeyId: string; secretAccessKey: string },
    ) => {
      const flow = [
        '--backend',
        `sqlite:${folder}/${name}.db`,
        '--sink',
        's3://bucket/served',
        '--s3-endpoint',
        endpoint,
      ];
      const { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY } = identity;
      const server = await Serve.start(['--port', '0', ...flow], { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
      after(() => server.end('SIGKILL'));
      for (let n = 0; n < count; n += 100) assert.equal((await server.post(payloads.slice(n, n + 100))).status, 200);
      await server.until('millrace_jobs_completed_total{queue="payloads"}', count);
      assert.equal(await server.metric('millrace_jobs{queue="payloads",state="discarded"}'), 0);
      assert.equal(await server.end(), 0);
    };
    await carry('fake', fake.endpoint, fakeCredentials);
    await carry('radosgw', gateway.endpoint, radosgwCredentials);

    const keys = await client.list('bucket', 'served/');
    // One by one: this client has no gate, and the store's knee is real.
    const there: string[] = [];
    for (const key of keys) there.push(text(await client.get('bucket', key)));
    const here = [...fake.objects.values()].map(({ body }) => body.toString());
    assert.equal(there.length, count);
    assert.deepEqual(there.sort(), here.sort());
  });
});
