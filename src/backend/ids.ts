/**
 * Job ids: where the job is stored, then when it arrived.
 *
 *   k3v9q0c7mx 00000000001fa
 *   └── store  └── arrival number, base 32, fixed width
 *
 * Ids of one store sort by arrival, and ids of two stores never meet: the store part is 50 random bits, drawn once when
 * the store is made. An id of another store is simply not found. The number is the key in the store, so an id needs no
 * index of its own.
 */
import { randomBytes } from 'node:crypto';

const STORE_WIDTH = 10;
/** 13 digits of 5 bits: more than the integers a double can hold. */
const NUMBER_WIDTH = 13;
const ID_WIDTH = STORE_WIDTH + NUMBER_WIDTH;

const format = (value: number, width: number) => value.toString(32).padStart(width, '0');

/** The last two digits, made once: formatting is then one concatenation for all but one id in 1024. */
const lastDigits = Array.from({ length: 1024 }, (_, i) => format(i, 2));

/** A store part for a new store. */
export function newStoreId(): string {
  return Array.from(randomBytes(STORE_WIDTH), (byte) => (byte & 31).toString(32)).join('');
}

export class Ids {
  readonly #store: string;
  #block = -1;
  #head = '';

  constructor(store: string) {
    this.#store = store;
  }

  /** The id of the `number`th job; integer ≥ 0. */
  format(number: number): string {
    const block = Math.floor(number / 1024);
    if (block !== this.#block) {
      this.#block = block;
      this.#head = this.#store + format(block, NUMBER_WIDTH - 2);
    }
    return this.#head + (lastDigits[number % 1024] as string);
  }

  /** The number of an id; -1 for what is no id of this store. */
  parse(id: string): number {
    if (id.length !== ID_WIDTH || !id.startsWith(this.#store)) return -1;
    let number = 0;
    for (let i = STORE_WIDTH; i < ID_WIDTH; i++) {
      const digit = digitOf(id.charCodeAt(i));
      if (digit < 0) return -1;
      number = number * 32 + digit;
    }
    return Number.isSafeInteger(number) ? number : -1;
  }
}

/** 0–9, a–v. */
function digitOf(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 118) return code - 87;
  return -1;
}
