/**
 * A concurrency limit that keeps a short queue at the other side: TCP Vegas for requests.
 *
 *   queue = limit × (1 − rtt without load ÷ rtt)      of the attempts in flight, those that only wait
 *
 *   queue   0 ┄┄┄ log ┄┄┄┄┄┄┄ α·log ┄┄┄┄┄┄ β·log ┄┄┄┄┄▶          log = log₁₀ of the limit, rounded down, at least 1
 *   limit   + β·log │  + log    │  as it is  │  − log             each overload: − log
 *
 * The latency without load is the lowest seen. Because a path may become longer, every 15 to 30 times `limit` answers it
 * is learnt anew from whatever is seen then.
 *
 * After VegasLimit of Netflix concurrency-limits, with its parameters, fed once per round trip (paced.ts). Its nature:
 * it guards latency without waiting for a refusal, and it needs moments without a queue to be right about the latency
 * without load. Where the queue never empties, learning anew takes the queue for the path, and the limit drifts up by
 * the minute; `probe: Infinity` holds it, at the price of a path that may only become shorter.
 *
 * Costs: a few additions per sample, state of fixed size, no timer.
 */
import { assertOption } from '../../errors.ts';
import { assertShare, Level, type LimitOptions } from './level.ts';
import { Paced } from './paced.ts';

/** `initial` is 20 by default, `max` 1000. */
export interface VegasOptions extends LimitOptions {
  /** The limit grows while the queue is shorter than this many times log₁₀ of the limit. Above 0. Default 3. */
  readonly alpha?: number;
  /** It shrinks while the queue is longer than this many times log₁₀ of the limit. From `alpha` up. Default 6. */
  readonly beta?: number;
  /** Weight of the new limit against the old one, up to 1. Default 1. */
  readonly smoothing?: number;
  /**
   * The latency without load is learnt anew after 0.5 to 1 times this times `limit` answers. Above 0, Infinity for
   * never. Default 30.
   */
  readonly probe?: number;
  /** For the time of the probe: numbers from 0 up to 1. Default `Math.random`. */
  readonly random?: () => number;
}

export class Vegas extends Paced {
  readonly #alpha: number;
  readonly #beta: number;
  readonly #smoothing: number;
  readonly #probe: number;
  readonly #random: () => number;
  #noLoad = Number.POSITIVE_INFINITY;
  /** Answers since the latency without load was learnt anew, and the share of `probe` at which it is next. */
  #answers = 0;
  #probeShare: number;

  constructor(options: VegasOptions = {}) {
    super(new Level(options, { initial: 20, max: 1000 }));
    const { alpha = 3, beta = 6, smoothing = 1, probe = 30, random = Math.random } = options;
    assertOption('alpha', alpha, alpha > 0, 'a number above 0');
    assertOption('beta', beta, beta >= alpha && Number.isFinite(beta), `a number from \`alpha\` (${alpha}) up`);
    assertShare('smoothing', smoothing);
    assertOption('probe', probe, probe > 0, 'a number above 0');
    this.#alpha = alpha;
    this.#beta = beta;
    this.#smoothing = smoothing;
    this.#probe = probe;
    this.#random = random;
    this.#probeShare = this.#jitter();
  }

  protected override onRound(level: number, rtt: number, count: number): number {
    this.#answers += count;
    const learnAnew = this.#answers >= this.#probeShare * this.#probe * level;
    if (learnAnew) {
      this.#answers = 0;
      this.#probeShare = this.#jitter();
    }
    if (learnAnew || rtt < this.#noLoad) {
      this.#noLoad = rtt;
      return level;
    }
    const log = log10(level);
    const queue = Math.ceil(level * (1 - this.#noLoad / rtt));
    if (queue <= log) return this.#towards(level, this.#beta * log);
    if (queue < this.#alpha * log) return this.#towards(level, log);
    return queue > this.#beta * log ? this.#towards(level, -log) : level;
  }

  protected override onOverload(level: number): number {
    return this.#towards(level, -log10(level));
  }

  protected override onRestart(): void {
    this.#noLoad = Number.POSITIVE_INFINITY;
    this.#answers = 0;
  }

  #towards(level: number, step: number): number {
    return level + this.#smoothing * step;
  }

  #jitter(): number {
    return 0.5 + this.#random() / 2;
  }
}

function log10(level: number): number {
  return Math.max(1, Math.floor(Math.log10(level)));
}
