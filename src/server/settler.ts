/**
 * Carries outcomes back to the backend, many in one call.
 *
 * THE PLACE WHERE A JOB COULD RUN TWICE: an outcome that is dropped here leaves its job `running` until the lease ends,
 * and then it runs again. So a backend that does not answer is asked again, with back-off, for as long as the server
 * lives; `pending` bounds what gathers, because the fetcher claims nothing while it is high.
 *
 * A backend that finds fault with an outcome would do so for ever. Then the call is repeated in halves until that outcome is
 * alone, and its job is discarded instead, with the fault in its history: it stands where people look, and does not run again.
 */
import type { Backend, Outcome } from '../backend/backend.ts';
import { Batcher } from '../batch.ts';
import { type Clock, sleep } from '../clock.ts';
import { isError, MillraceError, toError } from '../errors.ts';
import { exponential } from '../job/backoff.ts';
import { describe, type Ended } from './conclude.ts';
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
  readonly #batcher: Batcher<Ended, undefined>;
  readonly #quit = new AbortController();
  #pending = 0;

  constructor(options: SettlerOptions) {
    this.#options = options;
    const ahead = options.backend.ahead?.settle;
    this.#batcher = new Batcher({
      ...(ahead !== undefined && { ahead }),
      run: async (ended) => {
        await this.#store(ended);
        return [];
      },
    });
  }

  /** Outcomes that are not stored yet. */
  get pending(): number {
    return this.#pending;
  }

  settle(ended: readonly Ended[]): void {
    this.#pending += ended.length;
    const stored = () => this.#stored();
    // Rejected when it was given up at the stop: the lease brings the job back.
    for (const each of ended) this.#batcher.add(each).then(stored, stored);
  }

  /** Resolves when every outcome is stored, or when `giveUp` was called. */
  drain(): Promise<void> {
    return this.#batcher.drain();
  }

  /** Ends the retries: the backend does not come back in time. */
  giveUp(): void {
    this.#quit.abort();
  }

  #stored(): void {
    this.#pending--;
    this.#options.onSettled();
  }

  async #store(ended: readonly Ended[]): Promise<void> {
    const fault = await this.#send(ended);
    if (!fault) return;
    const [first, second] = ended;
    if (first && !second) return this.#replace(first, fault);
    const half = Math.ceil(ended.length / 2);
    await this.#store(ended.slice(0, half));
    await this.#store(ended.slice(half));
  }

  async #replace({ job, ending }: Ended, cause: Error): Promise<void> {
    const { clock, observe } = this.#options;
    const error = new MillraceError('OUTCOME_REFUSED', { ending: ending.kind, reason: cause.message }, { cause });
    const fault = await this.#send([{ job, ending: { kind: 'discarded', error: describe(job, error, clock) } }]);
    observe?.({ type: 'refused', job, error, kept: fault === undefined });
  }

  /** Asks until there is an answer. Resolves to the fault that the backend finds with what it is given, if it does. */
  async #send(ended: readonly Ended[]): Promise<Error | undefined> {
    const { backend, server, clock, random, observe, reporter } = this.#options;
    const outcomes = ended.map(toOutcome);
    for (let failures = 1; ; failures++) {
      try {
        if (reporter.busy) await reporter.flush();
        const results = await backend.settle(server, outcomes);
        if (observe) {
          results.forEach((result, i) => {
            if (result === 'stale') observe({ type: 'stale', id: outcomes[i]?.id ?? '' });
          });
        }
        return undefined;
      } catch (thrown) {
        const error = toError(thrown);
        if (isFault(error)) return error;
        const retryIn = retryAfter(failures, random, error);
        observe?.({ type: 'backend-error', error, doing: 'settle', retryIn });
        await sleep(clock, retryIn, this.#quit.signal);
      }
    }
  }
}

function isFault(error: Error): boolean {
  return !(error instanceof MillraceError) || isError(error, 'OPTION_INVALID') || isError(error, 'NOT_SUPPORTED');
}

function toOutcome({ job: { id, claim }, ending }: Ended): Outcome {
  return { id, claim, ending };
}
