import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { type BodyLimits, BodyReader } from './body.ts';
import type { Encoding } from './inflate.ts';

const limits = { maxLength: 1000, maxInFlight: 100_000, timeout: 10_000, minRate: 10 };

function setUp(options: Partial<BodyLimits> = {}) {
  const clock = new VirtualClock();
  return { clock, reader: new BodyReader({ ...limits, clock, ...options }) };
}

/** Starts a read of what the test writes into `stream`. */
function read(reader: BodyReader, encoding: Encoding = 'identity') {
  const stream = new PassThrough();
  const calls: [Error | undefined, Buffer][] = [];
  const { promise: result, resolve } = Promise.withResolvers<Buffer | string>();
  reader.read(stream as unknown as IncomingMessage, encoding, (error, body) => {
    calls.push([error, body]);
    resolve(isError(error, 'REQUEST_INVALID') ? error.fields.problem : body);
  });
  return { stream, calls, result };
}

describe('BodyReader', () => {
  it('hands a body in one piece on as it is', async () => {
    const { reader } = setUp();
    const { stream, result } = read(reader);
    const piece = Buffer.from('[1]');
    stream.end(piece);
    assert.equal(await result, piece);
  });

  it('puts any pieces together, and counts their bytes until they are released', async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 15 });
    await fc.assert(
      fc.asyncProperty(pieces, async (parts) => {
        const { reader, clock } = setUp();
        const { stream, result } = read(reader);
        for (const part of parts) stream.write(part);
        stream.end();
        const body = (await result) as Buffer;
        assert.deepEqual(body, Buffer.concat(parts));
        assert.equal(reader.inFlight, body.length + 1024);
        reader.release(body);
        assert.equal(reader.inFlight, 0);
        reader.close();
        assert.equal(clock.pending, 0);
      }),
    );
  });

  it('takes a body of exactly the limit and not one byte more, as sent or as inflated', async () => {
    const { reader } = setUp();
    for (const [size, outcome] of [
      [1000, 1000],
      [1001, 'BODY_TOO_LARGE'],
    ] as const) {
      for (const [encoding, pack] of [
        ['identity', Buffer.from],
        ['gzip', gzipSync],
        ['br', brotliCompressSync],
      ] as const) {
        const { stream, result } = read(reader, encoding);
        stream.end(pack(Buffer.alloc(size, 0x20)));
        const body = await result;
        assert.equal(typeof body === 'string' ? body : body.length, outcome, encoding);
        if (typeof body !== 'string') reader.release(body);
      }
    }
    assert.equal(reader.inFlight, 0);
  });

  it('does not hold more compressed bodies than there is room for, and gives all of them back', async () => {
    const { reader } = setUp({ maxInFlight: 6000 });
    const packed = gzipSync(Buffer.alloc(1000));
    const results = await Promise.all(
      Array.from({ length: 20 }, () => {
        const { stream, result } = read(reader, 'gzip');
        stream.end(packed);
        return result;
      }),
    );
    const bodies = results.filter((result) => typeof result !== 'string');
    assert.ok(bodies.length >= 1 && bodies.length <= 5, `${bodies.length} of 20`);
    for (const result of results) {
      if (typeof result === 'string') assert.equal(result, 'BUSY');
      else reader.release(result);
    }
    assert.equal(reader.inFlight, 0);
  });

  it('forgets a body whose client went away, without a word', async () => {
    const { reader } = setUp();
    const { stream, calls } = read(reader);
    stream.write('[1');
    stream.destroy();
    await new Promise((resolve) => stream.once('close', resolve));
    assert.deepEqual(calls, []);
    assert.equal(reader.inFlight, 0);
  });

  it('gives a slow body up once, and has no timer when nothing is being read', async () => {
    const { reader, clock } = setUp({ timeout: 2000 });
    const { stream, calls, result } = read(reader);
    stream.write('[1');
    await clock.advance(2000);
    assert.equal(calls.length, 0);
    await clock.advance(1000);
    assert.equal(await result, 'BODY_TOO_SLOW');
    stream.end(']');
    await new Promise(setImmediate);
    assert.equal(calls.length, 1);
    assert.equal(reader.inFlight, 0);
    assert.equal(clock.pending, 0);
  });

  it('lets a body be as slow as the rate allows', async () => {
    const { reader, clock } = setUp({ timeout: 60_000, minRate: 10 });
    const steady = read(reader);
    const late = read(reader);
    for (let second = 0; second < 8; second++) {
      steady.stream.write('x'.repeat(11));
      late.stream.write('x'.repeat(second < 3 ? 15 : 0));
      await clock.advance(1000);
    }
    assert.equal(await late.result, 'BODY_TOO_SLOW');
    steady.stream.end();
    assert.equal(((await steady.result) as Buffer).length, 88);
    reader.close();
  });
});
