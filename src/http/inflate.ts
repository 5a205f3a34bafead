/**
 * Content-Encoding undone, with the limit applied to what comes out, while it comes out.
 *
 * zlib runs in the thread pool and is stopped at the first output block that passes the limit, so a bomb costs one
 * `maxLength` and not its promise. At most `MAX_AT_ONCE` run at a time and the rest wait in line: however many
 * compressed bodies arrive together, the memory for what comes out of them is bounded.
 */
import * as zlib from 'node:zlib';
import { invalid } from './problem.ts';

export type Encoding = 'identity' | 'gzip' | 'deflate' | 'br' | 'zstd';

/** For the Accept-Encoding header of a 415. */
export const ENCODINGS = 'gzip, deflate, br, zstd';

/** As many as the thread pool has threads by default; more would only wait inside it, holding their memory. */
const MAX_AT_ONCE = 4;

/**
 * The one encoding a Content-Encoding header names, or undefined when it is not supported. Stacked encodings
 * (`gzip, br`) are not: each layer multiplies what a bomb can do, and nobody sends them.
 */
export function parseEncoding(header: string | undefined): Encoding | undefined {
  if (header === undefined) return 'identity';
  switch (header.trim().toLowerCase()) {
    case '':
    case 'identity':
      return 'identity';
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
      return 'deflate';
    case 'br':
      return 'br';
    case 'zstd':
      return 'zstd';
    default:
      return undefined;
  }
}

/** A frame may ask for a window of 128 MB before it gives a byte; RFC 9659 bounds it to 8 MB in HTTP. */
const zstdParams = { [zlib.constants.ZSTD_d_windowLogMax]: 23 };

interface Task {
  readonly packed: Buffer;
  readonly encoding: Encoding;
  readonly limit: number;
  done(error: Error | undefined, body: Buffer): void;
}

export class Inflater {
  #waiting: Task[] = [];
  #running = 0;

  /**
   * Calls `done` once: with the inflated bytes, or with REQUEST_INVALID (BODY_TOO_LARGE above `limit` bytes,
   * BODY_MALFORMED when the data is broken, cut short, or followed by something else).
   */
  inflate(packed: Buffer, encoding: Encoding, limit: number, done: (error: Error | undefined, body: Buffer) => void) {
    this.#waiting.push({ packed, encoding, limit, done });
    this.#next();
  }

  #next(): void {
    if (this.#running === MAX_AT_ONCE) return;
    const task = this.#waiting.shift();
    if (!task) return;
    this.#running++;
    const { packed, encoding, limit, done } = task;
    unpack(packed, encoding, limit, (error, body) => {
      this.#running--;
      this.#next();
      done(error, body);
    });
  }
}

/** What zlib hands over with the option `info`: the output, and the engine that knows how much input it took. */
type Unpacked = { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };

function unpack(packed: Buffer, encoding: Encoding, limit: number, done: Task['done']): void {
  const options = { maxOutputLength: limit, info: true };
  const finish = (error: NodeJS.ErrnoException | null, result: unknown) => {
    if (error?.code === 'ERR_BUFFER_TOO_LARGE') return done(tooLarge(limit), packed);
    if (error) return done(invalid('BODY_MALFORMED', `the body is not valid ${encoding}: ${error.message}`), packed);
    const { buffer, engine } = result as Unpacked;
    // zlib stops at the end of its data and says nothing of what follows; bytes that were sent must not vanish.
    if (engine.bytesWritten === packed.length) return done(undefined, compact(buffer));
    done(
      invalid('BODY_MALFORMED', `the ${encoding} data ends at byte ${engine.bytesWritten}, the body does not`),
      packed,
    );
  };
  if (encoding === 'gzip') zlib.gunzip(packed, options, finish);
  else if (encoding === 'br') zlib.brotliDecompress(packed, options, finish);
  else if (encoding === 'zstd') zlib.zstdDecompress(packed, { ...options, params: zstdParams }, finish);
  else if (hasZlibHeader(packed)) zlib.inflate(packed, options, finish);
  else zlib.inflateRaw(packed, options, finish);
}

/** zlib hands out a slice of its work space; alone, a body of a few bytes would keep all of it. */
function compact(buffer: Buffer): Buffer {
  if (buffer.buffer.byteLength < 2 * buffer.length) return buffer;
  const exact = Buffer.allocUnsafeSlow(buffer.length);
  buffer.copy(exact);
  return exact;
}

export function tooLarge(limit: number): Error {
  return invalid('BODY_TOO_LARGE', `the body has more than ${limit} bytes`);
}

/** `deflate` means the zlib format (RFC 9110, section 8.4.1.2), but some clients send the bare stream. */
function hasZlibHeader(packed: Buffer): boolean {
  const [method = 0, flags = 0] = packed;
  return (method & 0x0f) === 8 && (method * 256 + flags) % 31 === 0;
}
