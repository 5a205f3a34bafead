import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import * as zlib from 'node:zlib';
import { FakeStore } from '../../test/support/fake-store.ts';
import { type Answer, post, RawClient } from '../../test/support/raw-http.ts';
import { VirtualClock } from '../clock.ts';
import { isError, MillraceError } from '../errors.ts';
import { stressService } from '../testing/stress.ts';
import { FrontDoor } from './door.ts';
import type { FrontDoorOptions } from './options.ts';

/** A running door in front of a fake store, with a client; all is gone when the test ends. */
async function setUp(t: TestContext, options: Partial<FrontDoorOptions> = {}) {
  const store = new FakeStore();
  const door = new FrontDoor({ add: (group) => store.add(group), job: 'upload', port: 0, ...options });
  await door.start();
  const clients: RawClient[] = [];
  t.after(async () => {
    for (const client of clients) client.abort();
    await door.stop();
  });
  const connect = async () => {
    const client = await RawClient.connect(door.url);
    clients.push(client);
    return client;
  };
  return { store, door, connect, client: await connect() };
}

const get = (path: string, method = 'GET', headers = '') =>
  `${method} ${path} HTTP/1.1\r\nhost: test\r\n${headers}\r\n`;

/** The answer is this problem, as RFC 9457 wants it. Returns its document. */
function assertProblem(answer: Answer, status: number, code: string): Record<string, unknown> {
  assert.equal(`${answer.status} ${answer.body}`.includes(`"code":"${code}"`), true, `${answer.status} ${answer.body}`);
  const document = JSON.parse(answer.body);
  assert.equal(answer.status, status);
  assert.equal(document.status, status);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  for (const member of ['type', 'title', 'detail']) assert.equal(typeof document[member], 'string', member);
  return document;
}

function assertRetryAfter(answer: Answer): void {
  const seconds = Number(answer.headers['retry-after']);
  assert.ok(
    Number.isInteger(seconds) && seconds >= 1 && seconds <= 30,
    `Retry-After: ${answer.headers['retry-after']}`,
  );
}

