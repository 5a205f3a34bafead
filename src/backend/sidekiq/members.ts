/**
 * The members of a JSON object as bytes, so that one can be changed without touching the others: numbers keep their digits,
 * strings their escapes, and what is no UTF-8 stays what it is.
 *
 * Only for text that `JSON.parse` takes: it is not checked again here. O(bytes), one pass.
 */

export type Members = Map<string, Buffer>;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;

/** The values of the top level, as they are written, without the blanks around them. Of two of one name the last counts. */
export function readMembers(json: Buffer): Members {
  const members: Members = new Map();
  let at = skipBlanks(json, skipBlanks(json, 0) + 1);
  while (json[at] === quote) {
    const nameEnd = endOfString(json, at);
    const name = JSON.parse(json.toString('utf8', at, nameEnd)) as string;
    const from = skipBlanks(json, skipBlanks(json, nameEnd) + (json[skipBlanks(json, nameEnd)] === colon ? 1 : 0));
    const to = endOfValue(json, from);
    members.set(name, json.subarray(from, to));
    at = skipBlanks(json, to);
    if (json[at] === comma) at = skipBlanks(json, at + 1);
  }
  return members;
}

/** The object again. Values of `changes` are JSON; undefined takes a member away, and new ones come last. */
export function writeMembers(members: Members, changes: Readonly<Record<string, string | undefined>> = {}): Buffer {
  const parts: Buffer[] = [];
  const add = (name: string, value: Buffer) => {
    parts.push(Buffer.from(`${parts.length === 0 ? '{' : ','}${JSON.stringify(name)}:`), value);
  };
  for (const [name, value] of members) {
    const change = Object.hasOwn(changes, name) ? changes[name] : value;
    if (change !== undefined) add(name, typeof change === 'string' ? Buffer.from(change) : change);
  }
  for (const [name, value] of Object.entries(changes)) {
    if (value !== undefined && !members.has(name)) add(name, Buffer.from(value));
  }
  if (parts.length === 0) parts.push(Buffer.from('{'));
  return Buffer.concat([...parts, Buffer.from('}')]);
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x0a || json[at] === 0x0d || json[at] === 0x09) at++;
  return at;
}

/** @param at its opening quote */
function endOfString(json: Buffer, at: number): number {
  for (let i = at + 1; ; i++) {
    if (json[i] === backslash) i++;
    else if (json[i] === quote || i >= json.length) return i + 1;
  }
}

function endOfValue(json: Buffer, from: number): number {
  const first = json[from];
  if (first === quote) return endOfString(json, from);
  const isNested = first === 0x5b || first === 0x7b;
  let depth = 0;
  for (let i = from; i < json.length; i++) {
    const byte = json[i] as number;
    if (byte === quote) i = endOfString(json, i) - 1;
    else if (byte === 0x5b || byte === 0x7b) depth++;
    else if (byte === 0x5d || byte === 0x7d) {
      if (depth-- === 0) return i; // the end of the object, right behind a number or a word
      if (depth === 0) return i + 1;
    } else if (!isNested && (byte === comma || byte <= 0x20)) return i;
  }
  return json.length;
}
