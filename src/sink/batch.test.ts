import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { encodeBatch } from './batch.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);

describe('encodeBatch', () => {
  it('puts one payload on a line, in order, as the bytes that were sent', async () => {
    const body = await encodeBatch([bytes('{"a": 1}'), bytes('2'), bytes('"é"')], 'none');
    assert.equal(text(body), '{"a": 1}\n2\n"é"\n');
  });

  it('makes one line of a payload that was sent over several', async () => {
    const sent = bytes('{\r\n  "a": "x\\ny",\n  "b": 2\n}');
    const body = await encodeBatch([sent, bytes('1')], 'none');
    assert.equal(text(body), '{    "a": "x\\ny",   "b": 2 }\n1\n');
    assert.ok(sent.includes(0x0a), 'the payload itself is left alone');
    assert.equal(text(await encodeBatch([bytes('[1,\r2]')], 'none')), '[1, 2]\n', 'a lone carriage return too');
  });

  it('makes an empty body of no payloads', async () => {
    assert.equal((await encodeBatch([], 'none')).length, 0);
  });

  it('gives every JSON value back, whatever its layout and compression', async () => {
    const layout = fc.constantFrom(undefined, 2, '\t', '\r\n'.slice(0, 1));
    const inflate = { none: (b: Uint8Array) => b, gzip: gunzipSync, zstd: zstdDecompressSync };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.jsonValue(), layout), { maxLength: 20 }),
        fc.constantFrom('none' as const, 'gzip' as const, 'zstd' as const),
        async (values, compression) => {
          const payloads = values.map(([value, space]) => bytes(JSON.stringify(value, undefined, space)));
          const lines = text(inflate[compression](await encodeBatch(payloads, compression))).split('\n');
          assert.equal(lines.pop(), '');
          assert.deepEqual(
            lines.map((line) => JSON.parse(line)),
            values.map(([value]) => JSON.parse(JSON.stringify(value))),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});
