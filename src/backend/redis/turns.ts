/**
 * Numbers for calls, so that one which is sent again can be told from a new one. The scripts remember what the latest few were
 * answered; so a number is given out only while the oldest that is still in use is less than `width` behind it.
 */
export class Turns {
  readonly #width: number;
  /** In use, in their order. */
  readonly #open = new Set<number>();
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  /** @param width the answers that are remembered */
  constructor(width: number) {
    this.#width = width;
  }

  /** Runs `work` with a number of its own. */
  async take<T>(work: (turn: number) => Promise<T>): Promise<T> {
    while (!this.#isFree()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const turn = this.#next++;
    this.#open.add(turn);
    try {
      return await work(turn);
    } finally {
      this.#open.delete(turn);
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  #isFree(): boolean {
    const [oldest = this.#next] = this.#open;
    return this.#next - oldest < this.#width;
  }
}
