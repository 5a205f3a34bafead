/**
 * Many concurrent calls, few batches: group commit for anything that takes a list.
 *
 *   call ─┐                 ┌─ run([a, b, c])   one batch under way,
 *   call ─┼─▶ waiting ──────┤
 *   call ─┘                 └─ what arrives meanwhile goes into the next
 *
 * Callers that wait for one batch wait together, and come again together: nothing is on its way then. Where it pays, see
 * `ahead`, they are two groups, and one batch is on its way while the other is worked on.
 *
 * Promises: every call settles exactly once, with the result of its own item or with the error of its batch; items
 * reach `run` in the order of the calls. Costs: one promise per call, one turn of the event loop before the first batch
 * leaves (so calls of the same turn travel together), no timer.
 */
import { assertOption, MillraceError } from './errors.ts';

export interface BatcherOptions<I, O> {
  /**
   * Does the work; resolves to the results in the order of the items. A result left out is `undefined`; one that is a
   * promise may reject for its item alone.
   */
  run(items: I[]): Promise<readonly (O | Promise<O>)[]>;
  /** Most items in one batch. Minimum 1. Default 1000. */
  maxItems?: number;
  /**
   * With so many items waiting a batch leaves though another is under way, never a third; and of twice as many, half. Worth it
   * where the way is long, and from a size on at which it does not matter what a batch costs by itself. Minimum 1. Default:
   * one batch at a time.
   */
  ahead?: number;
}

interface Call<I, O> {
  item: I;
  resolve(result: O | Promise<O>): void;
  reject(error: unknown): void;
}

export class Batcher<I, O> {
  readonly #run: (items: I[]) => Promise<readonly (O | Promise<O>)[]>;
  readonly #maxItems: number;
  readonly #ahead: number;
  #waiting: Call<I, O>[] = [];
  /** Batches. */
  #underWay = 0;
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions<I, O>) {
    this.#run = options.run;
    const { maxItems = 1000, ahead = Number.POSITIVE_INFINITY } = options;
    assertOption('maxItems', maxItems, Number.isInteger(maxItems) && maxItems >= 1, 'an integer from 1');
    assertOption('ahead', ahead, ahead >= 1, 'a number from 1');
    this.#maxItems = maxItems;
    this.#ahead = ahead;
  }

  /** Items that wait for a batch to leave. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Puts one item into the next batch. Rejects with STOPPED after `close`. */
  add(item: I): Promise<O> {
    if (this.#closed) return Promise.reject(new MillraceError('STOPPED', { what: 'the batcher' }));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  drain(): Promise<void> {
    if (this.#underWay === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Refuses new items, then drains. */
  close(): Promise<void> {
    this.#closed = true;
    return this.drain();
  }

  #schedule(): void {
    if (this.#scheduled || !this.#mayLeave(this.#underWay)) return;
    this.#scheduled = true;
    // setImmediate and not a microtask: every socket that became readable in this turn gets its item in.
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#mayLeave(this.#underWay)) void this.#flush();
    });
  }

  /** Whether the next batch may leave beside so many others. */
  #mayLeave(others: number): boolean {
    return others === 0 || (others === 1 && this.#waiting.length >= this.#ahead);
  }

  async #flush(): Promise<void> {
    this.#underWay++;
    // What gathered while a batch was under way leaves as soon as that has ended: it has waited long enough.
    while (this.#waiting.length > 0 && this.#mayLeave(this.#underWay - 1)) {
      const calls = this.#take();
      try {
        const running = this.#run(calls.map((call) => call.item));
        this.#schedule(); // the other half
        const results = await running;
        for (let i = 0; i < calls.length; i++) calls[i]?.resolve(results[i] as O | Promise<O>);
      } catch (error) {
        for (const call of calls) call.reject(error);
      }
    }
    this.#underWay--;
    if (this.#underWay > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #take(): Call<I, O>[] {
    const waiting = this.#waiting.length;
    const areTwo = this.#underWay === 1 && waiting >= 2 * this.#ahead;
    return this.#waiting.splice(0, Math.min(this.#maxItems, areTwo ? Math.ceil(waiting / 2) : waiting));
  }
}
