import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { isError, type SinkTrouble } from '../../src/errors.ts';
import { GatedSink } from '../../src/sink/gated.ts';
import { openSink } from '../../src/sink/open.ts';
import { type S3Options, S3Sink } from '../../src/sink/s3/s3.ts';
import {
  aboveKnee,
  type FakeS3,
  type FakeS3Options,
  type Fault,
  fakeCredentials,
  slowDown,
  startFakeS3,
  times,
} from './fake.ts';

const json = (key: string, body = '{"a":1}') => ({
  key,
  body: new TextEncoder().encode(body),
  contentType: 'application/json',
});

const away =
  (trouble: SinkTrouble, part = '') =>
  (error: unknown) =>
    isError(error, 'SINK_AWAY') && error.fields.trouble === trouble && error.fields.reason.includes(part);

async function setUp(t: TestContext, options: S3Options = {}, fake: FakeS3Options = {}, prefix = '/prefix') {
  const store = await startFakeS3(fake);
  const sink = new S3Sink(`s3://bucket${prefix}`, {
    endpoint: store.endpoint,
    credentials: fakeCredentials,
    environment: {},
    ...options,
  });
  await sink.open();
  t.after(async () => {
    await sink.close();
    await store.close();
  });
  return { store, sink };
}

describe('S3Sink against a store that checks', () => {
  it('stores the bytes it was given under prefix and key, with their type and encoding', async (t) => {
    const { store, sink } = await setUp(t);
    await sink.put({ ...json('a/b.json', 'zip'), contentEncoding: 'gzip' });
    const object = store.objects.get('bucket/prefix/a/b.json');
    assert.equal(object?.body.toString(), 'zip');
    assert.equal(object?.headers['content-type'], 'application/json');
    assert.equal(object?.headers['content-encoding'], 'gzip');
    assert.ok(object?.headers['x-amz-checksum-crc32']);
    assert.match(String(object?.headers['x-amz-content-sha256']), /^[0-9a-f]{64}$/, 'plain HTTP: the body is signed');
  });

  it('overwrites itself', async (t) => {
    const { store, sink } = await setUp(t);
    await sink.put(json('k', 'old'));
    await sink.put(json('k', 'new'));
    assert.equal(store.objects.get('bucket/prefix/k')?.body.toString(), 'new');
    assert.equal(store.puts.get('bucket/prefix/k'), 2);
  });

  it('signs keys with every odd character so that the store reads the same key', async (t) => {
    const { store, sink } = await setUp(t, {}, {}, '');
    const keys = ["a b+c~d%20e=f&g?h#i:j@k!l'm(n)o*p,q;r$s", 'é/日本語/🙂', '%2F/%', '...', "it's", 'x'.repeat(1000)];
    for (const key of keys) await sink.put(json(key, key));
    for (const key of keys) assert.equal(store.objects.get(`bucket/${key}`)?.body.toString(), key);
  });

  it('stores empty and large bodies', async (t) => {
    const { store, sink } = await setUp(t);
    for (const size of [0, 1, 5_000_000]) {
      await sink.put({ ...json(`${size}`), body: new Uint8Array(size).fill(7) });
      assert.equal(store.objects.get(`bucket/prefix/${size}`)?.size, size);
    }
  });

  it('sends MD5, or no checksum at all, when told to', async (t) => {
    const md5 = await setUp(t, { checksum: 'md5' });
    await md5.sink.put(json('k'));
    assert.ok(md5.store.objects.get('bucket/prefix/k')?.headers['content-md5']);
    const none = await setUp(t, { checksum: 'none' });
    await none.sink.put(json('k'));
    assert.equal(none.store.objects.get('bucket/prefix/k')?.headers['x-amz-checksum-crc32'], undefined);
  });

  it('asks for encryption, storage class and tags', async (t) => {
    const { store, sink } = await setUp(t, {
      sse: { kmsKeyId: 'key-1' },
      storageClass: 'STANDARD_IA',
      tags: { team: 'a & b', env: 'prod' },
    });
    await sink.put(json('k'));
    const headers = store.objects.get('bucket/prefix/k')?.headers ?? {};
    assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
    assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], 'key-1');
    assert.equal(headers['x-amz-storage-class'], 'STANDARD_IA');
    assert.equal(headers['x-amz-tagging'], 'env=prod&team=a%20%26%20b');
  });

  it('leaves the hash of the body to TLS and the CRC32 where there is TLS', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const make = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      key,
      '-out',
      cert,
      ...subject,
    ];
    try {
      execFileSync('openssl', make, { stdio: 'ignore' });
    } catch {
      return t.skip('openssl is not here to make a certificate');
    }
    const tls = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    const { store, sink } = await setUp(t, {}, { tls });
    await assert.rejects(sink.put(json('k')), away('unreachable', 'self-signed'));
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    t.after(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
    await sink.put(json('k'));
    assert.equal(store.objects.get('bucket/prefix/k')?.headers['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD');
  });
});

