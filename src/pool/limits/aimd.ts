/**
 * A concurrency limit that finds the level the other side can bear: additive increase, multiplicative decrease, with
 * the cubic curve of TCP CUBIC (RFC 9438) as the increase and latency as a second sign of overload.
 *
 *   limit
 *    knee ┄┄┄┄┄┄┄┄┄┄┄╭x┄┄┄┄┄┄┄┄╭──x┄┄┄┄┄┄┄╭──x     x = overload: remember the level, step back by a tenth
 *                   ╱ │   ╭───╯  │  ╭────╯         then: quickly back towards the remembered level,
 *                  ╱  │ ╭─╯      ╰──╯              linger just below it, and only slowly try beyond
 *      start ─────╯   ╰─╯
 *         rush          a few seconds per tooth
 *
 * A plain AIMD spends as long far below the knee as near it and strikes it again soon. The cubic curve stays within a
 * tenth of the knee and touches it every few seconds, so well under 1 % of the attempts are refused; and since it
 * steepens with time, a store that got faster is found out in seconds too.
 *
 * Rules that keep it honest:
 * - It grows only while the limit is what holds the caller back.
 * - One step back per episode: refusals of attempts that began before the last step are its echo.
 * - While latency is raised it does not grow, and when latency stays high it steps back (latency.ts).
 *
 * Costs: a few additions per sample; state of fixed size. No timer: time passes only through samples.
 */
import { assertOption } from '../../errors.ts';
import { Latency, type LatencySign } from './latency.ts';
import { assertDecrease, Level, type LimitOptions } from './level.ts';
import type { Limit, Sample } from './limit.ts';

/** `initial` is 4 by default, and grows by half per round trip until the first overload; `max` is 256. */
export interface AimdOptions extends LimitOptions {
  /** What is left of the limit after an overload. Above 0, below 1. Default 0.9. */
  readonly decrease?: number;
  /** Latency, in ms, that is never held against the other side: it hides the noise of this process. Default 50. */
  readonly slack?: number;
}

/** Steepness of the cubic, in attempts per second³: from 10 % below a knee of 16 it takes 3 s to return. */
const STEEPNESS = 0.06;
/**
 * Round trips longer than this, in ms, stretch the curve. A store may refuse a whole round trip's worth of attempts
 * before the first refusal is back, so under 1 % refused means well over a hundred round trips per tooth.
 */
const STRETCH_ABOVE = 30;
/**
 * Growth per round trip before the first overload. TCP doubles; but 1.5 × 0.7 lands just beside the knee, where 2 × 0.7
 * would strike it again, and twice as hard.
 */
const RUSH = 1.5;
/** The rush overshoots, so the step back from it is longer. */
const DECREASE_AFTER_RUSH = 0.7;

export class Aimd implements Limit {
  readonly #level: Level;
  readonly #decrease: number;
  /** Below it the level rushes. */
  #threshold: number;
  /** Where overload struck last: the plateau of the cubic. */
  #ceiling: number;
  /** Seconds since the last step back in which the limit was reached, stretched for long round trips. */
  #age = 0;
  /** Seconds after a step back at which the cubic passes the ceiling. */
  #returnAfter = 0;
  #lastStepBack = Number.NEGATIVE_INFINITY;
  #lastReached = Number.NEGATIVE_INFINITY;
  readonly #latency: Latency;

  constructor(options: AimdOptions = {}) {
    const { decrease = 0.9, slack = 50 } = options;
    this.#level = new Level(options, { initial: 4, max: 256 });
    assertDecrease(decrease);
    assertOption('slack', slack, slack >= 0, 'milliseconds from 0 up');
    this.#decrease = decrease;
    this.#latency = new Latency(slack);
    this.#threshold = this.#level.max;
    this.#ceiling = this.#level.max;
  }

  get limit(): number {
    return this.#level.limit;
  }

  sample(sample: Sample): void {
    if (sample.outcome === 'ignored') return;
    const sign = sample.outcome === 'overload' ? 'high' : this.#read(sample);
    if (sign === 'high') this.#stepBack(sample.startedAt);
    else if (sign === 'low' && sample.inFlight >= this.limit) this.#grow(sample);
  }

  restart(): void {
    this.#threshold = Math.min(this.#threshold, this.#level.value);
    this.#level.value = Math.min(this.#level.low, this.#threshold);
    this.#latency.reset();
    this.#beginCurve();
  }

  #grow(sample: Sample): void {
    const level = this.#level;
    const now = level.clock.monotonic();
    if (level.value < this.#threshold) {
      // Once per round trip: only an attempt that began since can have met the new limit.
      level.value = Math.min(level.value * RUSH, this.#threshold);
      this.#lastReached = now;
      return;
    }
    // Time in which the caller had nothing to send must not count, or the curve would leap when it returns: between
    // two samples at the limit lies at most about one round trip.
    const rtt = sample.rtt ?? 0;
    this.#age += Math.min(now - this.#lastReached, rtt) / Math.max(1, rtt / STRETCH_ABOVE) / 1000;
    this.#lastReached = now;
    const curve = this.#ceiling + STEEPNESS * (this.#age - this.#returnAfter) ** 3;
    level.value = Math.max(level.value, curve);
  }

  #stepBack(startedAt: number): void {
    if (startedAt <= this.#lastStepBack) return;
    const level = this.#level;
    const rushing = level.value < this.#threshold;
    // Struck below the old ceiling: the store became slower, so aim lower than where it struck now.
    this.#ceiling = level.value < this.#ceiling ? (level.value * (1 + this.#decrease)) / 2 : level.value;
    level.value *= rushing ? DECREASE_AFTER_RUSH : this.#decrease;
    this.#threshold = Math.max(level.value, this.#ceiling * this.#decrease);
    this.#beginCurve();
    this.#lastStepBack = level.clock.monotonic();
  }

  #beginCurve(): void {
    this.#age = 0;
    this.#returnAfter = Math.cbrt(Math.max(0, this.#ceiling - this.#threshold) / STEEPNESS);
  }

  #read({ rtt, bytes = 0, inFlight }: Sample): LatencySign {
    return rtt === undefined ? 'low' : this.#latency.observe(rtt, bytes, inFlight <= 1, this.#level.clock.monotonic());
  }
}