describe('POST /payloads: bodies', () => {
  const accepted: [title: string, body: string, type: string, payloads: string[]][] = [
    ['{"data":[…]}', '{"version":"1","token":"t","data":[{"a": 1},2]}', 'application/json', ['{"a": 1}', '2']],
    ['{"payloads":[…]}', '{"payloads":["x"]}', 'application/json; charset=utf-8', ['"x"']],
    ['a bare array', ' [ 1.50 , null ] ', 'Application/JSON', ['1.50', 'null']],
    ['NDJSON', '{"a":1}\r\n\n[2]\n', 'application/x-ndjson', ['{"a":1}', '[2]']],
  ];
  for (const [title, body, type, payloads] of accepted) {
    it(`takes ${title} and stores the bytes that were sent`, async (t) => {
      const { client, store } = await setUp(t);
      const answer = await client.send(post(body, { 'content-type': type })).next();
      assert.equal(answer.status, 200);
      assert.equal(answer.body, `{"accepted":${payloads.length}}`);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.deepEqual(store.stored, [payloads]);
    });
  }

  it('makes each payload a job as the options say', async (t) => {
    const { client, store } = await setUp(t, { queue: 'q', priority: 2, maxAttempts: 7, maxQueue: 50 });
    await client.send(post('[1]')).next();
    const payload = Buffer.from('1');
    const [group] = store.groups;
    assert.equal(group?.maxWaiting, 50);
    const [job] = group?.jobs ?? [];
    assert.deepEqual(
      { ...job, payload: Buffer.from(job?.payload ?? []) },
      { queue: 'q', name: 'upload', payload, priority: 2, maxAttempts: 7 },
    );
  });

  const encodings: [string, (body: string) => Buffer][] = [
    ['identity', (body) => Buffer.from(body)],
    ['gzip', (body) => zlib.gzipSync(body)],
    ['x-gzip', (body) => zlib.gzipSync(body)],
    ['deflate', (body) => zlib.deflateSync(body)],
    ['deflate', (body) => zlib.deflateRawSync(body)],
    ['br', (body) => zlib.brotliCompressSync(body)],
    ['zstd', (body) => zlib.zstdCompressSync(body)],
  ];
  for (const [encoding, encode] of encodings) {
    it(`takes Content-Encoding ${encoding}`, async (t) => {
      const { client, store } = await setUp(t);
      const answer = await client.send(post(encode('[{"n":1},{"n":2}]'), { 'content-encoding': encoding })).next();
      assert.equal(answer.body, '{"accepted":2}');
      assert.deepEqual(store.stored, [['{"n":1}', '{"n":2}']]);
    });
  }

  it('takes a chunked body in pieces of one byte', async (t) => {
    const { client, store } = await setUp(t);
    const head = post('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    const body = '[{"a":1},{"b":"ü"}]';
    const chunks = [...Buffer.from(body)].map((byte) =>
      Buffer.concat([Buffer.from('1\r\n'), Buffer.of(byte), Buffer.from('\r\n')]),
    );
    client.send(head);
    for (const chunk of chunks) client.send(chunk);
    assert.equal((await client.send('0\r\n\r\n').next()).status, 200);
    assert.deepEqual(store.stored, [['{"a":1}', '{"b":"ü"}']]);
  });

  it('takes an empty collection without troubling the backend', async (t) => {
    const { client, store } = await setUp(t);
    assert.equal((await client.send(post('[]')).next()).body, '{"accepted":0}');
    assert.equal(store.calls, 0);
  });
});

describe('POST /payloads: 200', () => {
  it('comes only when the collection is durable', async (t) => {
    const { client, store } = await setUp(t);
    const release = store.hold();
    client.send(post('[1]'));
    while (store.calls === 0) await new Promise(setImmediate);
    assert.equal(client.answers.length, 0);
    release();
    assert.equal((await client.next()).status, 200);
  });

  it('reaches a client that ended its side when all was sent', async (t) => {
    const { client, store } = await setUp(t);
    const release = store.hold();
    client.send(post('[1]')).end();
    while (store.calls === 0) await new Promise(setImmediate);
    release();
    assert.equal((await client.next()).status, 200);
    await client.ended();
  });

  it('adds the ids when they are preferred', async (t) => {
    const { client } = await setUp(t);
    const answer = await client.send(post('[1,2]', { prefer: 'respond-async, return=representation; x=1' })).next();
    assert.deepEqual(JSON.parse(answer.body), { accepted: 2, ids: ['id-0', 'id-1'] });
    assert.equal(answer.headers['preference-applied'], 'return=representation');
    const minimal = await client.send(post('[1]', { prefer: 'return=minimal' })).next();
    assert.equal(minimal.body, '{"accepted":1}');
  });

  it('keeps the connection, and answers pipelined requests in their order', async (t) => {
    const { client } = await setUp(t);
    client.send(Buffer.concat([post('[1]'), post('[1,2]'), Buffer.from(get('/healthz')), post('[1,2,3]')]));
    const bodies = [await client.next(), await client.next(), await client.next(), await client.next()].map(
      ({ body }) => body,
    );
    assert.deepEqual(bodies, ['{"accepted":1}', '{"accepted":2}', '{"alive":true}', '{"accepted":3}']);
  });
});

describe('POST /payloads: 400', () => {
  it('says where malformed JSON is broken, and keeps the connection', async (t) => {
    const { client, store } = await setUp(t);
    const document = assertProblem(await client.send(post('[1,\n2')).next(), 400, 'BODY_MALFORMED');
    assert.match(String(document.detail), /line 2, column 2 \(byte 5\)/);
    assert.equal((await client.send(post('[1]')).next()).status, 200);
    assert.deepEqual(store.stored, [['1']]);
  });

  it('says in which line NDJSON is broken, and stores no line of it', async (t) => {
    const { client, store } = await setUp(t);
    const answer = await client.send(post('1\n2\n{\n', { 'content-type': 'application/x-ndjson' })).next();
    assert.match(String(assertProblem(answer, 400, 'BODY_MALFORMED').detail), /line 3/);
    assert.equal(store.calls, 0);
  });

  for (const encoding of ['gzip', 'deflate', 'br', 'zstd']) {
    it(`refuses ${encoding} that is broken, cut short or followed by something`, async (t) => {
      const { client, store } = await setUp(t);
      const pack = {
        gzip: zlib.gzipSync,
        deflate: zlib.deflateSync,
        br: zlib.brotliCompressSync,
        zstd: zlib.zstdCompressSync,
      };
      const whole = pack[encoding as keyof typeof pack](`[${'1,'.repeat(500)}1]`);
      for (const body of [
        whole.subarray(0, -3),
        Buffer.concat([whole, Buffer.from('[2]')]),
        Buffer.from('[1]'),
        Buffer.alloc(0),
      ]) {
        assertProblem(await client.send(post(body, { 'content-encoding': encoding })).next(), 400, 'BODY_MALFORMED');
      }
      assert.equal(store.calls, 0);
    });
  }

  it('refuses what is not HTTP, and closes', async (t) => {
    const { client } = await setUp(t);
    const answer = await client.send('HELLO\r\n\r\n').next();
    assertProblem(answer, 400, 'REQUEST_MALFORMED');
    assert.equal(answer.headers.connection, 'close');
    await client.end().ended();
  });

  it('answers what was asked before the broken bytes first', async (t) => {
    const { client, store } = await setUp(t);
    const release = store.hold();
    client.send(Buffer.concat([post('[1]'), Buffer.from('\u0000\u0001\u0002 garbage\r\n\r\n')]));
    while (store.calls === 0) await new Promise(setImmediate);
    release();
    assert.equal((await client.next()).status, 200);
    assertProblem(await client.next(), 400, 'REQUEST_MALFORMED');
    await client.end().ended();
  });

  it('refuses broken chunking once, stores nothing, and closes', async (t) => {
    const { client, store } = await setUp(t);
    const head = post('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    client.send(head).send('3\r\n[1]\r\nXYZ\r\n');
    assertProblem(await client.next(), 400, 'REQUEST_MALFORMED');
    await client.end().ended();
    assert.equal(client.answers.length, 0);
    assert.equal(store.calls, 0);
  });

  it('refuses a request without Host', async (t) => {
    const { client } = await setUp(t);
    assertProblem(await client.send(post('[1]', { host: undefined })).next(), 400, 'REQUEST_MALFORMED');
  });
});

describe('POST /payloads: 405, 404', () => {
  it('other methods are refused with Allow; OPTIONS tells it', async (t) => {
    const { client } = await setUp(t);
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await client.send(get('/payloads', method)).next();
      assertProblem(answer, 405, 'METHOD_NOT_ALLOWED');
      assert.equal(answer.headers.allow, 'POST, OPTIONS');
    }
    assertProblem(await client.send(get('/metrics', 'POST')).next(), 405, 'METHOD_NOT_ALLOWED');
    const options = await client.send(get('/payloads', 'OPTIONS')).next();
    assert.equal(options.status, 204);
    assert.equal(options.headers.allow, 'POST, OPTIONS');
    client.expectsHead = true;
    assert.equal((await client.send(get('/payloads', 'HEAD')).next()).status, 405);
    assert.equal((await client.send(get('/healthz', 'HEAD')).next()).status, 200);
  });

  it('other paths are not found; a query or a whole address does not matter', async (t) => {
    const { client } = await setUp(t);
    for (const path of ['/', '/payload', '/payloads/', '/constructor', '*', 'http://test/__proto__']) {
      assertProblem(await client.send(get(path, path === '*' ? 'OPTIONS' : 'GET')).next(), 404, 'NOT_FOUND');
    }
    assert.equal((await client.send(get('/healthz?x=1')).next()).status, 200);
    assert.equal((await client.send(get('http://test/healthz?x')).next()).status, 200);
  });
});

describe('POST /payloads: 408', () => {
  it('a body that takes too long in all is given up, and the connection closed', async (t) => {
    const clock = new VirtualClock();
    const { client, store } = await setUp(t, { clock, bodyTimeout: 3000 });
    client.send(post('[1]', { 'content-length': '4' }));
    await untilWaiting(clock);
    await clock.advance(4000);
    const answer = await client.next();
    assertProblem(answer, 408, 'BODY_TOO_SLOW');
    assert.equal(answer.headers.connection, 'close');
    await client.send(' ').end().ended();
    assert.equal(store.calls, 0);
  });

  it('a body that trickles is given up before its time', async (t) => {
    const clock = new VirtualClock();
    const { client } = await setUp(t, { clock, bodyTimeout: 60_000, minBodyRate: 100 });
    client.send(post('[1]', { 'content-length': '4' }));
    await untilWaiting(clock);
    await clock.advance(6000);
    assert.match(String(assertProblem(await client.next(), 408, 'BODY_TOO_SLOW').detail), /100 bytes per second/);
    client.end();
  });

  it('headers that do not come are given up', async (t) => {
    const { client } = await setUp(t, { headersTimeout: 50 });
    assertProblem(await client.send('POST /payloads HTTP/1.1\r\nho').next(), 408, 'BODY_TOO_SLOW');
    await client.end().ended();
  });

  it('a client that goes away in the middle stores nothing', async (t) => {
    const { client, connect, store, door } = await setUp(t);
    client.send(post('[1]', { 'content-length': '4' }));
    await untilMetric(door, /bytes_in_flight 10(27|24)/);
    client.abort();
    await untilMetric(door, /bytes_in_flight 0/);
    const other = await connect();
    other.send(post('[1]', { 'content-length': '10' })).end();
    assertProblem(await other.next(), 400, 'REQUEST_MALFORMED');
    await other.ended();
    assert.equal(store.calls, 0);
  });
});

describe('POST /payloads: 413', () => {
  it('a Content-Length over the limit is refused before the body is sent', async (t) => {
    const { client, store } = await setUp(t, { maxLength: 100 });
    const answer = await client.send(post('', { 'content-length': '10000000' })).next();
    assertProblem(answer, 413, 'BODY_TOO_LARGE');
    assert.equal(answer.headers.connection, 'close');
    // The client is still sending; it can do so, and the answer is not lost to a reset.
    await client.send('['.repeat(100_000)).end().ended();
    assert.equal(store.calls, 0);
  });

  it('a little too much is read and dropped, and the connection goes on', async (t) => {
    const { client } = await setUp(t, { maxLength: 100 });
    assertProblem(await client.send(post('x'.repeat(101))).next(), 413, 'BODY_TOO_LARGE');
    assert.equal((await client.send(post(`[${' '.repeat(98)}]`)).next()).status, 200);
  });

  it('a chunked body is stopped at the limit', async (t) => {
    const { client, store } = await setUp(t, { maxLength: 100 });
    const head = post('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    const answer = await client
      .send(head)
      .send(`ffff\r\n${'x'.repeat(200)}`)
      .next();
    assertProblem(answer, 413, 'BODY_TOO_LARGE');
    assert.equal(answer.headers.connection, 'close');
    client.end();
    assert.equal(store.calls, 0);
  });

  for (const [encoding, pack] of Object.entries({
    gzip: zlib.gzipSync,
    deflate: zlib.deflateSync,
    br: zlib.brotliCompressSync,
    zstd: zlib.zstdCompressSync,
  })) {
    it(`a ${encoding} bomb is stopped at the limit as it inflates`, async (t) => {
      const { client, store } = await setUp(t, { maxLength: 20_000 });
      const bomb = pack(Buffer.alloc(10_000_000, 0x20));
      assert.ok(bomb.length < 20_000);
      assertProblem(await client.send(post(bomb, { 'content-encoding': encoding })).next(), 413, 'BODY_TOO_LARGE');
      assert.equal(store.calls, 0);
    });
  }

  it('a collection of too many payloads is refused, also one that the queue could never hold', async (t) => {
    const { client } = await setUp(t, { maxQueue: 2, maxPayloads: 10 });
    assertProblem(await client.send(post('[1,2,3]')).next(), 413, 'TOO_MANY_PAYLOADS');
    assert.equal((await client.send(post('[1,2]')).next()).status, 200);
  });
});

describe('a connection after its last answer', () => {
  it('is not listened to: what comes behind would be stored and nobody told', async (t) => {
    const { client, store } = await setUp(t, { maxLength: 100 });
    const head = post('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    client.send(Buffer.concat([head, Buffer.from(`c8\r\n${'x'.repeat(200)}\r\n0\r\n\r\n`), post('[1]')]));
    assertProblem(await client.next(), 413, 'BODY_TOO_LARGE');
    await client.end().ended();
    assert.equal(client.answers.length, 0);
    assert.equal(store.calls, 0);
  });

  it('is cut when the client does not end it', async (t) => {
    const clock = new VirtualClock();
    const { client } = await setUp(t, { clock });
    await client.send('garbage\r\n\r\n').next();
    await untilWaiting(clock);
    await clock.advance(1000);
    await client.ended();
    assert.equal(clock.pending, 0);
  });
});

describe('POST /payloads: 415, 417, 422', () => {
  it('other content types and charsets are refused with what is accepted', async (t) => {
    const { client } = await setUp(t);
    for (const type of [undefined, 'text/plain', 'application/jsonp', 'application/json; charset=latin1', '']) {
      const answer = await client.send(post('[1]', { 'content-type': type })).next();
      assertProblem(answer, 415, 'TYPE_UNSUPPORTED');
      assert.match(answer.headers['accept-post'] ?? '', /application\/json/);
    }
  });

  it('other and stacked encodings are refused with what is accepted', async (t) => {
    const { client } = await setUp(t);
    for (const encoding of ['compress', 'gzip, br', 'gzip;q=1']) {
      const answer = await client.send(post('[1]', { 'content-encoding': encoding })).next();
      assertProblem(answer, 415, 'ENCODING_UNSUPPORTED');
      assert.equal(answer.headers['accept-encoding'], 'gzip, deflate, br, zstd');
    }
  });

  it('an expectation is met or refused before the body', async (t) => {
    const { client, connect } = await setUp(t, { maxLength: 100 });
    const [head = '', body = ''] = post('[1]', { expect: '100-continue' }).toString().split('\r\n\r\n');
    assert.equal((await client.send(`${head}\r\n\r\n`).next()).status, 100);
    assert.equal((await client.send(body).next()).status, 200);
    const tooLarge = await client.send(post('', { expect: '100-continue', 'content-length': '101' })).next();
    assertProblem(tooLarge, 413, 'BODY_TOO_LARGE');
    assert.equal(tooLarge.headers.connection, 'close');
    const other = await connect();
    assertProblem(await other.send(post('[1]', { expect: 'a miracle' })).next(), 417, 'EXPECTATION_FAILED');
  });

  it('JSON that is no collection is refused', async (t) => {
    const { client, store } = await setUp(t);
    for (const body of ['1', '{}', '{"data":3}', '{"data":[1],"data":[2]}']) {
      assertProblem(await client.send(post(body)).next(), 422, 'NOT_A_COLLECTION');
    }
    assert.equal(store.calls, 0);
  });
});

describe('POST /payloads: 431', () => {
  it('headers that are too large are refused, and the connection closed', async (t) => {
    const { client } = await setUp(t);
    const answer = await client.send(post('[1]', { 'x-large': 'x'.repeat(20_000) })).next();
    assertProblem(answer, 431, 'HEADERS_TOO_LARGE');
    assert.equal(answer.headers.connection, 'close');
    await client.end().ended();
  });
});

describe('POST /payloads: 503 and 429', () => {
  const full = async () => ({ status: 'full', queue: 'default', waiting: 100, limit: 100 }) as const;

  it('a full queue is told with Retry-After; for a moment without asking the backend, then it is asked again', async (t) => {
    const clock = new VirtualClock();
    const { client, store } = await setUp(t, { clock, maxQueue: 100 });
    store.instead = full;
    const answer = await client.send(post('[1]')).next();
    assertProblem(answer, 503, 'QUEUE_FULL');
    assertRetryAfter(answer);
    assertProblem(await client.send(post('[1]')).next(), 503, 'QUEUE_FULL');
    assert.equal(store.calls, 1);
    store.instead = undefined;
    await clock.advance(100);
    assert.equal((await client.send(post('[1]')).next()).status, 200);
  });

  it('while the queue is full the body is not even read', async (t) => {
    const { client } = await setUp(t, { maxQueue: 100, waiting: () => 100, drainRate: () => 2 });
    const answer = await client.send(post('', { 'content-length': '1000000' })).next();
    assertProblem(answer, 503, 'QUEUE_FULL');
    assert.equal(answer.headers['retry-after'], '5');
    assert.equal(answer.headers.connection, 'close');
  });

  it('a backend that is away is told with Retry-After, logged once, and asked again soon', async (t) => {
    const clock = new VirtualClock();
    const lines: string[] = [];
    const { client, store } = await setUp(t, {
      clock,
      log: (level, message) => void lines.push(`${level} ${message}`),
    });
    store.instead = () => Promise.reject(new Error('gone'));
    for (let i = 0; i < 3; i++) {
      const answer = await client.send(post('[1]')).next();
      assertProblem(answer, 503, 'BACKEND_AWAY');
      assertRetryAfter(answer);
      assert.ok(!answer.body.includes('gone'));
      await clock.advance(100);
    }
    assert.equal(store.calls, 3);
    assert.deepEqual(lines, ['warn the backend cannot store payloads']);
    store.instead = undefined;
    assert.equal((await client.send(post('[1]')).next()).status, 200);
  });

  it('a backend that does not answer may have stored it, and the sender hears so', async (t) => {
    const clock = new VirtualClock();
    const { client, store } = await setUp(t, { clock });
    const away = { backend: 'test', reason: 'no answer' };
    store.instead = () => Promise.reject(new MillraceError('BACKEND_UNAVAILABLE', { ...away, unsure: true }));
    const unsure = await client.send(post('[1]')).next();
    assertProblem(unsure, 503, 'BACKEND_AWAY');
    assert.match(unsure.body, /may have been stored, whole; sent again with the same Idempotency-Key/);
    await clock.advance(100);
    store.instead = () => Promise.reject(new MillraceError('BACKEND_UNAVAILABLE', away));
    assert.match((await client.send(post('[1]')).next()).body, /nothing of this request was stored/);
    assert.equal(store.calls, 2);
  });

  it('more bytes in flight than allowed are told to come later', async (t) => {
    const { client, connect, store } = await setUp(t, { maxLength: 1000, maxInFlight: 3000 });
    const release = store.hold();
    client.send(post(`["${'a'.repeat(900)}"]`));
    while (store.calls === 0) await new Promise(setImmediate);
    const other = await connect();
    const answer = await other.send(post(`["${'b'.repeat(900)}"]`)).next();
    assertProblem(answer, 503, 'BUSY');
    assertRetryAfter(answer);
    release();
    assert.equal((await client.next()).status, 200);
    assert.equal((await other.send(post(`["${'b'.repeat(900)}"]`)).next()).status, 200);
  });

  it('over the configured rate it is 429 with Retry-After', async (t) => {
    const clock = new VirtualClock();
    const { client, store } = await setUp(t, { clock, rate: 2 });
    for (let i = 0; i < 2; i++) assert.equal((await client.send(post('[1]')).next()).status, 200);
    const answer = await client.send(post('[1]')).next();
    assertProblem(answer, 429, 'RATE_EXCEEDED');
    assertRetryAfter(answer);
    await clock.advance(500);
    assert.equal((await client.send(post('[1]')).next()).status, 200);
    assert.equal(store.calls, 3);
  });
});

describe('POST /payloads: Idempotency-Key', () => {
  it('a repeat answers the same and stores nothing, however it is compressed', async (t) => {
    const { client, store } = await setUp(t);
    const headers = { 'idempotency-key': 'order 17', prefer: 'return=representation' };
    const first = await client.send(post('[1,2]', headers)).next();
    const again = await client.send(post('[1,2]', headers)).next();
    const packed = await client.send(post(zlib.gzipSync('[1,2]'), { ...headers, 'content-encoding': 'gzip' })).next();
    assert.equal(first.status, 200);
    assert.equal(again.body, first.body);
    assert.equal(packed.body, first.body);
    assert.equal(store.groups.length, 1);
    assert.equal(store.groups[0]?.once?.ttl, 24 * 60 * 60 * 1000);
  });

  it('the key with another body is refused', async (t) => {
    const { client, store } = await setUp(t);
    await client.send(post('[1]', { 'idempotency-key': 'k' })).next();
    assertProblem(await client.send(post('[2]', { 'idempotency-key': 'k' })).next(), 422, 'IDEMPOTENCY_MISMATCH');
    const lines = { 'idempotency-key': 'k', 'content-type': 'application/x-ndjson' };
    assertProblem(await client.send(post('[1]', lines)).next(), 422, 'IDEMPOTENCY_MISMATCH');
    assert.equal(store.groups.length, 1);
  });

  it('an unusable key is refused', async (t) => {
    const { client } = await setUp(t);
    assert.equal((await client.send(post('[1]', { 'idempotency-key': 'k'.repeat(255) })).next()).status, 200);
    for (const key of ['', 'k'.repeat(256), 'clé']) {
      assertProblem(await client.send(post('[1]', { 'idempotency-key': key })).next(), 400, 'IDEMPOTENCY_KEY_INVALID');
    }
  });
});

describe('Authorization', () => {
  it('is asked for when tokens are configured; each of them opens', async (t) => {
    const { client, store } = await setUp(t, { tokens: ['old', 'new'] });
    for (const authorization of [undefined, 'Bearer wrong', 'Bearer ', 'Basic b2xk', 'Bearer old new', 'old']) {
      const answer = await client.send(post('[1]', { authorization })).next();
      assertProblem(answer, 401, 'TOKEN_INVALID');
      assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer realm="millrace"/);
    }
    assert.equal(store.calls, 0);
    for (const authorization of ['Bearer old', 'bearer new']) {
      assert.equal((await client.send(post('[1]', { authorization })).next()).status, 200);
    }
  });

  it('guards the metrics too, but not the probes', async (t) => {
    const { client } = await setUp(t, { tokens: ['t'] });
    assertProblem(await client.send(get('/metrics')).next(), 401, 'TOKEN_INVALID');
    assert.equal((await client.send(get('/metrics', 'GET', 'authorization: Bearer t\r\n')).next()).status, 200);
    assert.equal((await client.send(get('/healthz')).next()).status, 200);
    assert.equal((await client.send(get('/readyz')).next()).status, 200);
  });

  it('is needed beyond loopback, unless told otherwise', () => {
    const make = (options: Partial<FrontDoorOptions>) =>
      new FrontDoor({ add: new FakeStore().add, job: 'upload', ...options });
    for (const host of ['0.0.0.0', '::', '192.0.2.1', '127.example.com', '']) {
      assert.throws(
        () => make({ host }),
        (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'host',
        host,
      );
      make({ host, insecure: true });
      make({ host, tokens: ['t'] });
    }
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) make({ host });
  });
});

describe('GET', () => {
  it('/readyz says whether a post would be taken', async (t) => {
    let backend = async () => {};
    let waiting = 0;
    const { client } = await setUp(t, { readiness: () => backend(), waiting: () => waiting, maxQueue: 10 });
    assert.equal((await client.send(get('/readyz')).next()).status, 200);
    backend = () => Promise.reject(new Error('the file is locked'));
    const away = assertProblem(await client.send(get('/readyz')).next(), 503, 'NOT_READY');
    assert.equal(away.detail, 'the file is locked');
    backend = async () => {};
    waiting = 10;
    assert.equal(assertProblem(await client.send(get('/readyz')).next(), 503, 'NOT_READY').detail, 'the queue is full');
    assert.equal((await client.send(get('/healthz')).next()).status, 200);
  });

  it('/readyz does not wait for ever', async (t) => {
    const clock = new VirtualClock();
    const { client } = await setUp(t, { clock, readiness: () => new Promise(() => {}) });
    client.send(get('/readyz'));
    await untilWaiting(clock);
    await clock.advance(5000);
    assertProblem(await client.next(), 503, 'NOT_READY');
    assert.equal(clock.pending, 0);
  });

  it('/metrics counts what was accepted and refused, beside the metrics of others', async (t) => {
    const extra = { name: 'millrace_waiting', help: 'Jobs.', type: 'gauge', samples: [{ value: 3 }] } as const;
    const { client } = await setUp(t, { metrics: () => [extra] });
    await client.send(post('[1,2]')).next();
    await client.send(post('[')).next();
    const { body, headers } = await client.send(get('/metrics')).next();
    assert.match(headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'millrace_http_requests_total{status="200"} 1',
      'millrace_http_refused_total{code="BODY_MALFORMED"} 1',
      'millrace_http_payloads_total{result="stored"} 2',
      'millrace_http_body_bytes_total{result="stored"} 5',
      'millrace_http_request_duration_seconds_count 2',
      'millrace_http_connections 1',
      'millrace_http_bytes_in_flight 0',
      'millrace_waiting 3',
    ]) {
      assert.ok(body.includes(`\n${line}\n`), `${line}\n${body}`);
    }
  });

  it('a fault of our own costs one request, and is logged', async (t) => {
    const lines: string[] = [];
    const metrics = () => {
      throw new Error('oops');
    };
    const { client } = await setUp(t, { metrics, log: (level) => void lines.push(level) });
    assertProblem(await client.send(get('/metrics')).next(), 500, 'INTERNAL');
    assert.equal((await client.send(post('[1]')).next()).status, 200);
    assert.deepEqual(lines, ['error']);
  });
});

describe('memory', () => {
  const bodies = { plain: ['[1]', {}], packed: [zlib.gzipSync('[1]'), { 'content-encoding': 'gzip' }] } as const;
  for (const [title, [body, headers]] of Object.entries(bodies)) {
    it(`of a ${title} body is its own: a payload keeps nothing else alive`, async (t) => {
      const { client, store } = await setUp(t);
      client.send(Buffer.concat([post(body, headers), post(body, headers)]));
      await client.next();
      await client.next();
      for (const { jobs } of store.groups) assert.equal(jobs[0]?.payload.buffer.byteLength, 3);
    });
  }
});

describe('stop', () => {
  it('finishes what was begun, tells the client that it is the last answer, and takes nothing new', async (t) => {
    const { client, connect, store, door } = await setUp(t);
    const idle = await connect();
    const half = await connect();
    half.send(post('[2]', { 'content-length': '4' }));
    const release = store.hold();
    client.send(post('[1]'));
    while (store.calls === 0) await new Promise(setImmediate);
    await untilMetric(door, /bytes_in_flight 2054/);
    const { url } = door;
    const stopped = door.stop();
    await idle.ended();
    await assert.rejects(RawClient.connect(url));
    half.send(' ');
    while (store.calls === 1) await new Promise(setImmediate);
    release();
    for (const each of [client, half]) {
      const answer = await each.next();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.connection, 'close');
      await each.ended();
    }
    await stopped;
  });

  it('ends a connection whose answer is on its way when the answer is out', async (t) => {
    const clock = new VirtualClock();
    // Too much for the socket's buffers, so that the answer cannot be out before the door is told to stop.
    const large = { name: 'm', help: 'x'.repeat(20_000_000), type: 'gauge', samples: [] } as const;
    const told = Promise.withResolvers<Promise<void>>();
    const metrics = () => {
      queueMicrotask(() => told.resolve(door.stop()));
      return [large];
    };
    const { client, door } = await setUp(t, { clock, metrics });
    client.send(get('/metrics'));
    await told.promise;
    assert.equal((await client.next()).status, 200);
    await client.ended();
    assert.equal(door.state, 'stopped');
  });

  it('cuts off what takes longer than the grace', async (t) => {
    const clock = new VirtualClock();
    const { client, door } = await setUp(t, { clock, stopGrace: 700 });
    client.send(post('[1]', { 'content-length': '4' }));
    await untilWaiting(clock);
    const stopped = door.stop();
    await untilWaiting(clock, 2);
    await clock.advance(700);
    await client.ended();
    await stopped;
    assert.equal(clock.pending, 0);
  });

  it('survives any order of start and stop', async () => {
    await stressService(() => new FrontDoor({ add: new FakeStore().add, job: 'upload', port: 0 }));
  });

  it('a port that is taken is told, and the door can be opened later', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const door = new FrontDoor({ add: new FakeStore().add, job: 'upload', port });
    await assert.rejects(door.start(), (error) => isError(error, 'LISTEN_FAILED') && error.fields.port === port);
    assert.throws(
      () => door.url,
      (error) => isError(error, 'NOT_RUNNING'),
    );
    other.close();
    await once(other, 'close');
    await door.start();
    assert.equal(door.url, `http://127.0.0.1:${port}`);
    await door.stop();
  });
});

describe('options', () => {
  it('that cannot work are refused by name', () => {
    const wrong: Partial<FrontDoorOptions>[] = [
      { port: 65_536 },
      { port: 1.5 },
      { priority: 10 },
      { maxQueue: 0 },
      { maxLength: 0 },
      { maxInFlight: 10 },
      { rate: 0 },
      { rate: Number.NaN },
      { bodyTimeout: -1 },
      { tokens: [''] },
      { tokens: ['two words'] },
      { job: '' },
    ];
    for (const options of wrong) {
      const [option] = Object.keys(options);
      const make = () => new FrontDoor({ add: new FakeStore().add, job: 'upload', ...options });
      assert.throws(make, (error) => isError(error, 'OPTION_INVALID') && error.fields.option === option, option);
    }
  });
});

/** The door has come to wait for something: as many timers are set. */
async function untilWaiting(clock: VirtualClock, timers = 1): Promise<void> {
  while (clock.pending < timers) await new Promise(setImmediate);
}

async function untilMetric(door: FrontDoor, pattern: RegExp): Promise<void> {
  for (;;) {
    const client = await RawClient.connect(door.url);
    const { body } = await client.send(get('/metrics')).next();
    client.abort();
    if (pattern.test(body)) return;
  }
}
