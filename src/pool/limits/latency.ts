/**
 * Reads from latencies whether the other side queues what it is sent.
 *
 *   low      below  1.5 × best + slack     it keeps up
 *   raised   between                       it has enough to do: no more
 *   high     above  3 × best + slack       it queues, and has done so for about a second: less
 *
 * The best is the lowest seen for bodies of the same size (sizes.ts), because a large one takes longer. With one attempt in flight
 * nobody queues: that latency *is* the best, so a path that became longer is learnt sooner or later.
 *
 * Two means look at it. One forgets within ten samples and stops growth at once. One forgets within a second, whatever
 * the number of samples: a pause of this process delays everything in flight by the same pause, and what looks like a
 * hundred slow answers is one event.
 */

import { SIZE_CLASSES, sizeClass } from './sizes.ts';

export type LatencySign = 'low' | 'raised' | 'high';

const RAISED = 1.5;
const HIGH = 3;
/** A latency beyond this multiple of the best counts as this: one minute must not weigh like sixty seconds. */
const OUTLIER = 2 * HIGH;
/** Weight of the newest sample in the quick mean. */
const NEWEST = 0.1;
/** Milliseconds in which the slow mean forgets half. */
const MEMORY = 1_000;

interface Track {
  best: number;
  quick: number;
  slow: number;
  /** Of the last sample, in `monotonic` milliseconds. */
  at: number;
}

export class Latency {
  readonly #slack: number;
  readonly #tracks: (Track | undefined)[] = new Array(SIZE_CLASSES).fill(undefined);

  /** @param slack milliseconds that are never held against the other side: the noise of this process */
  constructor(slack: number) {
    this.#slack = slack;
  }

  /** Takes a sample in; `alone` when nothing else was in flight. */
  observe(rtt: number, bytes: number, alone: boolean, now: number): LatencySign {
    const size = sizeClass(bytes);
    const track = this.#tracks[size];
    if (!track || alone) {
      this.#tracks[size] = { best: rtt, quick: rtt, slow: rtt, at: now };
      return 'low';
    }
    track.best = Math.min(track.best, rtt);
    const worst = OUTLIER * track.best + this.#slack;
    const shown = Math.min(rtt, worst);
    const elapsed = Math.max(0, now - track.at);
    track.quick = mix(Math.min(track.quick, worst), shown, NEWEST);
    track.slow = mix(Math.min(track.slow, worst), shown, elapsed / (elapsed + MEMORY));
    track.at = now;

    const over = (mean: number, factor: number) => mean > factor * track.best + this.#slack;
    if (!over(track.quick, RAISED)) return 'low';
    if (!over(track.quick, HIGH) || !over(track.slow, HIGH)) return 'raised';
    track.slow = track.best; // whoever acts on this waits to see the effect before acting again
    return 'high';
  }

  /** Forgets everything. */
  reset(): void {
    this.#tracks.fill(undefined);
  }
}

function mix(past: number, newest: number, weight: number): number {
  return past + weight * (newest - past);
}
