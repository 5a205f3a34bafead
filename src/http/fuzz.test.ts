/**
 * 10,000 requests that are broken in every way we could think of, over real sockets.
 *
 *   MILLRACE_SEED=17 node --test src/http/fuzz.test.ts      repeats the run that printed seed 17
 *
 * Asserted: the door never crashes, every connection ends in bounded time, every answer is well-formed, and what was
 * stored is exactly what was sent completely: nothing in part, nothing altered, nothing answered 200 that is missing.
 *
 * How it knows: each request carries its own number in its payloads, and the generator says which payloads a request
 * holds if it may be stored at all.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as zlib from 'node:zlib';
import { FakeStore } from '../../test/support/fake-store.ts';
import { type Answer, post, RawClient } from '../../test/support/raw-http.ts';
import { FrontDoor } from './door.ts';
import { problemCodes, problemStatus } from './problem.ts';

const REQUESTS = 10_000;
const CONNECTIONS_AT_ONCE = 16;
const MAX_LENGTH = 4096;
/** A connection that is not over by then hangs, ms. Generous: it must hold on a busy machine. */
const PATIENCE = 10_000;

const seed = Number(process.env.MILLRACE_SEED ?? 20_260_101);
const random = mulberry32(seed);
const below = (n: number) => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;

/** What to send, how to end, and the payloads if all of it is a collection that may be stored. */
interface Mutant {
  readonly kind: string;
  readonly bytes: Buffer;
  readonly ending: 'end' | 'abort' | 'wait';
  readonly payloads?: readonly string[];
}

/** A collection as text, with what it holds. The number makes each one unlike any other. */
function collection(number: number): { json: string; payloads: string[] } {
  const values = Array.from({ length: 1 + below(4) }, (_, i) => ({ request: number, i, text: pick(texts) }));
  const payloads = values.map((value) => JSON.stringify(value, null, pick([0, 1])));
  const list = `[${payloads.join(pick([',', ' , ', ',\n']))}]`;
  return {
    json: pick([list, `{"version":"1","token":"t","data":${list}}`, `{"payloads":${list},"more":[[]]}`]),
    payloads,
  };
}

const texts = ['', 'plain', 'ü€😀', '"quoted\\" ]}', '\u0000\n\t', '{"data":[1]}'];
const garbage = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));

/** Replaces, removes or inserts a few bytes. */
function wound(bytes: Buffer): Buffer {
  let result = bytes;
  for (let i = 1 + below(3); i > 0; i--) {
    const at = below(result.length + 1);
    const put = pick([
      Buffer.alloc(0),
      garbage(1),
      Buffer.from(pick([',', '"', '}', ']', '\\', '{"', '\r\n', '\0', ':'])),
    ]);
    result = Buffer.concat([result.subarray(0, at), put, result.subarray(at + below(3))]);
  }
  return result;
}

const packers: [string, (body: string | Buffer) => Buffer][] = [
  ['gzip', (body) => zlib.gzipSync(body)],
  ['deflate', (body) => zlib.deflateSync(body)],
  ['br', (body) => zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } })],
  ['zstd', (body) => zlib.zstdCompressSync(body)],
];
const bombs = packers.map(([encoding, pack]) =>
  post(pack(Buffer.alloc(2_000_000, 0x20)), { 'content-encoding': encoding }),
);

