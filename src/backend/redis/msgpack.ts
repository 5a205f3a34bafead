/**
 * MessagePack as Lua in Redis speaks it: nil, booleans, numbers, byte strings, arrays, maps. Own code instead of a library,
 * because strings of Lua are bytes: payloads go in and come out as views, without a copy into text and back.
 *
 * Encoding: O(bytes), one growing buffer. Decoding: O(values); byte strings share the memory of the message.
 */

/** What can be sent. `undefined` in a map is left out. */
export type Sendable =
  | null
  | undefined
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Sendable[]
  | { readonly [name: string]: Sendable };

/** What comes back; strings are bytes unless text was asked for. */
export type Received = null | boolean | number | string | Buffer | Received[] | { [name: string]: Received };

export function encode(value: Sendable): Uint8Array {
  const writer = new Writer();
  writer.write(value);
  return writer.done();
}

/** @param strings how the strings of Lua are given back; names in maps are text in any case */
export function decode(message: Uint8Array, strings: 'bytes' | 'text' = 'bytes'): Received {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  return new Reader(bytes, strings === 'text').read();
}

class Writer {
  #bytes = Buffer.allocUnsafe(1024);
  #end = 0;

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  write(value: Sendable): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2);
    else if (value instanceof Uint8Array) this.#raw(value);
    else if (isList(value)) this.#list(value);
    else this.#map(value);
  }

  #room(size: number): number {
    const at = this.#end;
    this.#end += size;
    if (this.#end > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#end, 2 * this.#bytes.length));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }

  #byte(byte: number): void {
    const at = this.#room(1);
    this.#bytes[at] = byte;
  }

  #number(value: number): void {
    if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) {
      if (value < 0x80) this.#byte(value);
      else if (value <= 0xffff) this.#sized(0xcd, 2, value);
      else this.#sized(0xce, 4, value);
      return;
    }
    const at = this.#room(9);
    this.#bytes[at] = 0xcb;
    this.#bytes.writeDoubleBE(value, at + 1);
  }

  #sized(code: number, width: 2 | 4, value: number): void {
    const at = this.#room(1 + width);
    this.#bytes[at] = code;
    if (width === 2) this.#bytes.writeUInt16BE(value, at + 1);
    else this.#bytes.writeUInt32BE(value, at + 1);
  }

  #text(value: string): void {
    const size = Buffer.byteLength(value);
    this.#stringHead(size);
    const at = this.#room(size);
    this.#bytes.write(value, at);
  }

  #raw(value: Uint8Array): void {
    this.#stringHead(value.byteLength);
    const at = this.#room(value.byteLength);
    this.#bytes.set(value, at);
  }

  #stringHead(size: number): void {
    if (size < 32) this.#byte(0xa0 | size);
    else if (size <= 0xffff) this.#sized(0xda, 2, size);
    else this.#sized(0xdb, 4, size);
  }

  #list(list: readonly Sendable[]): void {
    if (list.length < 16) this.#byte(0x90 | list.length);
    else if (list.length <= 0xffff) this.#sized(0xdc, 2, list.length);
    else this.#sized(0xdd, 4, list.length);
    for (const each of list) this.write(each);
  }

  #map(map: { readonly [name: string]: Sendable }): void {
    const entries = Object.entries(map).filter(([, value]) => value !== undefined);
    if (entries.length < 16) this.#byte(0x80 | entries.length);
    else if (entries.length <= 0xffff) this.#sized(0xde, 2, entries.length);
    else this.#sized(0xdf, 4, entries.length);
    for (const [name, value] of entries) {
      this.#text(name);
      this.write(value);
    }
  }
}

function isList(value: object): value is readonly Sendable[] {
  return Array.isArray(value);
}

class Reader {
  readonly #bytes: Buffer;
  readonly #isText: boolean;
  #at = 0;

  constructor(bytes: Buffer, isText: boolean) {
    this.#bytes = bytes;
    this.#isText = isText;
  }

  read(): Received {
    const code = this.#bytes[this.#at++] as number;
    if (code < 0x80) return code;
    if (code < 0x90) return this.#map(code & 0x0f);
    if (code < 0xa0) return this.#list(code & 0x0f);
    if (code < 0xc0) return this.#string(code & 0x1f);
    if (code >= 0xe0) return code - 0x100;
    switch (code) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.#bytes.readFloatBE(this.#skip(4));
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#size(1 << (code - 0xcc));
      case 0xcf:
        return Number(this.#bytes.readBigUInt64BE(this.#skip(8)));
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#bytes.readIntBE(this.#skip(1 << (code - 0xd0)), 1 << (code - 0xd0));
      case 0xd3:
        return Number(this.#bytes.readBigInt64BE(this.#skip(8)));
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#string(this.#size(1 << (code - 0xc4)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#size(1 << (code - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#list(this.#size(2 << (code - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(this.#size(2 << (code - 0xde)));
      default:
        throw new TypeError(`byte ${code} begins no value`);
    }
  }

  #skip(size: number): number {
    const at = this.#at;
    this.#at += size;
    return at;
  }

  #size(width: number): number {
    return this.#bytes.readUIntBE(this.#skip(width), width);
  }

  #string(size: number): string | Buffer {
    const at = this.#skip(size);
    return this.#isText ? this.#bytes.toString('utf8', at, at + size) : this.#bytes.subarray(at, at + size);
  }

  #list(size: number): Received[] {
    const list: Received[] = [];
    for (let i = 0; i < size; i++) list.push(this.read());
    return list;
  }

  #map(size: number): { [name: string]: Received } {
    const map: { [name: string]: Received } = {};
    for (let i = 0; i < size; i++) {
      const name = this.read();
      const value = this.read();
      // A job may have a header of that name, and a plain assignment would not make it a member.
      const member = { value, enumerable: true, configurable: true, writable: true };
      if (String(name) === '__proto__') Object.defineProperty(map, '__proto__', member);
      else map[String(name)] = value;
    }
    return map;
  }
}
