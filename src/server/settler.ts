/**
 * Carries outcomes back to the backend, many in one call.
 *
 * THE PLACE WHERE A JOB COULD RUN TWICE: an outcome that is dropped here leaves its job `running` until the lease ends,
 * and then it runs again. So a backend that does not answer is asked again, with back-off, for as long as the server
 * lives; `pending` bounds what gathers, because the fetcher claims nothing while it is high.
 */
import type { Backend, Outcome } from '../backend/backend.ts';
import { Batcher } from '../batch.ts';
import { type Clock, sleep } from '../clock.ts';
import { toError } from '../errors.ts';
import { exponential } from '../job/backoff.ts';
import type { Observer } from './events.ts';
import type { Reporter } from './reporter.ts';

export interface SettlerOptions {
  readonly backend: Backend;
  readonly server: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observer | undefined;
  /** What jobs have reported is stored before their outcomes are. */
  readonly reporter: Reporter;
  /** Called when `pending` has gone down. */
  readonly onSettled: () => void;
}

const retryAfter = exponential({ base: 100, max: 5_000 });

export class Settler {
  readonly #options: SettlerOptions;
  readonly #batcher: Batcher<readonly Outcome[], undefined>;
  readonly #quit = new AbortController();
  #pending = 0;

  constructor(options: SettlerOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ run: (lists) => this.#send(lists.flat()) });
  }

  /** Outcomes that are not stored yet. */
  get pending(): number {
    return this.#pending;
  }

  settle(outcomes: readonly Outcome[]): void {
    if (outcomes.length === 0) return;
    this.#pending += outcomes.length;
    this.#batcher.add(outcomes).then(
      () => this.#stored(outcomes.length),
      () => this.#stored(outcomes.length), // given up at the stop: the lease brings the jobs back
    );
  }

  /** Resolves when every outcome is stored, or when `giveUp` was called. */
  drain(): Promise<void> {
    return this.#batcher.drain();
  }

  /** Ends the retries: the backend does not come back in time. */
  giveUp(): void {
    this.#quit.abort();
  }

  #stored(count: number): void {
    this.#pending -= count;
    this.#options.onSettled();
  }

  async #send(outcomes: readonly Outcome[]): Promise<readonly undefined[]> {
    const { backend, server, clock, random, observe, reporter } = this.#options;
    for (let failures = 1; ; failures++) {
      try {
        if (reporter.busy) await reporter.flush();
        const results = await backend.settle(server, outcomes);
        if (observe) {
          results.forEach((result, i) => {
            if (result === 'stale') observe({ type: 'stale', id: outcomes[i]?.id ?? '' });
          });
        }
        return [];
      } catch (error) {
        const retryIn = retryAfter(failures, random, toError(error));
        observe?.({ type: 'backend-error', error: toError(error), doing: 'settle', retryIn });
        await sleep(clock, retryIn, this.#quit.signal);
      }
    }
  }
}
