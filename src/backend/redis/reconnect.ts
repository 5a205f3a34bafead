/**
 * How long to wait before trying again: anything from nothing to a bound that doubles, so that the many who lost the
 * same server do not come back at the same moment.
 */
const first = 50;
const longest = 2_000;

/** @param failures in a row so far, from 1 */
export function delayAfter(failures: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(longest, first * 2 ** Math.min(failures, 16)));
}
