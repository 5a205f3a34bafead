/**
 * A token bucket as one number, so that it can be stored with a queue or a key and shared by all servers: the moment at
 * which it will be full again if nobody takes from it (the generic cell rate algorithm of ATM, ITU-T I.371).
 *
 * `fullAt` of 0 is a full bucket. Pure: the moment is passed in, ms since the epoch.
 */
import type { Rate } from './settings.ts';

/** Rates such as 3 per second are not whole milliseconds: less than this is no shortage. */
const ROUNDING = 1e-6;

/** How many may start now. 0 or more. */
export function permits(rate: Rate, fullAt: number, now: number): number {
  const perPermit = rate.per / rate.limit;
  const missing = Math.max(0, fullAt - now) / perPermit;
  return Math.max(0, Math.floor(burstOf(rate) - missing + ROUNDING));
}

/** The bucket after `count` starts. */
export function taken(rate: Rate, fullAt: number, now: number, count: number): number {
  return Math.max(fullAt, now) + (count * rate.per) / rate.limit;
}

/** When the next one may start: `now` or later, a whole millisecond. */
export function nextPermit(rate: Rate, fullAt: number, now: number): number {
  const at = fullAt - (burstOf(rate) - 1) * (rate.per / rate.limit);
  return Math.max(now, Math.ceil(at - ROUNDING));
}

function burstOf({ limit, burst = Math.max(1, limit) }: Rate): number {
  return burst;
}
