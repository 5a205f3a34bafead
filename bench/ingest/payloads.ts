/**
 * The collection that is posted, and the numbers that tell its payloads apart.
 *
 *   {"version":"1.0","token":"bench","data":[{"n":100000000014,…},{"n":100000000015,…}]}      291 bytes
 *                                                 ────────────          ────────────
 *                                                 written in place, always twelve digits
 *
 * Request r carries the payloads 2r and 2r + 1. A payload arrives in the store as the bytes that were sent, so its number
 * stands at the same place of its line there.
 */

export const PER_REQUEST = 2;
/** The size that the field's figures were taken with. */
const BODY_LENGTH = 291;
/** The smallest number of twelve digits: no leading zero, which JSON would not allow. */
const BASE = 100_000_000_000;
const DIGITS = 12;
const PREFIX = '{"n":';

const payload = (path: string) =>
  `${PREFIX}${BASE},"event":"view","user":"4f1c9ae2","at":"2026-01-01T00:00:00Z","path":"${path}"}`;
const collection = (path: string) => `{"version":"1.0","token":"bench","data":[${payload('/')},${payload(path)}]}`;

const body = Buffer.from(collection('/'.padEnd(1 + BODY_LENGTH - collection('/').length, 'a')));
const offsets = [body.indexOf(PREFIX), body.lastIndexOf(PREFIX)].map((at) => at + PREFIX.length);

/** A whole request whose payloads can be numbered again and again, without a new allocation. */
export class NumberedRequest {
  readonly bytes: Buffer;
  readonly #bodyAt: number;

  constructor(host: string, path: string) {
    const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    this.bytes = Buffer.concat([Buffer.from(head), body]);
    this.#bodyAt = head.length;
  }

  /** Only when the bytes of the request before have left: they are the same bytes. */
  number(request: number): void {
    offsets.forEach((offset, i) => {
      let rest = BASE + request * PER_REQUEST + i;
      for (let digit = DIGITS - 1; digit >= 0; digit--) {
        this.bytes[this.#bodyAt + offset + digit] = 0x30 + (rest % 10);
        rest = Math.floor(rest / 10);
      }
    });
  }
}

/** Calls `found` with the number of each payload of an object: NDJSON, or a single payload. */
export function eachNumber(object: Buffer, found: (n: number) => void): void {
  for (let line = 0; line < object.length; ) {
    let n = 0;
    const from = line + PREFIX.length;
    for (let at = from; at < from + DIGITS; at++) n = n * 10 + ((object[at] ?? 0) - 0x30);
    found(n - BASE);
    const end = object.indexOf(0x0a, from);
    line = end < 0 ? object.length : end + 1;
  }
}
