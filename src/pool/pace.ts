/**
 * When the next body may start: a rate limit, and pauses that the other side asked for.
 *
 * Promises: says yes at most as often as the rate allows, and never during a pause; after a no it calls `wake` as soon as
 * it is worth asking again. Costs: one timer at most, and none while nobody was told no.
 */
import type { Clock, Timer } from '../clock.ts';
import type { RateLimit } from './limits/rate.ts';

export class Pace {
  readonly #clock: Clock;
  readonly #rate: RateLimit | undefined;
  readonly #wake: () => void;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(clock: Clock, rate: RateLimit | undefined, wake: () => void) {
    this.#clock = clock;
    this.#rate = rate;
    this.#wake = wake;
  }

  /** Takes `weight` permits if it may start now. */
  admits(weight: number): boolean {
    if (this.#timer) return false; // somebody was told no already, and asks again first
    const pause = this.#pausedUntil - this.#clock.monotonic();
    const wait = pause > 0 ? pause : (this.#rate?.take(weight) ?? 0);
    if (wait <= 0) return true;
    this.#timer = this.#clock.timer(Math.ceil(wait), () => {
      this.#timer = undefined;
      this.#wake();
    });
    return false;
  }

  /** Nothing starts for `ms`. A shorter pause does not end a longer one. What is no number asks for nothing. */
  pause(ms: number): void {
    if (Number.isNaN(ms)) return;
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + ms);
  }

  /** Leaves no timer. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
