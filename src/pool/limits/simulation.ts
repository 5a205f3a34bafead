/**
 * A store and its callers in virtual time, for tests of concurrency limits: no promise, no timer, a minute of traffic
 * in a few milliseconds. Callers always have something to send; a refused attempt is followed by another.
 */
import type { Clock } from '../../clock.ts';
import type { Limit } from './limit.ts';

export interface Arrival {
  /** Attempts at the store, this one included. */
  readonly inFlight: number;
  /** Seconds since the start. */
  readonly time: number;
  readonly random: () => number;
}

/** What the store makes of an attempt; decided when it arrives. `rtt` in ms. */
export type Store = (arrival: Arrival) => { outcome: 'ok' | 'overload'; rtt: number };

export interface Simulation {
  readonly store: Store;
  readonly limit: (clock: Clock) => Limit;
  /** Most attempts that anybody wants in flight. */
  readonly callers: number;
  /** Seconds; only what ends from here on is counted. */
  readonly from: number;
  readonly until: number;
}

export interface Report {
  readonly ok: number;
  readonly overload: number;
  readonly maxInFlight: number;
  readonly meanInFlight: number;
  /** At the end. */
  readonly limit: number;
}

interface Attempt {
  readonly startedAt: number;
  readonly endsAt: number;
  readonly inFlight: number;
  readonly outcome: 'ok' | 'overload';
}

export function simulate({ store, limit: makeLimit, callers, from, until }: Simulation): Report {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const limit = makeLimit(clock);
  const random = seeded(1);
  const underWay: Attempt[] = []; // ordered by end, the next one last
  const count = { ok: 0, overload: 0 };
  let maxInFlight = 0;
  let area = 0;

  while (now < until * 1000) {
    while (underWay.length < Math.min(limit.limit, callers)) {
      const inFlight = underWay.length + 1;
      const { outcome, rtt } = store({ inFlight, time: now / 1000, random });
      insert(underWay, { startedAt: now, endsAt: now + rtt, inFlight, outcome });
    }
    const attempt = underWay.pop() as Attempt;
    if (now >= from * 1000) {
      area += (underWay.length + 1) * (attempt.endsAt - now);
      maxInFlight = Math.max(maxInFlight, underWay.length + 1);
      count[attempt.outcome]++;
    }
    now = attempt.endsAt;
    const { outcome, startedAt, inFlight } = attempt;
    limit.sample({ outcome, startedAt, inFlight, rtt: now - startedAt });
  }
  return { ...count, maxInFlight, meanInFlight: area / ((until - from) * 1000), limit: limit.limit };
}

function insert(attempts: Attempt[], attempt: Attempt): void {
  let low = 0;
  let high = attempts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((attempts[middle] as Attempt).endsAt > attempt.endsAt) low = middle + 1;
    else high = middle;
  }
  attempts.splice(low, 0, attempt);
}

/** A small generator of equal numbers on every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
