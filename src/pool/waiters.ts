/**
 * Calls that wait their turn, oldest first: each has an item, a promise, and perhaps a signal by which it leaves.
 *
 * Promises: each promise settles once: resolved by whoever takes the waiter, or rejected with its signal's reason or by
 * `rejectAll`. One that has left or was taken has no listener any more. Costs: one promise and one link per waiter; one
 * that gives up leaves in O(1) from any place.
 */
import { Chain, type Link } from './chain.ts';
import { onAbort } from './on-abort.ts';

export interface Waiter<Item, Result> {
  readonly item: Item;
  resolve(result: Result): void;
}

interface Node<Item, Result> extends Waiter<Item, Result>, Link<Node<Item, Result>> {
  reject(reason: unknown): void;
  readonly signal: AbortSignal | undefined;
  stopListening: (() => void) | undefined;
}

export class Waiters<Item, Result> {
  readonly #line = new Chain<Node<Item, Result>>();

  get size(): number {
    return this.#line.size;
  }

  /** Joins the end of the line. */
  wait(item: Item, signal?: AbortSignal): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const node: Node<Item, Result> = {
        item,
        resolve,
        reject,
        signal,
        stopListening: undefined,
        older: undefined,
        newer: undefined,
      };
      if (signal) {
        node.stopListening = onAbort(signal, () => {
          this.#line.delete(node);
          node.stopListening?.();
          reject(signal.reason);
        });
      }
      this.#line.push(node);
    });
  }

  /**
   * Takes the oldest out of the line; the caller resolves it. Passes over those whose signal has aborted: when many wait
   * behind one signal, the first that leaves may free a place, which must not go to one that is about to leave.
   */
  take(): Waiter<Item, Result> | undefined {
    for (let node = this.#line.shift(); node; node = this.#line.shift()) {
      node.stopListening?.();
      if (!node.signal?.aborted) return node;
      node.reject(node.signal.reason);
    }
    return undefined;
  }

  rejectAll(reason: unknown): void {
    for (let node = this.#line.shift(); node; node = this.#line.shift()) {
      node.stopListening?.();
      node.reject(reason);
    }
  }
}
