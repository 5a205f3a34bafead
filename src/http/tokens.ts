/**
 * Who may post: bearer tokens, compared in constant time.
 *
 * Only hashes are kept. A presented token is hashed and compared with every one of them, whether or not one matched
 * before, so neither its length nor its first bytes nor which token it is can be told from the time it takes.
 */
import { hash, timingSafeEqual } from 'node:crypto';

const scheme = /^bearer +([^ ]+) *$/i;

export class Tokens {
  readonly #hashes: readonly Buffer[];

  /** With no token at all, everybody is admitted. */
  constructor(tokens: readonly string[]) {
    this.#hashes = tokens.map(sha256);
  }

  /** Whether an Authorization header lets its request in. */
  admits(authorization: string | undefined): boolean {
    if (this.#hashes.length === 0) return true;
    const presented = authorization === undefined ? undefined : scheme.exec(authorization)?.[1];
    if (presented === undefined) return false;
    const digest = sha256(presented);
    let matches = 0;
    for (const known of this.#hashes) matches += timingSafeEqual(known, digest) ? 1 : 0;
    return matches > 0;
  }
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
