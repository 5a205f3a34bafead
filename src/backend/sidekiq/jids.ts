/**
 * Ids as Sidekiq has them: 24 hexadecimal digits. Ours begin with the moment, so those of one process sort by arrival.
 *
 *   199f3c0a41c 0b1f6e2a93c47
 *   └── ms      └── 52 bits: at random for the first of a millisecond, then going up in random steps
 */
import { randomBytes } from 'node:crypto';

const WIDTH = 13;
const MOST = 2 ** 52;
const STEP = 2 ** 24;

export class Jids {
  #ms = 0;
  #rest = 0;

  /** @param now ms since the epoch; ids go up even when it goes back */
  next(now: number): string {
    if (now > this.#ms) {
      this.#ms = now;
      this.#rest = random48();
    } else {
      this.#rest += 1 + Math.floor(Math.random() * STEP);
      if (this.#rest >= MOST) return this.next(this.#ms + 1);
    }
    return this.#ms.toString(16).padStart(24 - WIDTH, '0') + this.#rest.toString(16).padStart(WIDTH, '0');
  }
}

/** Two processes that begin a millisecond together do not meet, however many they are: `Math.random` may be seeded alike. */
const random48 = () => randomBytes(6).readUIntBE(0, 6);
