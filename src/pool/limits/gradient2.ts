/**
 * A concurrency limit that follows the gradient between latency over a long time and latency now.
 *
 *   gradient = tolerance × long ÷ now, between ½ and 1
 *   limit   →  limit × gradient + queue               a `smoothing` share of the way there
 *
 *     now ≤ 1.5 × long    gradient 1      the limit grows by a share of `queue`
 *     now = 3 × long      gradient ½      it shrinks by a tenth per round trip, but not below 2 × `queue`
 *
 * Averages instead of the lowest latency, so bursts and bodies of many kinds do not fool it. The long average follows
 * the short one, at once when load is gone (it sheds 5 % per round trip while it is more than twice the latency now).
 *
 * After Gradient2Limit of Netflix concurrency-limits, with its parameters, fed once per round trip (paced.ts) and with
 * one addition: an overload, which the source leaves out, shrinks it like the steepest gradient, once per burst. Its nature: it notices
 * change, not level. A store that got slower little by little, or that it has itself brought to queueing, becomes the
 * new normal within some hundred round trips.
 *
 * Costs: a few additions per sample, state of fixed size, no timer.
 */
import { assertOption } from '../../errors.ts';
import { assertShare, Level, type LimitOptions } from './level.ts';
import { Paced } from './paced.ts';

/** `initial` is 20 by default, `max` 200. */
export interface Gradient2Options extends LimitOptions {
  /** Attempts that may wait at the other side; how far it dares to grow. Above 0. Default 4. */
  readonly queue?: number;
  /** How many times the long average latency may be before the limit shrinks. From 1 up. Default 1.5. */
  readonly tolerance?: number;
  /** Weight of the new limit against the old one, above 0, up to 1. Default 0.2. */
  readonly smoothing?: number;
  /** Round trips in the long average. A whole number from 1 up. Default 600. */
  readonly window?: number;
}

const STEEPEST = 0.5;
/** Round trips of which the long average is the plain mean, before it begins to forget. */
const WARM_UP = 10;

export class Gradient2 extends Paced {
  readonly #queue: number;
  readonly #tolerance: number;
  readonly #smoothing: number;
  readonly #window: number;
  #long = 0;
  #rounds = 0;

  constructor(options: Gradient2Options = {}) {
    super(new Level(options, { initial: 20, max: 200 }));
    const { queue = 4, tolerance = 1.5, smoothing = 0.2, window = 600 } = options;
    assertOption('queue', queue, queue > 0 && Number.isFinite(queue), 'a number above 0');
    assertOption('tolerance', tolerance, tolerance >= 1, 'a number from 1 up');
    assertShare('smoothing', smoothing);
    assertOption('window', window, Number.isInteger(window) && window >= 1, 'a whole number from 1 up');
    this.#queue = queue;
    this.#tolerance = tolerance;
    this.#smoothing = smoothing;
    this.#window = window;
  }

  protected override onRound(level: number, rtt: number): number {
    this.#rounds = Math.min(this.#rounds + 1, WARM_UP + 1);
    const newest = this.#rounds > WARM_UP ? 2 / (this.#window + 1) : 1 / this.#rounds;
    this.#long += newest * (rtt - this.#long);
    const gradient = Math.min(Math.max((this.#tolerance * this.#long) / rtt, STEEPEST), 1);
    if (this.#long > 2 * rtt) this.#long *= 0.95;
    return this.#towards(level, level * gradient + this.#queue);
  }

  protected override onOverload(level: number, echo: boolean): number {
    return echo ? level : this.#towards(level, level * STEEPEST);
  }

  protected override onRestart(): void {
    this.#rounds = 0; // the next one is the average
  }

  #towards(level: number, target: number): number {
    return level + this.#smoothing * (target - level);
  }
}