describe('S3Sink tells what is wrong', () => {
  const rows: [fault: Fault, SinkTrouble][] = [
    [slowDown(), 'overload'],
    [{ kind: 'error', status: 500, code: 'InternalError' }, 'overload'],
    [{ kind: 'error', status: 502, code: '' }, 'overload'],
    [{ kind: 'error', status: 504, code: '' }, 'overload'],
    [{ kind: 'error', status: 429, code: 'TooManyRequests' }, 'overload'],
    [{ kind: 'error', status: 400, code: 'RequestTimeout' }, 'overload'],
    [{ kind: 'error', status: 400, code: 'BadDigest' }, 'unreachable'],
    [{ kind: 'reset' }, 'unreachable'],
    [{ kind: 'lostAnswer' }, 'unreachable'],
    [{ kind: 'error', status: 403, code: 'AccessDenied' }, 'blocked'],
    [{ kind: 'error', status: 400, code: 'InvalidStorageClass' }, 'blocked'],
    [{ kind: 'error', status: 301, code: 'PermanentRedirect' }, 'blocked'],
  ];
  for (const [fault, trouble] of rows) {
    const what = fault.kind === 'error' ? `${fault.status} ${fault.code}` : fault.kind;
    it(`${what} is SINK_AWAY, ${trouble}, after one attempt`, async (t) => {
      const { store, sink } = await setUp(t);
      store.fault = () => fault;
      await assert.rejects(sink.put(json('k')), away(trouble));
      assert.equal(store.requests, 1);
      store.fault = () => undefined;
      await sink.put(json('k'));
    });
  }

  it('an object that can never be stored is SINK_REFUSED', async (t) => {
    const { store, sink } = await setUp(t);
    for (const [status, code] of [
      [400, 'EntityTooLarge'],
      [400, 'KeyTooLongError'],
      [413, ''],
    ] as const) {
      store.fault = () => ({ kind: 'error', status, code });
      await assert.rejects(
        sink.put(json('k')),
        (error) => isError(error, 'SINK_REFUSED') && error.message.includes(code),
      );
    }
  });

  it('a wrong secret, an unknown key, a missing bucket, a wrong region: blocked, with the code', async (t) => {
    const wrong: [S3Options, string][] = [
      [{ credentials: { ...fakeCredentials, secretAccessKey: 'x' } }, 'SignatureDoesNotMatch'],
      [{ credentials: { ...fakeCredentials, accessKeyId: 'x' } }, 'InvalidAccessKeyId'],
      [{ region: 'eu-west-1' }, 'AuthorizationHeaderMalformed'],
    ];
    for (const [options, code] of wrong) {
      const { sink } = await setUp(t, options);
      await assert.rejects(sink.put(json('k')), away('blocked', code));
    }
    const { sink } = await setUp(t, {}, { buckets: ['another'] });
    await assert.rejects(sink.put(json('k')), away('blocked', 'NoSuchBucket'));
  });

  it('a store that is not there is SINK_AWAY, unreachable', async (t) => {
    const { store, sink } = await setUp(t);
    await store.close();
    await assert.rejects(sink.put(json('k')), away('unreachable', 'ECONNREFUSED'));
  });

  it('passes Retry-After on, in ms, from seconds and from a date', async (t) => {
    const { store, sink } = await setUp(t);
    store.fault = () => slowDown(7);
    await assert.rejects(
      sink.put(json('k')),
      (error) => isError(error, 'SINK_AWAY') && error.fields.retryAfter === 7000,
    );
    const retryAfter = new Date(Date.now() + 60_000).toUTCString();
    store.fault = () => ({ kind: 'error', status: 503, code: 'SlowDown', retryAfter });
    await assert.rejects(sink.put(json('k')), (error) => {
      const ms = isError(error, 'SINK_AWAY') ? (error.fields.retryAfter ?? 0) : 0;
      return ms > 50_000 && ms <= 60_000;
    });
  });

  it('a store that does not answer, or not to the end, is overloaded when the time is over', async (t) => {
    const { store, sink } = await setUp(t, { timeouts: { put: 50 } });
    for (const kind of ['stall', 'halfAnswer'] as const) {
      store.fault = () => ({ kind });
      await assert.rejects(sink.put(json('k')), away('overload', '50 ms'));
    }
    store.fault = () => undefined;
    await sink.put(json('k'));
  });

  it('gives up with the reason of the signal: under way, and waiting for a connection', async (t) => {
    const { store, sink } = await setUp(t, { connections: 1 });
    store.fault = () => ({ kind: 'stall' });
    const [reason, stop] = [new Error('enough'), new AbortController()];
    const puts = [1, 2, 3].map((n) => assert.rejects(sink.put(json(`${n}`), stop.signal), reason));
    while (store.requests === 0) await new Promise(setImmediate);
    stop.abort(reason);
    await Promise.all(puts);
    await assert.rejects(sink.put(json('4'), AbortSignal.abort(reason)), reason);
    store.fault = () => undefined;
    await sink.put(json('5'));
    assert.deepEqual([...store.objects.keys()], ['bucket/prefix/5']);
  });
});

