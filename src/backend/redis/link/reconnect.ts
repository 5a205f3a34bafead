/**
 * How long to wait before trying again: anything from nothing to a bound that doubles, so that the many who lost the
 * same server do not come back at the same moment.
 */
const first = 50;
const most = 2_000;

/** The bound of the bound, ms: a call should see several tries before its timeout. */
export function longestDelay(timeout: number): number {
  return Math.min(most, Math.ceil(timeout / 4));
}

/** @param failures in a row so far, from 1 */
export function delayAfter(failures: number, longest: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(longest, first * 2 ** Math.min(failures, 16)));
}
