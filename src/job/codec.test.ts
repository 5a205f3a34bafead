import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type Codec, decodePayload, json } from './codec.ts';
import { compressed } from './compressed.ts';
import { losslessJson } from './lossless-json.ts';

const through = (codec: Codec, value: unknown) => codec.decode(codec.encode(value, 'job'));

describe('json', () => {
  it('points to losslessJson when it meets a bigint', () => {
    assert.throws(() => json.encode({ id: 1n }, 'credit'), {
      code: 'MILLRACE_PAYLOAD_NOT_JSON',
      message: /job "credit".*codec: losslessJson/,
    });
    assert.throws(
      () => json.encode(undefined, 'credit'),
      (error: Error) => !error.message.includes('lossless'),
    );
  });
});

describe('losslessJson', () => {
  it('gives back every JSON value as json does', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => assert.deepEqual(through(losslessJson, value), through(json, value))),
    );
  });

  it('gives back integers beyond 2^53 as bigints, digit for digit', () => {
    const large = fc.bigInt().filter((n) => n > 2n ** 53n || n < -(2n ** 53n));
    fc.assert(fc.property(large, (id) => assert.deepEqual(through(losslessJson, { ids: [id] }), { ids: [id] })));
    assert.equal(Buffer.from(losslessJson.encode({ id: 2n ** 64n }, 'job')).toString(), '{"id":18446744073709551616}');
    assert.deepEqual(losslessJson.decode(Buffer.from('{"id":-9007199254740993}')), { id: -9007199254740993n });
  });

  it('gives back every number as the same number, large ones too', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => {
        assert.equal(through(losslessJson, n), n === 0 ? 0 : n);
      }),
    );
    assert.equal(through(losslessJson, 2 ** 60), 2 ** 60);
  });

  it('reads a bigint that a number can hold as a number, and digits in text as text', () => {
    assert.deepEqual(through(losslessJson, [5n, '12345678901234567890', 0.1234567890123456]), [
      5,
      '12345678901234567890',
      0.1234567890123456,
    ]);
  });
});

describe('compressed', () => {
  it('leaves small payloads as they are, and makes large ones smaller', () => {
    const large = { text: 'again '.repeat(1_000) };
    for (const method of ['gzip', 'zstd'] as const) {
      const codec = compressed(json, { method });
      assert.equal(Buffer.from(codec.encode({ n: 1 }, 'job')).toString(), '{"n":1}');
      assert.ok(codec.encode(large, 'job').length < 500);
      assert.deepEqual(through(codec, large), large);
    }
  });

  it('reads what it wrote before its threshold and its method changed', () => {
    const value = { text: 'again '.repeat(1_000) };
    for (const before of [compressed(), compressed(json, { method: 'zstd' }), compressed(json, { threshold: 1e6 })]) {
      assert.deepEqual(compressed(json, { threshold: 10 }).decode(before.encode(value, 'job')), value);
    }
  });

  it('gives back what only looks compressed', () => {
    const raw: Codec = { name: 'raw', encode: (value) => value as Uint8Array, decode: (bytes) => bytes };
    const looks = gzipSync('x');
    assert.deepEqual(Buffer.from(through(compressed(raw), looks) as Uint8Array), looks);
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom(0, 4, 1024), (bytes, threshold) => {
        const back = through(compressed(raw, { threshold }), bytes) as Uint8Array;
        assert.deepEqual(Buffer.from(back), Buffer.from(bytes));
      }),
    );
  });

  it('refuses to unfold more than maxSize', () => {
    const bomb = compressed().encode('0'.repeat(100_000), 'job');
    assert.throws(() => compressed(json, { maxSize: 10_000 }).decode(bomb), { code: 'ERR_BUFFER_TOO_LARGE' });
  });

  it('refuses options that cannot be', () => {
    for (const options of [{ threshold: -1 }, { method: 'lzw' }, { maxSize: 0 }]) {
      assert.throws(() => compressed(json, options as object), { code: 'MILLRACE_OPTION_INVALID' });
    }
    assert.throws(() => compressed(json, { level: 1 } as object), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });
});

describe('decodePayload', () => {
  it('lets no codec loose on the bytes of another one', () => {
    const payload = losslessJson.encode(1, 'job');
    assert.equal(decodePayload({ name: 'job', payload, headers: { codec: 'lossless-json' } }, losslessJson), 1);
    assert.equal(decodePayload({ name: 'job', payload }, json), 1);
    assert.throws(() => decodePayload({ name: 'job', payload }, losslessJson), {
      code: 'MILLRACE_CODEC_MISMATCH',
      fields: { name: 'job', expected: 'lossless-json', got: 'json' },
    });
  });
});
