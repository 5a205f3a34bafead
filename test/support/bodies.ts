/**
 * Bodies for the tests of pools: they start, listen and end as the test says.
 */
import type { TaskContext } from '../../src/pool/pool.ts';

/** A turn of the event loop: whatever can start has started, and whoever waits for it has heard. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Ends when its signal aborts, with the reason. */
export const untilAborted = ({ signal }: TaskContext): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

/** A body that ends when the test says so. `deaf` ignores its signal, otherwise it gives up with the signal's reason. */
export function gate<T = void>({ deaf = false } = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let started = false;
  return {
    body(context: TaskContext): Promise<T> {
      started = true;
      if (!deaf) untilAborted(context).catch(reject);
      return promise;
    },
    resolve,
    reject,
    get started() {
      return started;
    },
  };
}

/** Collects what an async iterable gives, and what it throws at the end. */
export async function collect<R>(results: AsyncIterable<R>): Promise<{ all: R[]; error: unknown }> {
  const all: R[] = [];
  try {
    for await (const result of results) all.push(result);
  } catch (error) {
    return { all, error };
  }
  return { all, error: undefined };
}