describe('S3Sink mends what is its own', () => {
  it('fetches credentials again when the store calls them expired, once for all puts', async (t) => {
    const identities = new Map([
      ['old', { secretAccessKey: 's', sessionToken: 't1', expired: true }],
      ['new', { secretAccessKey: 's', sessionToken: 't2' }],
    ]);
    let calls = 0;
    const credentials = async () =>
      calls++ === 0
        ? { accessKeyId: 'old', secretAccessKey: 's', sessionToken: 't1' }
        : { accessKeyId: 'new', secretAccessKey: 's', sessionToken: 't2' };
    const { store, sink } = await setUp(t, { credentials }, { identities });
    await Promise.all(Array.from({ length: 20 }, (_, i) => sink.put(json(`${i}`))));
    assert.equal(calls, 2);
    assert.equal(store.objects.size, 20);
  });

  it('does not repeat for ever when the new ones are expired too', async (t) => {
    const identities = new Map([['old', { secretAccessKey: 's', expired: true }]]);
    const credentials = async () => ({ accessKeyId: 'old', secretAccessKey: 's' });
    const { store, sink } = await setUp(t, { credentials }, { identities });
    await assert.rejects(sink.put(json('k')), away('blocked', 'ExpiredToken'));
    assert.equal(store.requests, 2);
  });

  it('signs with the clock of the store after it complained about ours', async (t) => {
    const { store, sink } = await setUp(t);
    store.clockOffset = -60 * 60_000;
    await sink.put(json('1'));
    await sink.put(json('2'));
    assert.deepEqual(
      [...store.answers],
      [
        ['403 RequestTimeTooSkewed', 1],
        ['200', 2],
      ],
    );
  });
});

describe('S3Sink through the gate', () => {
  async function putAll(store: FakeS3, sink: GatedSink, count: number) {
    await Promise.all(Array.from({ length: count }, (_, i) => sink.put(json(`${i}`, `${i}`))));
    for (let i = 0; i < count; i++) assert.equal(store.objects.get(`bucket/prefix/${i}`)?.body.toString(), `${i}`);
  }

  it('loses nothing to a store with a knee', async (t) => {
    const { store, sink } = await setUp(t);
    store.latency = 2;
    store.fault = aboveKnee(8);
    const gated = new GatedSink(sink);
    await putAll(store, gated, 500);
    assert.equal(gated.stats().stored, 500);
    assert.equal(store.stored, 500, 'each was stored once');
  });

  it('loses nothing to an outage, resets and lost answers', async (t) => {
    const { store, sink } = await setUp(t);
    const outage = times(8, slowDown());
    store.fault = (request) => {
      if (request.nth % 50 === 0) return { kind: 'lostAnswer' };
      if (request.nth % 31 === 0) return { kind: 'reset' };
      return request.nth > 100 ? outage() : undefined;
    };
    await putAll(store, new GatedSink(sink), 300);
    assert.equal(store.objects.size, 300, 'and none has two names');
  });
});

describe('openSink', () => {
  it('opens files and S3, and knows nothing else', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-open-'));
    t.after(() => rmSync(folder, { recursive: true }));
    for (const url of [`file:${folder}/a`, `file://${folder}/a`]) {
      const sink = await openSink(url);
      await sink.put(json('x'));
      assert.equal(readFileSync(join(folder, 'a/x'), 'utf8'), '{"a":1}');
      await sink.close();
    }
    const s3 = await openSink('s3://bucket/p?region=eu-west-1', {
      s3: { credentials: fakeCredentials, environment: {} },
    });
    assert.equal(s3.name, 's3://bucket/p/');
    await s3.close();
    await assert.rejects(openSink('ftp://x'), (error) => isError(error, 'SINK_UNKNOWN'));
  });

  it('names the option that is wrong', async () => {
    const rows: [url: string, S3Options, option: string][] = [
      ['s3://', {}, 'sink'],
      ['s3://bucket/../x', {}, 'sink'],
      ['s3://bucket', {}, 'region'],
      ['s3://bucket?rgion=x', {}, 'rgion'],
      ['s3://bucket', { endpoint: 'localhost:9000' }, 's3-endpoint'],
      ['s3://bucket', { region: 'eu/west' }, 'region'],
      ['s3://bucket', { checksum: 'sha1' as 'md5' }, 'checksum'],
      ['s3://bucket', { sse: 'DES' as 'AES256' }, 'sse'],
      ['s3://bucket', { storageClass: 'cold!' }, 'storageClass'],
    ];
    for (const [url, options, option] of rows) {
      const open = openSink(url, {
        s3: { credentials: fakeCredentials, environment: { HOME: '/nowhere' }, ...options },
      });
      await assert.rejects(
        open,
        (error) =>
          (isError(error, 'OPTION_INVALID') || isError(error, 'OPTION_UNKNOWN')) && error.fields.option === option,
        `${url} ${JSON.stringify(options)}`,
      );
    }
  });

  it('does not start without credentials', async () => {
    const environment = { HOME: '/nowhere', AWS_EC2_METADATA_DISABLED: 'true' };
    const open = openSink('s3://bucket', { s3: { region: 'us-east-1', environment } });
    await assert.rejects(open, (error) => isError(error, 'CREDENTIALS_MISSING'));
  });
});
