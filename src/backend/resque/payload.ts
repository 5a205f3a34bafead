/**
 * Payloads as they are on the wire, `{"class":"Mail","args":["hi",1]}`, and what a job of ours is of them: its name is the class,
 * its payload the bytes of `args`. Numbers are never read, so no digit of them is lost, and bytes are never written anew.
 */
import { hash } from 'node:crypto';
import { assertOption } from '../../errors.ts';
import type { NewJob } from '../backend.ts';

export interface Parts {
  readonly name: string;
  readonly args: Uint8Array;
}

/** What equal jobs, and only they, are known by: their queue, and the digest of their bytes. */
export function idOf(queue: string, bytes: Uint8Array): string {
  return `${queue}/${hash('sha1', bytes)}`;
}

/** The queue of an id; undefined for what is none. */
export function queueOf(id: string): string | undefined {
  return /^(.+)\/[0-9a-f]{40}$/s.exec(id)?.[1];
}

/**
 * The payload as Ruby writes it, byte for byte: its `Resque.dequeue` looks for equal bytes.
 * @throws OPTION_INVALID unless the job's payload is a JSON array, as `args` must be
 */
export function toPayload({ name, payload }: NewJob): Buffer {
  assertOption('payload', payload, isArray(payload), 'a JSON array, the arguments (see workerClass)');
  return Buffer.concat([Buffer.from(`{"class":${JSON.stringify(name)},"args":`), payload, closing]);
}

/** Undefined: no job. */
export function fromPayload(bytes: Buffer): Parts | undefined {
  return fromFirst(bytes) ?? fromMembers(bytes);
}

/** Bytes of the values of an object's members, by name; the last one of a name counts. Undefined: no object, or no JSON. */
export function membersOf(bytes: Buffer): Map<string, Buffer> | undefined {
  if (!isJson(bytes)) return undefined;
  const reader = new Reader(bytes);
  return reader.members();
}

/** Text as others may have written it, or undefined. */
export function textOf(json: Buffer | undefined): string | undefined {
  if (!json || json[0] !== QUOTE) return undefined;
  return JSON.parse(json.toString()) as string;
}

const closing = Buffer.from('}');
const none = Buffer.from('[]');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * The forms that everybody writes: class first, args last, with node-resque's queue between them.
 *
 * The arguments are read when the job runs, and not here too: that would cost as much as all the rest. Where the list could
 * have ended before, so that what follows are other members, they are.
 */
function fromFirst(bytes: Buffer): Parts | undefined {
  const text = bytes.toString('latin1');
  const [head, name] = common.exec(text) ?? [];
  if (head === undefined || name === undefined || !text.endsWith(']}') || /\]\s*,\s*"/.test(text)) return undefined;
  return {
    name: /[\x80-\xff]/.test(name) ? Buffer.from(name, 'latin1').toString() : name,
    args: bytes.subarray(head.length, -1),
  };
}

const common = /^\{"class":"([^"\\]+)",(?:"queue":"[^"\\]*",)?"args":(?=\[)/;

function fromMembers(bytes: Buffer): Parts | undefined {
  const members = membersOf(bytes);
  const name = textOf(members?.get('class'));
  const args = members?.get('args') ?? none;
  if (name === undefined || name === '' || !name.isWellFormed()) return undefined;
  if (args.toString() === 'null') return { name, args: none };
  // node-resque takes a single argument without a list around it.
  return { name, args: args[0] === 0x5b ? args : Buffer.concat([Buffer.from('['), args, Buffer.from(']')]) };
}

function isArray(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = text.find((byte) => byte > 0x20);
  return first === 0x5b && isJson(text);
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

/** Finds where values begin and end in bytes that are known to be JSON. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  members(): Map<string, Buffer> | undefined {
    if (this.#next() !== 0x7b) return undefined;
    const all = new Map<string, Buffer>();
    this.#at++;
    while (this.#next() !== 0x7d) {
      const name = textOf(this.#value()) ?? '';
      this.#next(); // the colon
      this.#at++;
      this.#next();
      all.set(name, this.#value());
      if (this.#next() === 0x2c) this.#at++;
    }
    return all;
  }

  /** The first byte that is no white space. */
  #next(): number {
    while ((this.#bytes[this.#at] as number) <= 0x20) this.#at++;
    return this.#bytes[this.#at] as number;
  }

  #value(): Buffer {
    const from = this.#at;
    let depth = 0;
    do {
      const byte = this.#bytes[this.#at] as number;
      if (byte === QUOTE) this.#skipText();
      else if (byte === 0x7b || byte === 0x5b) depth++;
      else if (byte === 0x7d || byte === 0x5d) depth--;
      else if (depth === 0) this.#skipWord();
      this.#at++;
    } while (depth > 0);
    return this.#bytes.subarray(from, this.#at);
  }

  /** To the quote at its end. */
  #skipText(): void {
    this.#at++;
    while (this.#bytes[this.#at] !== QUOTE) this.#at += this.#bytes[this.#at] === BACKSLASH ? 2 : 1;
  }

  /** To the last byte of a number, true, false or null. */
  #skipWord(): void {
    while (!/[\s,}\]]/.test(String.fromCharCode(this.#bytes[this.#at + 1] ?? 0x20))) this.#at++;
  }
}
