/**
 * The time of the Redis server, as far as its answers tell: jobs are due by that clock, and those of the machines that enqueue
 * and run them may be wrong.
 *
 *   sent at 10:00:00.000 ──▶ server: 11:00:00.001 ──▶ heard at 10:00:00.002      it is ahead by 0:59:59.999 to 1:00:00.002
 *
 * Each answer narrows down what is known. `now` is never ahead of the server by more than the clocks have drifted since. After a
 * jump of this machine's clock (somebody has set it, it was asleep) it is this machine's until the next answer.
 */
import { type Clock, systemClock } from '../../clock.ts';

/** More than this, ms, is not drift. */
const JUMP = 500;

export class ServerClock implements Clock {
  readonly #local: Clock;
  /** By how much the server is ahead: at least and at most. */
  #least = Number.NEGATIVE_INFINITY;
  #most = Number.POSITIVE_INFINITY;
  /** Between the two clocks of this machine, when the server was heard last. */
  #gap = Number.NaN;

  constructor(local: Clock = systemClock) {
    this.#local = local;
  }

  now(): number {
    return this.#local.now() + (this.#isKnown() ? this.#least : 0);
  }

  monotonic(): number {
    return this.#local.monotonic();
  }

  timer(ms: number, fire: () => void, options?: { unref?: boolean }) {
    return this.#local.timer(ms, fire, options);
  }

  /** The moment to give to `heard`. */
  mark(): number {
    return this.#local.now();
  }

  /** It was `now` there at some moment since `sentAt`. */
  heard(now: number, sentAt: number): void {
    const least = now - this.#local.now();
    const most = now + 1 - sentAt;
    const isSame = this.#isKnown() && least <= this.#most && most >= this.#least;
    this.#least = isSame ? Math.max(least, this.#least) : least;
    this.#most = isSame ? Math.min(most, this.#most) : most;
    this.#gap = this.#local.now() - this.#local.monotonic();
  }

  #isKnown(): boolean {
    return Math.abs(this.#local.now() - this.#local.monotonic() - this.#gap) < JUMP;
  }
}
