/**
 * One timer for any number of deadlines: it rings at the earliest it was asked for, and whoever is rung looks at what is
 * due and asks again.
 *
 * Keeps the process alive only if it is asked to.
 */
import type { Clock, Timer } from '../../clock.ts';

export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #timer: Timer | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Rings at `time` (of `clock.monotonic()`), or earlier if it was asked to. */
  at(time: number, keepAlive = false): void {
    if (time >= this.#at || time === Number.POSITIVE_INFINITY) return;
    this.#timer?.cancel();
    this.#at = time;
    this.#timer = this.#clock.timer(
      Math.max(0, time - this.#clock.monotonic()),
      () => {
        this.cancel();
        this.#ring();
      },
      { unref: !keepAlive },
    );
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}
