/** How long to wait before the next attempt. Pure: the random source is passed in. */
import { assertOption } from '../errors.ts';

/**
 * @param attempt the attempt that just failed, 1 for the first
 * @param random uniform in [0, 1), as `Math.random`
 * @param error what it failed with: a store that said when to come back may have its way
 * @returns milliseconds until the next attempt
 */
export type Backoff = (attempt: number, random: () => number, error: Error) => number;

export interface ExponentialOptions {
  /** Wait after the first failure, ms. Minimum 0. Default 1,000. */
  readonly base?: number;
  /** Each wait is this many times the one before. Minimum 1. Default 2. */
  readonly factor?: number;
  /** Longest wait, ms. Default one day. */
  readonly max?: number;
  /** Part of the wait that is random, 0–1, so that jobs that failed together do not return together. Default 0.25. */
  readonly jitter?: number;
}

const DAY = 86_400_000;

/** 1 s, 2 s, 4 s, … up to a day: with 25 attempts about nine days in all. Up to a quarter of each wait is random. */
export function exponential(options: ExponentialOptions = {}): Backoff {
  const { base = 1000, factor = 2, max = DAY, jitter = 0.25 } = options;
  assertOption('base', base, base >= 0, 'a number of milliseconds from 0');
  assertOption('factor', factor, factor >= 1, 'a number from 1');
  assertOption('jitter', jitter, jitter >= 0 && jitter <= 1, 'a number from 0 to 1');
  return (attempt, random) => {
    const wait = Math.min(max, base * factor ** (attempt - 1));
    return Math.round(wait * (1 - jitter * random()));
  };
}

/**
 * 16 s, 31 s, 96 s, … attempt⁴ + 15 seconds: 25 attempts take about 20 days, long enough for somebody to notice and mend
 * what is wrong. Up to `10 × attempt` seconds more are random. (Sidekiq's formula, which Faktory and Asynq took over.)
 */
export function polynomial(): Backoff {
  return (attempt, random) => Math.round(1000 * (attempt ** 4 + 15 + 10 * attempt * random()));
}

/** Of jobs that name none, unless their backend has its own. */
export const defaultBackoff = polynomial();

/** The same wait every time, ms. */
export function fixed(ms: number): Backoff {
  assertOption('ms', ms, ms >= 0, 'a number of milliseconds from 0');
  return () => ms;
}
