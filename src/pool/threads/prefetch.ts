/**
 * How many jobs to hand to a thread ahead: enough that it works through the round trip, few enough that none waits long.
 *
 *   mean run time   8 µs   31 µs    125 µs    500 µs    1 ms … 10 ms    10 ms …
 *   window          256      64       16         4           1             0
 *
 * The window is worth about 2 ms of work, in powers of two so that it does not change with every burst, at most 256; one
 * for jobs of some ms, where a round trip still shows; none for longer ones. The mean is exponentially weighted over
 * about the last 64 jobs.
 */
const MOST = 256;
/** ms of work to have ready in a thread. */
const AHEAD = 2;
/** ms of run time from which nothing is prefetched. */
const LONG = 10;
/** The weight of one job in the mean. */
const WEIGHT = 1 / 64;

export class Prefetch {
  readonly #fixed: boolean;
  #window: number;
  #mean: number | undefined;

  constructor(window: number | 'auto') {
    this.#fixed = window !== 'auto';
    // Nothing is known of the first jobs; they come one by one.
    this.#window = window === 'auto' ? 0 : window;
  }

  get window(): number {
    return this.#window;
  }

  /** The largest window there will ever be. */
  get most(): number {
    return this.#fixed ? this.#window : MOST;
  }

  /** ms of a thread's time that one job takes, or undefined before the first has ended. */
  get mean(): number | undefined {
    return this.#mean;
  }

  /** `bodies` more have taken `runTime` ms of a thread's time. True when the window has changed. */
  note(runTime: number, bodies: number): boolean {
    if (bodies === 0) return false;
    const mean = runTime / bodies;
    const before = this.#mean;
    this.#mean = before === undefined ? mean : before + (mean - before) * Math.max(0.1, 1 - (1 - WEIGHT) ** bodies);
    if (this.#fixed) return false;
    const window = this.#choose(this.#mean);
    if (window === this.#window) return false;
    this.#window = window;
    return true;
  }

  /** Down only when it is too large by half: a mean at the edge of two windows must not swing between them. */
  #choose(mean: number): number {
    if (mean >= LONG) return 0;
    const window = Math.min(MOST, Math.max(1, 2 ** Math.floor(Math.log2(AHEAD / mean))));
    const isEdge = window * 2 === this.#window && AHEAD / mean > window * 1.5;
    return isEdge ? this.#window : window;
  }
}
