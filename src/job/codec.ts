/** Payloads and results as bytes: UTF-8 JSON, unless a job has a codec of its own. */
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

/** Throws PAYLOAD_NOT_JSON for what JSON cannot hold (undefined, a function, a bigint, a cycle). */
export function encode(name: string, payload: unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (cause) {
    throw new MillraceError('PAYLOAD_NOT_JSON', { name, got: payload }, { cause });
  }
  if (text === undefined) throw new MillraceError('PAYLOAD_NOT_JSON', { name, got: payload });
  return Buffer.from(text);
}

/** The payload that `encode` was given. */
export function decode(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
}

/** The default. */
export const json: Codec = { name: 'json', encode: (value, job) => encode(job, value), decode };
