/**
 * Collects the jobs of one batch handler until there is a batch: `size` of them, or what has come within `wait` ms of
 * the first. Holds less than one batch; costs one timer while it holds something.
 */
import type { ClaimedJob } from '../backend/backend.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Work } from './executor.ts';

export interface GathererOptions {
  readonly size: number;
  readonly wait: number;
  readonly clock: Clock;
  readonly dispatch: (work: Work) => void;
}

export class Gatherer {
  readonly #options: GathererOptions;
  #held: ClaimedJob[] = [];
  #timer: Timer | undefined;

  constructor(options: GathererOptions) {
    this.#options = options;
  }

  get held(): readonly ClaimedJob[] {
    return this.#held;
  }

  /** The jobs of one claim. */
  take(jobs: readonly ClaimedJob[]): void {
    const { size, wait, clock } = this.#options;
    let from = 0;
    while (this.#held.length + jobs.length - from >= size) {
      const to = from + size - this.#held.length;
      this.#dispatch(this.#held.concat(jobs.slice(from, to)));
      from = to;
    }
    for (; from < jobs.length; from++) this.#held.push(jobs[from] as ClaimedJob);

    if (wait === 0) this.flush();
    else if (this.#held.length > 0) this.#timer ??= clock.timer(wait, () => this.flush());
  }

  /** Sends what is there. */
  flush(): void {
    if (this.#held.length > 0) this.#dispatch(this.#held);
  }

  /** Takes out the first job that matches. */
  remove(matches: (job: ClaimedJob) => boolean): ClaimedJob | undefined {
    const at = this.#held.findIndex(matches);
    if (at < 0) return undefined;
    const [job] = this.#held.splice(at, 1);
    if (this.#held.length === 0) this.#disarm();
    return job;
  }

  #dispatch(jobs: readonly ClaimedJob[]): void {
    this.#disarm();
    this.#held = [];
    this.#options.dispatch({ jobs });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
