/**
 * A concurrency limit that finds the level the other side can bear: additive increase, multiplicative decrease, with
 * the cubic curve of TCP CUBIC (RFC 9438) as the increase and latency as a second sign of overload.
 *
 *   limit
 *    knee ┄┄┄┄┄┄┄┄┄┄┄╭x┄┄┄┄┄┄┄┄╭──x┄┄┄┄┄┄┄╭──x     x = overload: remember the level, step back by a tenth
 *                   ╱ │   ╭───╯  │  ╭────╯         then: quickly back towards the remembered level,
 *                  ╱  │ ╭─╯      ╰──╯              linger just below it, and only slowly try beyond
 *      start ─────╯   ╰─╯
 *         doubling      a few seconds per tooth
 *
 * A plain AIMD spends as long far below the knee as near it and strikes it again soon. The cubic curve stays within a
 * tenth of the knee and touches it every few seconds, so well under 1 % of the attempts are refused; and since it
 * steepens with time, a store that got faster is found out in seconds too.
 *
 * Rules that keep it honest:
 * - It grows only while the limit is what holds the caller back.
 * - One step back per episode: refusals of attempts that began before the last step are its echo.
 * - Latency is compared with the best seen for bodies of the same size. Above `1.5 × best + slack` it does not grow,
 *   above `3 × best + slack` it steps back. With one attempt in flight nobody queues: that latency *is* the best.
 *
 * Costs: a few additions per sample; state of fixed size. No timer: time passes only through samples.
 */
import type { Clock } from '../../clock.ts';
import { systemClock } from '../../clock.ts';
import { MillraceError } from '../../errors.ts';
import type { Limit, Sample } from './limit.ts';

export interface AimdOptions {
  /** First limit, doubled per round trip until the first overload. Default 4. */
  readonly initial?: number;
  /** Default 1. Minimum 1. */
  readonly min?: number;
  /** Default 256. */
  readonly max?: number;
  /** What is left of the limit after an overload. Above 0, below 1. Default 0.9. */
  readonly decrease?: number;
  /** Latency, in ms, that is never held against the other side: it hides the noise of this process. Default 50. */
  readonly slack?: number;
  readonly clock?: Clock;
}

/** Steepness of the cubic, in attempts per second³: from 10 % below a knee of 16 it takes 3 s to return. */
const STEEPNESS = 0.06;
/**
 * Round trips longer than this, in ms, stretch the curve. A store may refuse a whole round trip's worth of attempts
 * before the first refusal is back, so under 1 % refused means well over a hundred round trips per tooth.
 */
const STRETCH_ABOVE = 30;
/** The doubling overshoots, so the step back from it is longer. */
const DECREASE_AFTER_DOUBLING = 0.7;
const GROW_BELOW = 1.5;
const SHRINK_ABOVE = 3;
/** A latency beyond this multiple of the best counts as this. */
const OUTLIER = 2 * SHRINK_ABOVE;
/** Weight of the newest latency in the running mean. */
const NEWEST = 0.1;
/** Size classes: up to 4 KiB, 16 KiB, … 256 MiB, each four times the one before. */
const CLASSES = 9;

export class Aimd implements Limit {
  readonly #min: number;
  readonly #max: number;
  readonly #decrease: number;
  readonly #slack: number;
  readonly #initial: number;
  readonly #clock: Clock;
  /** The limit before rounding down. */
  #level: number;
  /** Below it the level doubles per round trip. */
  #threshold: number;
  /** Where overload struck last: the plateau of the cubic. */
  #ceiling: number;
  /** Seconds since the last step back in which the limit was reached, stretched for long round trips. */
  #age = 0;
  /** Seconds after a step back at which the cubic passes the ceiling. */
  #returnAfter = 0;
  #lastStepBack = Number.NEGATIVE_INFINITY;
  #lastReached = Number.NEGATIVE_INFINITY;
  readonly #best = new Float64Array(CLASSES).fill(Number.POSITIVE_INFINITY);
  /** Running mean of latency, per size class. */
  readonly #mean = new Float64Array(CLASSES);