function chunked(body: string, size = () => 1 + below(40)): Buffer {
  const bytes = Buffer.from(body);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const part = bytes.subarray(at, at + size());
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
    at += part.length;
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

const chunkedHead = post('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });

/** Each makes one kind of request. Those that send a collection whole declare its payloads; no other may be stored. */
const makers: Record<string, (json: string, payloads: string[]) => Omit<Mutant, 'kind'>> = {
  whole: (json, payloads) => ({ bytes: post(json), ending: 'end', payloads }),
  'whole, chunked': (json, payloads) => ({
    bytes: Buffer.concat([chunkedHead, chunked(json)]),
    ending: 'end',
    payloads,
  }),
  'whole, packed': (json, payloads) => {
    const [encoding, pack] = pick(packers);
    return { bytes: post(pack(json), { 'content-encoding': encoding }), ending: 'end', payloads };
  },
  'whole, a line each': (_, payloads) => {
    const lines = payloads.map((payload) => JSON.stringify(JSON.parse(payload)));
    return {
      bytes: post(lines.join(pick(['\n', '\r\n\n'])), { 'content-type': 'application/x-ndjson' }),
      ending: 'end',
      payloads: lines,
    };
  },
  'a line of many is broken': (json, payloads) => {
    const lines = payloads.map((payload) => JSON.stringify(JSON.parse(payload)));
    lines.splice(below(lines.length + 1), 0, json.slice(0, -1));
    return { bytes: post(lines.join('\n'), { 'content-type': 'application/x-ndjson' }), ending: 'end' };
  },
  'followed by noise': (json, payloads) => ({
    bytes: Buffer.concat([post(json), Buffer.of(0), garbage(20)]),
    ending: 'end',
    payloads,
  }),
  'whole, then gone': (json, payloads) => ({ bytes: post(json), ending: 'abort', payloads }),
  'cut short': (json) => {
    const bytes = post(json);
    return { bytes: bytes.subarray(0, below(bytes.length)), ending: pick(['end', 'abort']) };
  },
  'cut short, chunked': (json) => {
    const bytes = Buffer.concat([chunkedHead, chunked(json)]);
    // The last two bytes only end the (empty) trailers; without them the message is not over either.
    return { bytes: bytes.subarray(0, below(bytes.length)), ending: pick(['end', 'abort']) };
  },
  'cut short, and the client waits': (json) => ({ bytes: post(json).subarray(0, -1 - below(20)), ending: 'wait' }),
  'a length that is too long': (json) => ({
    bytes: post(json, { 'content-length': String(Buffer.byteLength(json) + 1 + below(99)) }),
    ending: 'end',
  }),
  'a length that is too short': (json) => ({
    bytes: post(json, { 'content-length': String(below(Buffer.byteLength(json))) }),
    ending: 'end',
  }),
  'a length that is none': (json) => ({
    bytes: post(json, { 'content-length': pick(['-1', 'x', '1e3', '0x10', '9'.repeat(30), '3, 3', '']) }),
    ending: 'end',
  }),
  'a length and chunks': (json) => ({
    bytes: Buffer.concat([post('', { 'content-length': '5', 'transfer-encoding': 'chunked' }), chunked(json)]),
    ending: 'end',
  }),
  'broken chunks': (json) => ({
    bytes: Buffer.concat([chunkedHead, wound(Buffer.from(`${garbage(2).toString('hex')}\r\n`)), wound(chunked(json))]),
    ending: 'end',
  }),
  'huge chunks': () => ({
    bytes: Buffer.concat([chunkedHead, Buffer.from(`ffffff\r\n${'['.repeat(MAX_LENGTH + 100)}`)]),
    ending: 'end',
  }),
  'a broken request line': (json) => {
    const line = pick([
      'POST',
      'POST /payloads',
      'POST /payloads HTTP/9.9',
      'PO ST / HTTP/1.1',
      '\0 / HTTP/1.1',
      'POST  HTTP/1.1',
      garbage(20).toString('latin1'),
    ]);
    return { bytes: Buffer.from(`${line}\r\nhost: x\r\ncontent-length: 3\r\n\r\n${json}`, 'latin1'), ending: 'end' };
  },
  'broken headers': (json) => {
    const header = pick([
      'no colon',
      ': no name',
      'a b: c',
      'x: \0',
      ' folded',
      'content-length: 3',
      'transfer-encoding: gzip',
      'x:\ry',
      `y: ${'x'.repeat(30_000)}`,
    ]);
    return {
      bytes: Buffer.from(
        post(json)
          .toString('latin1')
          .replace('\r\n', () => `\r\n${header}\r\n`),
        'latin1',
      ),
      ending: 'end',
    };
  },
  'unusable headers': (json) => {
    const [name, value] = pick([
      ['content-type', 'text/xml'],
      ['content-type', '; charset'],
      ['content-encoding', 'gzip, gzip'],
      ['content-encoding', 'lzma'],
      ['idempotency-key', ''],
      ['expect', 'x'],
      ['host', undefined],
    ] as const);
    return { bytes: post(json, { [name]: value }), ending: 'end' };
  },
  'packed, then wounded': (json) => {
    const [encoding, pack] = pick(packers);
    const packed = pack(json);
    // At least one byte short: a wound alone may fall on bytes that do not matter.
    return { bytes: post(packed.subarray(0, below(packed.length)), { 'content-encoding': encoding }), ending: 'end' };
  },
  'packed by another': (json) => {
    const [[encoding], [, pack]] = pick([0, 1, 2, 3].map((i) => [packers[i], packers[(i + 1) % 4]])) as [
      [string, never],
      [never, (body: string) => Buffer],
    ];
    return { bytes: post(pack(json), { 'content-encoding': encoding }), ending: 'end' };
  },
  'a bomb': () => ({ bytes: pick(bombs), ending: 'end' }),
  'broken JSON': (json) => ({ bytes: post(json.slice(0, -1 - below(json.length))), ending: 'end' }),
  'not UTF-8': (json) => {
    const bytes = Buffer.from(json);
    const at = below(bytes.length);
    return {
      bytes: post(
        Buffer.concat([bytes.subarray(0, at), Buffer.of(pick([0xff, 0xc0, 0x80, 0xfe])), bytes.subarray(at)]),
      ),
      ending: 'end',
    };
  },
  'no collection': (json) => ({
    bytes: post(pick([`{"x":${json}}`, '1', '{}', `{"data":${json},"payloads":[]}`, '['.repeat(2000)])),
    ending: 'end',
  }),
  'too large': (json) => ({ bytes: post(json + ' '.repeat(MAX_LENGTH)), ending: 'end' }),
  noise: () => ({ bytes: garbage(below(300)), ending: 'end' }),
};

/** Wounds that may leave the request whole by chance: what is stored then cannot be foretold, only be well-formed. */
const gambles: Record<string, (json: string) => Buffer> = {
  'a wounded request': (json) => wound(post(json)),
  'a wounded body': (json) => post(wound(Buffer.from(json))),
};

it(`survives ${REQUESTS} malformed requests and stores nothing in part (seed ${seed})`, async () => {
  const store = new FakeStore();
  const options = { maxLength: MAX_LENGTH, bodyTimeout: 300, headersTimeout: 300, maxQueue: 1e6 };
  const door = new FrontDoor({ add: (group) => store.add(group), job: 'upload', port: 0, ...options });
  await door.start();
  const mayBeStored = new Map<string, Mutant>();
  const accepted: Mutant[] = [];
  const names = Object.keys(makers);
  let sent = 0;

  const worker = async () => {
    while (sent < REQUESTS) {
      const number = sent++;
      const mutant = makeMutant(number, names);
      if (mutant.payloads) mayBeStored.set(JSON.stringify(mutant.payloads), mutant);
      const answers = await deliver(door.url, mutant, number);
      for (const answer of answers) assertWellFormed(answer, `${number}: ${mutant.kind}`);
      if (mutant.payloads && answers.some(({ status }) => status === 200)) accepted.push(mutant);
      if (mutant.kind.startsWith('whole') && mutant.ending === 'end') {
        assert.deepEqual(
          answers.map(({ status }) => status),
          [200],
          `${number}: ${mutant.kind}`,
        );
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, worker));
    const stored = new Set(store.stored.map((payloads) => JSON.stringify(payloads)));
    assert.equal(stored.size, store.groups.length, 'a collection was stored twice');
    for (const group of stored) assert.ok(mayBeStored.has(group), `stored, but not sent whole: ${group}`);
    for (const { payloads, kind } of accepted)
      assert.ok(stored.has(JSON.stringify(payloads)), `answered 200, but not stored: ${kind}`);
    assert.ok(accepted.length > REQUESTS / 100, 'the test should accept some');
  } finally {
    await door.stop();
  }
});

it('stays well-formed when chance decides what is left of a request', async () => {
  const store = new FakeStore();
  const door = new FrontDoor({ add: (group) => store.add(group), job: 'upload', port: 0, maxLength: MAX_LENGTH });
  await door.start();
  try {
    for (let number = 0; number < 500; number++) {
      const [kind, make] = pick(Object.entries(gambles));
      const mutant: Mutant = { kind, bytes: make(collection(number).json), ending: 'end' };
      for (const answer of await deliver(door.url, mutant, number)) assertWellFormed(answer, `${number}: ${kind}`);
    }
    for (const payload of store.stored.flat()) JSON.parse(payload);
  } finally {
    await door.stop();
  }
});

function makeMutant(number: number, names: readonly string[]): Mutant {
  // The few that make the client wait cost 300 ms or more each.
  const kind = names[number % names.length] as string;
  if (kind.endsWith('waits') && number % 10 !== 0) return makeMutant(number + 1, names);
  const { json, payloads } = collection(number);
  return { kind, ...(makers[kind] as (typeof makers)[string])(json, payloads) };
}

/** Sends it, in one piece or in several, and waits for the end of the connection. Rejects when that does not come. */
async function deliver(url: string, mutant: Mutant, number: number): Promise<readonly Answer[]> {
  const client = await RawClient.connect(url);
  const at = below(2) * below(mutant.bytes.length);
  if (at > 0) client.send(mutant.bytes.subarray(0, at));
  if (at > 0) await new Promise(setImmediate);
  client.send(mutant.bytes.subarray(at));
  if (mutant.ending === 'end') client.end();
  if (mutant.ending === 'abort') client.abort();
  const { promise, reject } = Promise.withResolvers<never>();
  const hangs = setTimeout(
    () => reject(new Error(`${number}: ${mutant.kind} hangs: ${mutant.bytes.toString('latin1').slice(0, 500)}`)),
    PATIENCE,
  );
  try {
    await Promise.race([client.ended(), promise]);
  } finally {
    clearTimeout(hangs);
    client.abort();
  }
  return client.answers;
}

function assertWellFormed({ status, headers, body }: Answer, what: string): void {
  if (status === 200) {
    assert.match(body, /^\{"accepted":\d+\}$/, what);
    return;
  }
  assert.equal(headers['content-type'], 'application/problem+json', what);
  const { code } = JSON.parse(body);
  assert.ok(problemCodes.includes(code) && code !== 'INTERNAL', `${what}: ${body}`);
  assert.equal(status, problemStatus(code), what);
}

/** Small, fast, and the same everywhere: the seed decides the run. */
function mulberry32(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
