/**
 * One timer for any number of deadlines: it rings at the earliest it was asked for, and whoever is rung looks at what is
 * due and asks again.
 *
 * Does not keep the process alive unless `keepAlive`.
 */
import type { Clock, Timer } from '../../clock.ts';

export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  readonly #unref: boolean;
  #timer: Timer | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, ring: () => void, options: { readonly keepAlive?: boolean } = {}) {
    this.#clock = clock;
    this.#ring = ring;
    this.#unref = !options.keepAlive;
  }

  /** Rings at `time` (of `clock.monotonic()`), or earlier if it was asked to. */
  at(time: number): void {
    if (time >= this.#at || time === Number.POSITIVE_INFINITY) return;
    this.#timer?.cancel();
    this.#at = time;
    this.#timer = this.#clock.timer(
      Math.max(0, time - this.#clock.monotonic()),
      () => {
        this.cancel();
        this.#ring();
      },
      { unref: this.#unref },
    );
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}
