/**
 * A concurrency limit made for those who send: additive increase, multiplicative decrease, on how far latency strays
 * from what it was.
 *
 *   interval = the average latency
 *   ├─────────┼─────────┼─────────┼─────────┼─▶     at the end of each, the mean latency of its answers against the past:
 *   +1        +1        ×0.9      +1
 *             mean ≤ past mean, limit reached       + 1
 *             mean > past mean + 2.5 deviations     × 0.9, rounded down; also after any overload
 *             between                               as it is
 *
 * Past mean and deviation are exponentially weighted over the intervals, so a jittery store is allowed its jitter, and
 * one that became slower is only slower for a few intervals. It never guesses a level: it climbs until something
 * gives, steps back and climbs again. Chance makes it step back too: with any jitter it hovers at about 80, however much
 * the store could bear.
 *
 * After the adaptive request concurrency of Vector, with its parameters. What differs: a latency equal to the past mean
 * is never too long; before the first latency is known, an overload can already shrink it; sizes are told apart
 * (sizes.ts).
 *
 * Costs: a few additions per sample, state of fixed size. No timer: time passes only through samples.
 */
import { assertOption } from '../../errors.ts';
import { assertDecrease, assertShare, Level, type LimitOptions } from './level.ts';
import type { Limit, Sample } from './limit.ts';
import { SizeScale } from './sizes.ts';

/** `initial` is 1 by default, `max` 200. */
export interface ArcOptions extends LimitOptions {
  /** What is left of the limit after a step back, before rounding down. Above 0, below 1. Default 0.9. */
  readonly decrease?: number;
  /** Weight of the newest interval in the past latency. Above 0, up to 1. Default 0.4. */
  readonly alpha?: number;
  /** How many deviations above the past mean are too long. From 0 up; 1 to 3 makes sense. Default 2.5. */
  readonly deviations?: number;
}

/** Latencies are taken in whole microseconds: what is below is noise, and any noise is more than a deviation of 0. */
const GRAINS_PER_MS = 1000;

export class Arc implements Limit {
  readonly #level: Level;
  readonly #sizes = new SizeScale();
  readonly #decrease: number;
  readonly #alpha: number;
  readonly #deviations: number;
  /** Of the past, weighted: latencies on one scale for all sizes, and as they were, which is how long to look. */
  #past: { mean: number; variance: number; interval: number } | undefined;
  #endsAt = Number.NEGATIVE_INFINITY;
  /** Of the interval so far: the mean latency, both ways, and of how many; held back by the limit; too much. */
  #rtt = 0;
  #measured = 0;
  #count = 0;
  #heldBack = false;
  #overload = false;

  constructor(options: ArcOptions = {}) {
    const { decrease = 0.9, alpha = 0.4, deviations = 2.5 } = options;
    this.#level = new Level(options, { initial: 1, max: 200 });
    assertDecrease(decrease);
    assertShare('alpha', alpha);
    assertOption('deviations', deviations, deviations >= 0, 'a number from 0 up');
    this.#decrease = decrease;
    this.#alpha = alpha;
    this.#deviations = deviations;
  }

  get limit(): number {
    return this.#level.limit;
  }

  sample(sample: Sample): void {
    if (sample.outcome === 'ignored') return;
    if (sample.outcome === 'overload') this.#overload = true;
    else if (sample.rtt !== undefined) {
      this.#count++;
      this.#rtt += (this.#sizes.level(sample.rtt, sample.bytes) - this.#rtt) / this.#count;
      this.#measured += (sample.rtt - this.#measured) / this.#count;
    }
    this.#heldBack ||= this.#level.heldBack(sample);
    const now = this.#level.clock.monotonic();
    if (now >= this.#endsAt) this.#endInterval(now, now - sample.startedAt);
  }

  restart(): void {
    this.#level.value = Math.min(this.#level.low, this.#level.value);
    this.#sizes.reset();
    this.#past = undefined;
    this.#beginInterval(Number.NEGATIVE_INFINITY);
  }

  #endInterval(now: number, took: number): void {
    const rtt = this.#count > 0 ? Math.round(this.#rtt * GRAINS_PER_MS) / GRAINS_PER_MS : undefined;
    const sign = rtt === undefined ? 'unknown' : this.#compare(rtt);
    if (this.#overload || sign === 'long') this.#level.value = Math.floor(this.#level.limit * this.#decrease);
    else if (sign === 'usual' && this.#heldBack) this.#level.value++;
    if (rtt !== undefined) this.#remember(rtt);
    this.#beginInterval(now + (this.#past?.interval ?? took));
  }

  #compare(rtt: number): 'usual' | 'raised' | 'long' | 'unknown' {
    if (!this.#past) return 'unknown';
    const { mean, variance } = this.#past;
    if (rtt <= mean) return 'usual';
    return rtt >= mean + this.#deviations * Math.sqrt(variance) ? 'long' : 'raised';
  }

  #remember(rtt: number): void {
    const { mean, variance, interval } = this.#past ?? { mean: rtt, variance: 0, interval: this.#measured };
    const strayed = rtt - mean;
    const shift = this.#alpha * strayed;
    this.#past = {
      mean: mean + shift,
      variance: (1 - this.#alpha) * (variance + strayed * shift),
      interval: interval + this.#alpha * (this.#measured - interval),
    };
  }

  #beginInterval(endsAt: number): void {
    this.#endsAt = endsAt;
    this.#rtt = 0;
    this.#measured = 0;
    this.#count = 0;
    this.#heldBack = false;
    this.#overload = false;
  }
}
