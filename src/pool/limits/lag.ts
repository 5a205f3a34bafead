/**
 * Whether this process is too busy for its latencies to mean anything.
 *
 * An answer that waited for our own event loop looks like a slow store, and a limit that believed it would throttle a
 * busy process to one attempt at a time. So whoever takes samples leaves the `rtt` out of those taken while the loop is
 * late:
 *
 *   const isLate = lateLoop();
 *   limit.sample({ ...attempt, ...(isLate() ? {} : { rtt }) });
 *
 * Late means: busy for more than 95 % of the last quarter of a second or more. Costs one look at the clock per call and
 * one at the loop per quarter of a second; no timer, so a loop that nobody asks about is not measured.
 */
import { type Clock, systemClock } from '../../clock.ts';

export interface LateLoopOptions {
  readonly clock?: Clock;
  /** Milliseconds that the event loop has been busy, from any start. Default: of this thread, as Node measures it. */
  readonly busy?: () => number;
}

/** Milliseconds between two looks at the loop. */
const LOOK_EVERY = 250;
/** Share of busy time above which the loop is late. */
const LATE_ABOVE = 0.95;

/** Makes a function that tells whether the event loop was late of late. */
export function lateLoop(options: LateLoopOptions = {}): () => boolean {
  const { clock = systemClock, busy = activeTime } = options;
  let lookedAt = clock.monotonic();
  let busyBefore = busy();
  let late = false;
  return () => {
    const now = clock.monotonic();
    if (now - lookedAt < LOOK_EVERY) return late;
    const busyNow = busy();
    late = busyNow - busyBefore > LATE_ABOVE * (now - lookedAt);
    lookedAt = now;
    busyBefore = busyNow;
    return late;
  };
}

function activeTime(): number {
  return performance.eventLoopUtilization().active;
}
