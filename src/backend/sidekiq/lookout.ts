/**
 * Sees that there is work in queues which others fill: Ruby processes push without telling anybody. While somebody listens to a queue,
 * it is looked at every half a second, one cheap call for all of them. What our own processes push is told at once.
 */
import type { Clock, Timer } from '../../clock.ts';

const EVERY = 500;

export class Lookout {
  readonly #clock: Clock;
  readonly #look: (queues: readonly string[]) => Promise<void>;
  /** How many listen to it. */
  readonly #queues = new Map<string, number>();
  #timer: Timer | undefined;

  /** @param look tells the listeners; may reject: the next look makes good for it */
  constructor(clock: Clock, look: (queues: readonly string[]) => Promise<void>) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Returns the way to stop. */
  watch(queues: readonly string[]): () => void {
    const names = new Set(queues);
    for (const name of names) this.#queues.set(name, (this.#queues.get(name) ?? 0) + 1);
    if (!this.#timer) this.#next();
    return () => {
      for (const name of names) {
        const count = this.#queues.get(name) ?? 0;
        if (count > 1) this.#queues.set(name, count - 1);
        else this.#queues.delete(name);
      }
      names.clear();
      if (this.#queues.size === 0) this.clear();
    };
  }

  clear(): void {
    this.#queues.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #next(): void {
    const timer = this.#clock.timer(
      EVERY,
      () => {
        this.#look([...this.#queues.keys()])
          .catch(() => undefined)
          .then(() => {
            if (this.#timer === timer) this.#next();
          });
      },
      { unref: true },
    );
    this.#timer = timer;
  }
}
