/**
 * Bodies that run on although their attempts are over: functions that did not heed their signal in time.
 *
 * JavaScript cannot end a function, so one of them is left behind and its worker is given a new job. That is more load
 * than `workers` promises, so at most `max` are left behind at a time; beyond that a worker stays taken until its own
 * body ends, or one that was left behind does.
 */
export class LeftBehind {
  readonly #max: number;
  #count = 0;
  #holds = true;
  /** Workers that are held, the longest first. */
  readonly #held = new Map<object, () => void>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Bodies that run without a worker now. */
  get count(): number {
    return this.#count;
  }

  /** Whether workers are held. Not while the server stops: there is nothing left to overload it with. */
  set holds(holds: boolean) {
    this.#holds = holds;
    if (!holds) while (this.#held.size > 0) this.#freeNext();
  }

  /** Frees the worker of a body now, or as soon as that may be. False: it is held. */
  leave(body: object, free: () => void): boolean {
    if (this.#holds && this.#count >= this.#max) {
      this.#held.set(body, free);
      return false;
    }
    this.#count++;
    free();
    return true;
  }

  /** A body that was left has ended after all. */
  ended(body: object): void {
    const own = this.#held.get(body);
    if (own) {
      this.#held.delete(body);
      own();
      return;
    }
    this.#count--;
    if (this.#held.size > 0 && this.#count < this.#max) this.#freeNext();
  }

  #freeNext(): void {
    const [[body, free] = []] = this.#held;
    if (!body || !free) return;
    this.#held.delete(body);
    this.#count++;
    free();
  }
}
