/**
 * Many payloads as one object: NDJSON, a payload a line, in the order given, perhaps compressed.
 *
 * A payload arrives as the bytes that were sent. Only a payload that was sent over several lines changes: its line
 * breaks become spaces. JSON allows no raw line break inside a string, so they were whitespace.
 *
 * Costs: one copy of the payloads; compression runs on libuv's threads. Level 1 of either: on batches of JSON it packs
 * nearly as well as the higher ones at a fraction of the time.
 */
import { promisify } from 'node:util';
import { constants, gzip, zstdCompress } from 'node:zlib';

export type Compression = 'none' | 'gzip' | 'zstd';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;

const encoders: Readonly<Record<Compression, (lines: Uint8Array) => Promise<Uint8Array>>> = {
  none: async (lines) => lines,
  gzip: (lines) => promisify(gzip)(lines, { level: 1 }),
  zstd: (lines) => promisify(zstdCompress)(lines, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
};

/** One line per payload, each ended by a newline, then compressed. No payloads make an empty body. */
export function encodeBatch(payloads: readonly Uint8Array[], compression: Compression): Promise<Uint8Array> {
  return encoders[compression](joinLines(payloads));
}

function joinLines(payloads: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const payload of payloads) size += payload.length + 1;
  const lines = Buffer.allocUnsafe(size);
  let at = 0;
  for (const payload of payloads) {
    lines.set(payload, at);
    if (payload.includes(LINE_FEED) || payload.includes(CARRIAGE_RETURN)) {
      blankLineBreaks(lines.subarray(at, at + payload.length));
    }
    at += payload.length;
    lines[at++] = LINE_FEED;
  }
  return lines;
}

function blankLineBreaks(line: Uint8Array): void {
  for (let i = 0; i < line.length; i++) {
    if (line[i] === LINE_FEED || line[i] === CARRIAGE_RETURN) line[i] = SPACE;
  }
}