  constructor(options: AimdOptions = {}) {
    const { initial = 4, min = 1, max = 256, decrease = 0.9, slack = 50, clock = systemClock } = options;
    check('min', min, Number.isInteger(min) && min >= 1, 'a whole number from 1 up');
    check('max', max, Number.isInteger(max) && max >= min, `a whole number from \`min\` (${min}) up`);
    check('initial', initial, initial >= 1, 'a number from 1 up');
    check('decrease', decrease, decrease > 0 && decrease < 1, 'a number above 0 and below 1');
    check('slack', slack, slack >= 0, 'milliseconds from 0 up');
    this.#min = min;
    this.#max = max;
    this.#decrease = decrease;
    this.#slack = slack;
    this.#clock = clock;
    this.#initial = Math.min(Math.max(initial, min), max);
    this.#level = this.#initial;
    this.#threshold = max;
    this.#ceiling = max;
  }

  get limit(): number {
    return Math.floor(this.#level);
  }

  sample(sample: Sample): void {
    if (sample.outcome === 'ignored') return;
    const pressure = sample.outcome === 'overload' ? Number.POSITIVE_INFINITY : this.#pressure(sample);
    if (pressure > SHRINK_ABOVE) this.#stepBack(sample.startedAt);
    else if (pressure < GROW_BELOW && sample.inFlight >= this.limit) this.#grow(sample);
  }

  restart(): void {
    this.#threshold = Math.max(this.#min, Math.min(this.#threshold, this.#level));
    this.#level = Math.min(this.#initial, this.#threshold);
    this.#best.fill(Number.POSITIVE_INFINITY);
    this.#mean.fill(0);
    this.#beginCurve();
  }

  #grow(sample: Sample): void {
    const now = this.#clock.monotonic();
    if (this.#level < this.#threshold) {
      this.#level = Math.min(this.#level + 1, this.#threshold);
      this.#lastReached = now;
      return;
    }
    // Time in which the caller had nothing to send must not count, or the curve would leap when it returns: between
    // two samples at the limit lies at most about one round trip.
    const rtt = sample.rtt ?? 0;
    this.#age += Math.min(now - this.#lastReached, rtt) / Math.max(1, rtt / STRETCH_ABOVE) / 1000;
    this.#lastReached = now;
    const curve = this.#ceiling + STEEPNESS * (this.#age - this.#returnAfter) ** 3;
    this.#level = Math.min(Math.max(this.#level, curve), this.#max);
  }

  #stepBack(startedAt: number): void {
    if (startedAt <= this.#lastStepBack) return;
    const doubling = this.#level < this.#threshold;
    // Struck below the old ceiling: the store became slower, so aim lower than where it struck now.
    this.#ceiling = this.#level < this.#ceiling ? (this.#level * (1 + this.#decrease)) / 2 : this.#level;
    this.#level = Math.max(this.#min, this.#level * (doubling ? DECREASE_AFTER_DOUBLING : this.#decrease));
    this.#threshold = Math.max(this.#level, this.#ceiling * this.#decrease);
    this.#beginCurve();
    this.#lastStepBack = this.#clock.monotonic();
  }

  #beginCurve(): void {
    this.#age = 0;
    this.#returnAfter = Math.cbrt(Math.max(0, this.#ceiling - this.#threshold) / STEEPNESS);
  }

  /** Mean latency as a multiple of the best for this size; 1 when it is within the slack, or not known. */
  #pressure(sample: Sample): number {
    if (sample.rtt === undefined) return 1;
    const size = sizeClass(sample.bytes ?? 0);
    const alone = sample.inFlight <= 1;
    const best = alone ? sample.rtt : Math.min(sample.rtt, this.#best[size] as number);
    this.#best[size] = best;
    // One attempt that took a minute must not weigh like a hundred that took a second.
    const worst = OUTLIER * best + this.#slack;
    const rtt = Math.min(sample.rtt, worst);
    const past = Math.min(this.#mean[size] as number, worst);
    const mean = past === 0 || alone ? rtt : past + NEWEST * (rtt - past);
    this.#mean[size] = mean;
    return (mean - this.#slack) / best;
  }
}

function sizeClass(bytes: number): number {
  const quarters = Math.ceil(Math.log2(Math.max(1, bytes / 4096)) / 2);
  return Math.min(CLASSES - 1, quarters);
}

function check(option: string, got: unknown, ok: boolean, expected: string): void {
  if (!ok) throw new MillraceError('OPTION_INVALID', { option, expected, got });
}
