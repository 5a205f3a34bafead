/**
 * A body in, its payloads out, as slices of the very bytes that were sent.
 *
 *   {"token":"t","data":[ {"n":1} , "two" ]}        {"n":1}⏎
 *                         ───┬───   ──┬──           ───┬───
 *                            └────────┴── subarrays ───┘        nothing is re-encoded, nothing is copied
 *
 * JSON: `{…,"data":[…]}`, `{…,"payloads":[…]}` or a bare array. NDJSON: a payload a line; blank lines are skipped, CRLF
 * is fine. All of the body must be well-formed, also what is not a payload. An empty collection is a collection.
 *
 * A body that names its list twice is refused: `JSON.parse` would take the last and drop the first, and what is
 * answered 200 must not be dropped. A byte order mark is skipped (RFC 8259, section 8.1).
 */
import { isUtf8 } from 'node:buffer';
import {
  BACKSLASH,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COMMA,
  malformed,
  OPEN_ARRAY,
  OPEN_OBJECT,
  place,
  skipKey,
  skipSpace,
  skipString,
  skipValue,
} from './json.ts';
import { invalid } from './problem.ts';

export type CollectionKind = 'json' | 'ndjson';

const LINE_FEED = 0x0a;

/** The keys that may hold the list, as they stand in a body. */
const listKeys = ['data', 'payloads'] as const;
const quotedKeys = listKeys.map((key) => Buffer.from(JSON.stringify(key)));

/** What a body turned out to be: the list, or why it is none. */
interface Shape {
  payloads?: Uint8Array[];
  fault?: string;
}

/**
 * The payloads of a body, in order. Throws REQUEST_INVALID: BODY_MALFORMED with the place, NOT_A_COLLECTION,
 * NESTED_TOO_DEEP, or TOO_MANY_PAYLOADS as soon as there are more than `limit`.
 */
export function splitCollection(body: Buffer, kind: CollectionKind, limit: number): Uint8Array[] {
  if (!isUtf8(body)) throw invalid('BODY_MALFORMED', `${place(body, firstBadByte(body))}: the body is not UTF-8`);
  const start = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  return kind === 'json' ? splitJson(body, start, limit) : splitLines(body, start, limit);
}

function splitJson(body: Buffer, from: number, limit: number): Uint8Array[] {
  const shape: Shape = {};
  const start = skipSpace(body, from);
  const end = scanCollection(body, start, shape, limit);
  const rest = skipSpace(body, end);
  if (rest !== body.length) throw malformed(body, rest, 'the end of the body');
  // Only now: a body that is broken as well as misshapen is told of the first, which is the one to repair first.
  if (shape.fault !== undefined) throw invalid('NOT_A_COLLECTION', shape.fault);
  if (!shape.payloads)
    throw invalid('NOT_A_COLLECTION', 'expected an array, or an object with an array `data` or `payloads`');
  return shape.payloads;
}

function scanCollection(body: Buffer, at: number, shape: Shape, limit: number): number {
  if (body[at] === OPEN_ARRAY) return scanList(body, at, shape, limit);
  if (body[at] === OPEN_OBJECT) return scanMembers(body, at, shape, limit);
  return skipValue(body, at);
}

function scanMembers(body: Buffer, open: number, shape: Shape, limit: number): number {
  let at = skipSpace(body, open + 1);
  if (body[at] === CLOSE_OBJECT) return at + 1;
  for (;;) {
    const value = skipKey(body, at);
    const key = listKey(body, at);
    if (key === undefined) at = skipValue(body, value);
    else if (shape.payloads) {
      shape.fault = 'the body has more than one list of payloads; it may have one `data` or one `payloads`';
      at = skipValue(body, value);
    } else if (body[value] === OPEN_ARRAY) {
      at = scanList(body, value, shape, limit);
    } else {
      shape.fault = `\`${key}\` should be an array`;
      at = skipValue(body, value);
    }
    at = skipSpace(body, at);
    if (body[at] === CLOSE_OBJECT) return at + 1;
    if (body[at] !== COMMA) throw malformed(body, at, '`,` or `}`');
    at = skipSpace(body, at + 1);
  }
}

function scanList(body: Buffer, open: number, shape: Shape, limit: number): number {
  const payloads: Uint8Array[] = [];
  shape.payloads = payloads;
  let at = skipSpace(body, open + 1);
  if (body[at] === CLOSE_ARRAY) return at + 1;
  for (;;) {
    const end = skipValue(body, at);
    keep(payloads, body.subarray(at, end), limit);
    at = skipSpace(body, end);
    if (body[at] === CLOSE_ARRAY) return at + 1;
    if (body[at] !== COMMA) throw malformed(body, at, '`,` or `]`');
    at = skipSpace(body, at + 1);
  }
}

function splitLines(body: Buffer, from: number, limit: number): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  // White space between values includes the line feeds, so this also steps over blank lines.
  for (let at = skipSpace(body, from); at < body.length; at = skipSpace(body, at)) {
    const feed = body.indexOf(LINE_FEED, at);
    // The scanner sees nothing behind this line: a value that is cut short cannot go on in the next one.
    const upToHere = feed === -1 ? body : body.subarray(0, feed);
    const end = skipValue(upToHere, at);
    const rest = skipSpace(upToHere, end);
    if (rest !== upToHere.length) throw malformed(upToHere, rest, 'the end of the line');
    keep(payloads, body.subarray(at, end), limit);
    at = rest;
  }
  return payloads;
}

/** Bounded, because a list of one-byte payloads would cost a hundred times its size in slices. */
function keep(payloads: Uint8Array[], payload: Uint8Array, limit: number): void {
  if (payloads.length === limit) throw invalid('TOO_MANY_PAYLOADS', `more than ${limit} payloads in one collection`);
  payloads.push(payload);
}

/** Which list the key at `at` names, if any. A key with escapes (`"d\u0061ta"`) is decoded first. */
function listKey(body: Buffer, at: number): string | undefined {
  const end = skipString(body, at);
  for (let i = 0; i < listKeys.length; i++) if (equals(body, at, end, quotedKeys[i] as Buffer)) return listKeys[i];
  for (let i = at; i < end; i++) {
    if (body[i] === BACKSLASH) {
      const key: unknown = JSON.parse(body.toString('utf8', at, end));
      return listKeys.find((name) => name === key);
    }
  }
  return undefined;
}

function equals(body: Buffer, start: number, end: number, text: Buffer): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (body[start + i] !== text[i]) return false;
  return true;
}

/** Decoding puts U+FFFD where bytes are wrong; the first one that was not sent as such marks the place. */
function firstBadByte(body: Buffer): number {
  const text = body.toString();
  let at = 0;
  let from = 0;
  for (let i = text.indexOf('\ufffd'); i !== -1; i = text.indexOf('\ufffd', i + 1)) {
    at += Buffer.byteLength(text.slice(from, i));
    if (body[at] !== 0xef || body[at + 1] !== 0xbf || body[at + 2] !== 0xbd) return at;
    from = i;
  }
  return at;
}
