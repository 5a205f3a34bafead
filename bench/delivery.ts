/**
 * Whether every job was run, and run once. A figure of a queue that loses or doubles jobs would be worth nothing.
 *
 * One byte per job. `verify` is the judge; `when` only tells that as many runs were counted, doubled ones included.
 */
import type { Letter } from './letters.ts';

interface Milestone {
  readonly runs: number;
  resolve(at: number): void;
}

export class Delivery {
  readonly #times: Uint8Array;
  readonly #milestones: Milestone[] = [];
  #runs = 0;
  #strays = 0;

  /** Jobs are numbered from 0 to `jobs` - 1. */
  constructor(jobs: number) {
    this.#times = new Uint8Array(jobs);
  }

  /** Runs counted so far, the wrong ones included. */
  get runs(): number {
    return this.#runs;
  }

  /** Call once per run of a handler, with what it got. */
  arrive(letter: Letter): void {
    const number = Number(letter.number);
    const times = this.#times[number];
    if (times === undefined) this.#strays++;
    else this.#times[number] = Math.min(255, times + 1);
    this.#runs++;
    if (this.#milestones.length > 0) this.#reach();
  }

  /** Resolves to the moment (`performance.now()`) at which that many runs were counted. */
  when(runs: number): Promise<number> {
    return new Promise((resolve) => {
      this.#milestones.push({ runs, resolve });
      this.#reach();
    });
  }

  /**
   * Throws unless every job was run once, and nothing else was.
   * @param left jobs that were left where they wait: so many, and not one more, may be unseen
   */
  verify(left = 0): void {
    let unseen = 0;
    let doubled = 0;
    for (const times of this.#times) {
      if (times === 0) unseen++;
      else if (times > 1) doubled++;
    }
    const lost = unseen - left;
    if (lost === 0 && doubled === 0 && this.#strays === 0) return;
    throw new Error(
      `of ${this.#times.length} jobs ${lost} were lost, ${doubled} run more than once, ${this.#strays} unheard of`,
    );
  }

  #reach(): void {
    for (let i = this.#milestones.length - 1; i >= 0; i--) {
      const { runs, resolve } = this.#milestones[i] as Milestone;
      if (this.#runs < runs) continue;
      this.#milestones.splice(i, 1);
      resolve(performance.now());
    }
  }
}
