/**
 * Learns from how bodies end: how many may run at once, and when the other side wants a pause.
 *
 *   body ends ─▶ classify ─▶ ok | ignored | overload | { retryAfter }
 *                               │                          └─▶ pace: nothing starts for so long
 *                               └─▶ sample ─▶ limit ─▶ how many may run
 *
 * Round trips measured while the event loop is late are left out: they tell how busy this process is.
 */
import type { Clock } from '../clock.ts';
import type { Cause } from './events.ts';
import { lateLoop } from './limits/lag.ts';
import type { Limit } from './limits/limit.ts';
import type { Verdict } from './options.ts';
import type { Pace } from './pace.ts';
import type { ResolvedOptions } from './settings.ts';
import type { Outcome, Task } from './task.ts';

export class Governor {
  readonly #limit: Limit | undefined;
  readonly #classify: (outcome: Outcome<unknown>) => Verdict;
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #isLate: () => boolean;

  constructor({ workers, classify, clock }: ResolvedOptions, pace: Pace) {
    this.#limit = typeof workers === 'number' ? undefined : workers;
    this.#classify = classify;
    this.#clock = clock;
    this.#pace = pace;
    this.#isLate = lateLoop({ clock });
  }

  /** Takes in how a body ended; returns what was made of it. */
  learn({ outcome: ending, times, settings: { bytes } }: Task): Cause {
    if (!ending) return 'ignored';
    const verdict = this.#classify(ending);
    if (typeof verdict === 'object') this.#pace.pause(verdict.retryAfter);
    const outcome = typeof verdict === 'object' ? 'overload' : verdict;
    if (times?.started !== undefined && this.#limit) {
      const { started: startedAt, inFlight } = times;
      const rtt = this.#isLate() ? {} : { rtt: this.#clock.monotonic() - startedAt };
      this.#limit.sample({ outcome, startedAt, inFlight, bytes, ...rtt });
    }
    return outcome;
  }
}
