/** Payloads as bytes: UTF-8 JSON. */
import { MillraceError } from '../errors.ts';

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
