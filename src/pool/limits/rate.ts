/**
 * How many may start per time: two rate limits of one shape. They own no timer; whoever is refused learns when it is
 * worth asking again.
 *
 *   limit 4 per second          │ token bucket                      │ sliding window
 *   after a quiet second        │ ●●●● at once, then ● every 250 ms │ ●●●● at once, then none for a second
 *   most starts in any second   │ 8 (a burst, and what flowed in)   │ 4
 *   costs                       │ one number                        │ up to about a thousand time stamps
 *
 * The bucket keeps an average and is smooth; take it unless the other side counts. The window is strict: no second,
 * wherever one begins it, has more than the limit.
 *
 * A weight above what can ever be free does not wait for ever. It starts when all is free, and those behind it pay the
 * rest: the bucket goes into debt, the window stays shut for as many intervals as the weight fills.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption } from '../../errors.ts';
import { Ring } from '../ring.ts';

export interface RateLimit {
  /**
   * Takes `weight` permits (default 1, above 0): 0 when taken, otherwise the milliseconds until it is worth asking
   * again, at least 0.001. Nothing is reserved for those who were refused.
   */
  take(weight?: number): number;
}

export interface RateOptions {
  /** Permits per interval. Above 0; a whole number for a sliding window. */
  readonly limit: number;
  /** Milliseconds, above 0. Default 1000. */
  readonly interval?: number;
  readonly clock?: Clock;
}

export interface TokenBucketOptions extends RateOptions {
  /** Permits that may be taken at once after a quiet time. Default: one interval's worth. Minimum 1. */
  readonly burst?: number;
}

/** On average `limit` starts per interval, up to `burst` at once after a quiet time. */
export function tokenBucket(options: TokenBucketOptions): RateLimit {
  const { limit, interval = 1000, burst = Math.max(1, limit), clock = systemClock } = options;
  assertOption('limit', limit, limit > 0 && Number.isFinite(limit), 'a number above 0');
  assertInterval(interval);
  assertOption('burst', burst, burst >= 1 && Number.isFinite(burst), 'a number from 1 up');
  // The bucket as a time (the generic cell rate algorithm of ATM): when it will be full again if nobody takes from it.
  const perPermit = interval / limit;
  let fullAt = clock.monotonic();

  return {
    take(weight = 1) {
      assertWeight(weight);
      const now = clock.monotonic();
      fullAt = Math.max(fullAt, now);
      const missing = fullAt - now - (burst - Math.min(weight, burst)) * perPermit;
      if (missing > ROUNDING) return later(missing);
      fullAt += weight * perPermit;
      return 0;
    },
  };
}

/** Never more than `limit` starts in any `interval`, wherever it begins. */
export function slidingWindow(options: RateOptions): RateLimit {
  const { limit, interval = 1000, clock = systemClock } = options;
  assertOption('limit', limit, Number.isInteger(limit) && limit >= 1, 'a whole number from 1 up');
  assertInterval(interval);
  // Starts are kept in groups, oldest first: a group counts as begun when its last one did. Two that are a thousandth
  // of the interval apart share a group, which bounds the memory; a permit may come back that much later, never earlier.
  const groups = new Ring<Group>();
  let oldest: Group | undefined;
  let newest: Group | undefined;
  let taken = 0;

  return {
    take(weight = 1) {
      assertWeight(weight);
      const now = clock.monotonic();
      while (oldest && now - oldest.last >= interval) {
        taken -= oldest.permits;
        oldest = groups.shift();
      }
      if (oldest && taken + weight > limit) return later(interval - (now - oldest.last));
      const permits = Math.min(weight, limit);
      const last = now + (Math.ceil(weight / limit) - 1) * interval;
      taken += permits;
      if (oldest && newest && last - newest.first < interval / GROUPS) {
        newest.last = last;
        newest.permits += permits;
      } else {
        newest = { first: now, last, permits };
        if (oldest) groups.push(newest);
        else oldest = newest;
      }
      return 0;
    },
  };
}

/** Starts of about one moment. `last` is in the future when one of them fills several intervals. */
interface Group {
  readonly first: number;
  last: number;
  permits: number;
}

const GROUPS = 1000;
/** Milliseconds that a sum of fractions may be wrong by. Less than this is not worth a refusal. */
const ROUNDING = 1e-6;

/** In whole microseconds, so that waiting for it moves any clock. */
function later(ms: number): number {
  return Math.ceil(ms * 1000) / 1000;
}

function assertInterval(interval: number): void {
  assertOption('interval', interval, interval > 0 && Number.isFinite(interval), 'milliseconds above 0');
}

function assertWeight(weight: number): void {
  assertOption('weight', weight, weight > 0 && Number.isFinite(weight), 'a number above 0');
}
