/**
 * A token bucket: `rate` requests a second on average, and a second's worth at once after a quiet one.
 *
 * Costs two numbers and no timer: the bucket is filled by looking at the clock when somebody takes from it.
 */
import type { Clock } from '../clock.ts';

export class TokenBucket {
  readonly #rate: number;
  readonly #size: number;
  readonly #clock: Clock;
  #tokens: number;
  #filledAt: number;

  /** @param rate tokens per second, above 0 */
  constructor(rate: number, clock: Clock) {
    this.#rate = rate;
    this.#size = Math.max(1, rate);
    this.#clock = clock;
    this.#tokens = this.#size;
    this.#filledAt = clock.monotonic();
  }

  /** Takes a token: 0 when there was one, otherwise the seconds until there will be. */
  take(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#size, this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate);
    this.#filledAt = now;
    if (this.#tokens < 1) return (1 - this.#tokens) / this.#rate;
    this.#tokens--;
    return 0;
  }
}
