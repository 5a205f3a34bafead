/**
 * A codec around another one: what it wrote is compressed from a size on.
 *
 *   defineJob({ name: 'import', codec: compressed(), run: … })
 *
 * Small payloads stay byte for byte what the inner codec wrote. What was compressed is known by the first bytes of its
 * format, so the method and the threshold may change while jobs of before wait. Compression happens in the call, on the
 * calling thread.
 */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { assertKnown, assertOption } from '../errors.ts';
import { type Codec, json } from './codec.ts';

export interface CompressedOptions {
  /** Payloads of fewer bytes stay as they are. Integer from 0. Default 1,024. */
  readonly threshold?: number;
  /** `'gzip'` is read everywhere; `'zstd'` is faster and smaller. Default `'gzip'`. */
  readonly method?: 'gzip' | 'zstd';
  /** Longest payload after decompression, bytes: a small one that unfolds without end fails its attempt. Default 64 MiB. */
  readonly maxSize?: number;
}

const methods = {
  gzip: { magic: [0x1f, 0x8b], pack: gzipSync, unpack: gunzipSync },
  zstd: { magic: [0x28, 0xb5, 0x2f, 0xfd], pack: zstdCompressSync, unpack: zstdDecompressSync },
} as const;
const known = { threshold: true, method: true, maxSize: true } as const satisfies Record<keyof CompressedOptions, true>;

export function compressed(codec: Codec = json, options: CompressedOptions = {}): Codec {
  assertKnown(options, known);
  const { threshold = 1024, method = 'gzip', maxSize = 64 * 1024 * 1024 } = options;
  assertOption('threshold', threshold, Number.isInteger(threshold) && threshold >= 0, 'an integer from 0');
  assertOption('method', method, Object.hasOwn(methods, method), "'gzip' or 'zstd'");
  assertOption('maxSize', maxSize, Number.isInteger(maxSize) && maxSize >= 1, 'an integer from 1');
  return {
    name: `compressed(${codec.name})`,
    encode(value, job) {
      const bytes = codec.encode(value, job);
      // Bytes that look compressed are compressed whatever their size, or reading would take them for it.
      return bytes.length < threshold && !formatOf(bytes) ? bytes : methods[method].pack(bytes);
    },
    decode(bytes) {
      const format = formatOf(bytes);
      return codec.decode(format ? format.unpack(bytes, { maxOutputLength: maxSize }) : bytes);
    },
  };
}

function formatOf(bytes: Uint8Array) {
  return Object.values(methods).find(({ magic }) => magic.every((byte, i) => bytes[i] === byte));
}
