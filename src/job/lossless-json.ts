/**
 * JSON in which no integer loses a digit.
 *
 *   defineJob({ name: 'credit', codec: losslessJson, run: ({ account }: { account: number | bigint }) => … })
 *
 * An integer beyond ±(2⁵³ − 1) is read as a bigint, and a bigint is written as the integer it is, so ids of other systems
 * survive the way there and back. Every number comes back as the same number. A bigint that a number holds exactly comes
 * back as a number: JSON knows one kind of integer, and which of the two is meant is decided by size alone.
 *
 * Costs next to `json`: writing calls a function per value; reading does so only for texts with 16 digits in a row.
 */
import { type Codec, encode, textOf } from './codec.ts';
import { parseNumbers, rawJson } from './raw-json.ts';

export const losslessJson: Codec = {
  name: 'lossless-json',
  encode: (value, job) => encode(job, value, write),
  decode(bytes) {
    const text = textOf(bytes);
    return /\d{16}/.test(text) ? parseNumbers(text, read) : JSON.parse(text);
  },
};

function write(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return rawJson(String(value));
  // 2e60 would be written as an integer and come back as a bigint; with an exponent it stays a number.
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return rawJson(value.toExponential());
  }
  return value;
}

function read(value: number, source: string): unknown {
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(source) ? value : BigInt(source);
}
