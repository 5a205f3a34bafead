/**
 * What every limit that moves has in common: its bounds, where it begins, and whether it held the caller back.
 *
 *   min ───────●─────────────●────────────────── max      a number that may have a fraction;
 *           initial        value                           the limit is what remains when it is rounded down
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption } from '../../errors.ts';
import type { Sample } from './limit.ts';

export interface LimitOptions {
  /**
   * First limit; the one the last run ended with makes a warm start. From 1 up; brought between `min` and `max`. After
   * `restart` the limit begins at its default, or here when this is lower.
   */
  readonly initial?: number;
  /**
   * Default 1. A server that guards itself wants more, so as never to turn nearly everybody away (the libraries these
   * algorithms come from have 20); whoever sends can always wait, and a store that bears three must not get 20.
   */
  readonly min?: number;
  readonly max?: number;
  readonly clock?: Clock;
}

export class Level {
  readonly min: number;
  readonly max: number;
  /** Where to begin anew. */
  readonly low: number;
  readonly clock: Clock;
  #value: number;
  #changedAt = Number.NEGATIVE_INFINITY;
  /** The limit before that. */
  #before: number;

  constructor(options: LimitOptions, defaults: { readonly initial: number; readonly max: number }) {
    const { initial = defaults.initial, min = 1, max = Math.max(min, defaults.max), clock = systemClock } = options;
    assertOption('min', min, Number.isInteger(min) && min >= 1, 'a whole number from 1 up');
    assertOption('max', max, Number.isInteger(max) && max >= min, `a whole number from \`min\` (${min}) up`);
    assertOption('initial', initial, initial >= 1, 'a number from 1 up');
    this.min = min;
    this.max = max;
    this.clock = clock;
    this.low = this.#clamp(Math.min(initial, defaults.initial));
    this.#value = this.#clamp(initial);
    this.#before = this.limit;
  }

  get limit(): number {
    return Math.floor(this.#value);
  }

  get value(): number {
    return this.#value;
  }

  set value(value: number) {
    const before = this.limit;
    this.#value = this.#clamp(value);
    if (this.limit === before) return;
    this.#before = before;
    this.#changedAt = this.clock.monotonic();
  }

  /** Whether the limit, as it was when this attempt began, let no more in. */
  heldBack({ startedAt, inFlight }: Sample): boolean {
    return inFlight >= (startedAt < this.#changedAt ? this.#before : this.limit);
  }

  #clamp(value: number): number {
    return Math.min(Math.max(value, this.min), this.max);
  }
}

/** Throws OPTION_INVALID unless `share` is above 0 and at most 1. */
export function assertShare(option: string, share: number): void {
  assertOption(option, share, share > 0 && share <= 1, 'a number above 0 and up to 1');
}

/** Throws OPTION_INVALID unless `factor` is above 0 and below 1. */
export function assertDecrease(factor: number): void {
  assertOption('decrease', factor, factor > 0 && factor < 1, 'a number above 0 and below 1');
}
