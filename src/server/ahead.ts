/**
 * How many jobs to claim ahead of a free worker.
 *
 *   a claim finds its workers idle     it came too late: twice as many ahead
 *   a claim finds most of them waiting it came too early: a quarter fewer
 *
 * Between a job per worker and `MOST`. So quick jobs come in large claims, which cost less each; slow ones do not wait here
 * while another server could run them. Only claims that brought all they asked for say anything: the others were limited
 * by what there is.
 */

/** Jobs per worker, and in all. */
const MOST_PER_WORKER = 16;
const MOST = 1_000;

export class Ahead {
  readonly #least: number;
  readonly #most: number;
  #size: number;

  /** @param fixed the number, if it is not to be found */
  constructor(workers: number, fixed?: number) {
    this.#least = fixed ?? workers;
    this.#most = fixed ?? Math.max(workers, Math.min(MOST, MOST_PER_WORKER * workers));
    this.#size = this.#least;
  }

  get size(): number {
    return this.#size;
  }

  get most(): number {
    return this.#most;
  }

  /** A full claim has come while so many workers were idle and so many jobs waited for one. */
  came(idle: number, waiting: number): void {
    if (2 * idle >= this.#least) this.#size = Math.min(this.#most, 2 * this.#size);
    else if (2 * waiting > this.#size) this.#size = Math.max(this.#least, Math.floor(0.75 * this.#size));
  }
}
