/**
 * Calls that wait their turn, oldest first: each has an item, a promise, and perhaps a signal by which it leaves.
 *
 *   oldest ◀──▶ … ◀──▶ newest        a linked list, so that one that gives up leaves in O(1) from any place
 *
 * Promises: each promise settles once: resolved by whoever takes the waiter, or rejected with its signal's reason or by
 * `rejectAll`. One that has left or was taken has no listener any more. Costs: one promise and one node per waiter.
 */
import { onAbort } from './on-abort.ts';

export interface Waiter<Item, Result> {
  readonly item: Item;
  resolve(result: Result): void;
}

interface Node<Item, Result> extends Waiter<Item, Result> {
  reject(reason: unknown): void;
  readonly signal: AbortSignal | undefined;
  stopListening: (() => void) | undefined;
  older: Node<Item, Result> | undefined;
  newer: Node<Item, Result> | undefined;
}

export class Waiters<Item, Result> {
  #oldest: Node<Item, Result> | undefined;
  #newest: Node<Item, Result> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
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
        older: this.#newest,
        newer: undefined,
      };
      if (signal) {
        node.stopListening = onAbort(signal, () => {
          this.#remove(node);
          reject(signal.reason);
        });
      }
      if (this.#newest) this.#newest.newer = node;
      else this.#oldest = node;
      this.#newest = node;
      this.#size++;
    });
  }

  /**
   * Takes the oldest out of the line; the caller resolves it. Passes over those whose signal has aborted: when many wait
   * behind one signal, the first that leaves may free a place, which must not go to one that is about to leave.
   */
  take(): Waiter<Item, Result> | undefined {
    for (let node = this.#oldest; node; node = this.#oldest) {
      this.#remove(node);
      if (!node.signal?.aborted) return node;
      node.reject(node.signal.reason);
    }
    return undefined;
  }

  rejectAll(reason: unknown): void {
    for (let node = this.#oldest; node; node = this.#oldest) {
      this.#remove(node);
      node.reject(reason);
    }
  }

  #remove(node: Node<Item, Result>): void {
    node.stopListening?.();
    if (node.older) node.older.newer = node.newer;
    else this.#oldest = node.newer;
    if (node.newer) node.newer.older = node.older;
    else this.#newest = node.older;
    this.#size--;
  }
}
