/**
 * Payloads and results as bytes: UTF-8 JSON, unless a job has a codec of its own.
 *
 *   json              the default
 *   losslessJson      JSON whose large integers are bigints (lossless-json.ts)
 *   compressed(…)     another codec, compressed from a size on (compressed.ts)
 */
import { MillraceError } from '../errors.ts';

/** Two functions that undo each other. Both may throw: an encode refuses the enqueue, a decode fails the attempt. */
export interface Codec {
  /** Stored with each job, so that another codec is not let loose on its bytes. `json` is not stored. */
  readonly name: string;
  /** @param job the job's name, for messages */
  encode(value: unknown, job: string): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/** The header that names the codec of a job's payload; absent for `json`. */
export const codecHeader = 'codec';

/** What reading a payload needs to know of a job, running or looked at. */
interface Encoded {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Throws PAYLOAD_NOT_JSON for what JSON cannot hold (undefined, a function, a bigint, a cycle).
 * @param replace as in `JSON.stringify`
 */
export function encode(name: string, payload: unknown, replace?: (key: string, value: unknown) => unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(payload, replace);
  } catch (cause) {
    const hint = /BigInt/.test(String(cause)) ? 'a job with `codec: losslessJson` may have bigints' : undefined;
    throw new MillraceError('PAYLOAD_NOT_JSON', { name, got: payload, hint }, { cause });
  }
  if (text === undefined) throw new MillraceError('PAYLOAD_NOT_JSON', { name, got: payload });
  return Buffer.from(text);
}

/** The payload that `encode` was given. */
export function decode(bytes: Uint8Array): unknown {
  return JSON.parse(textOf(bytes));
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The default. */
export const json: Codec = { name: 'json', encode: (value, job) => encode(job, value), decode };

/** Throws CODEC_MISMATCH when another codec wrote the payload, and what `decode` throws. */
export function decodePayload(job: Encoded, codec: Codec): unknown {
  const got = job.headers?.[codecHeader] ?? json.name;
  if (got !== codec.name) throw new MillraceError('CODEC_MISMATCH', { name: job.name, expected: codec.name, got });
  return codec.decode(job.payload);
}
