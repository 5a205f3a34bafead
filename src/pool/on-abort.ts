/**
 * One listener per AbortSignal, however many wait for it.
 *
 * `addEventListener` walks all listeners of its target, so 10,000 waiters on one signal would cost 50 million steps. Here
 * they share one listener and a Set: O(1) to join, O(1) to leave. The listener goes when the last of them leaves.
 */
interface Watch {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `callback` once when the signal aborts, in the order of the calls; returns how to stop waiting for it. The caller
 * looks at `signal.aborted` first: nothing is called for a signal that has aborted already.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? begin(signal);
  const entry = () => callback(); // one entry per call: the same callback may wait twice
  watch.callbacks.add(entry);
  return () => {
    if (!watch.callbacks.delete(entry) || watch.callbacks.size > 0) return;
    signal.removeEventListener('abort', watch.listener);
    if (watches.get(signal) === watch) watches.delete(signal);
  };
}

function begin(signal: AbortSignal): Watch {
  const callbacks = new Set<() => void>();
  const listener = () => {
    watches.delete(signal);
    // Over the live set: a callback that makes another one leave keeps that one from being called.
    for (const callback of callbacks) {
      callbacks.delete(callback);
      callback();
    }
  };
  signal.addEventListener('abort', listener, { once: true });
  const watch = { callbacks, listener };
  watches.set(signal, watch);
  return watch;
}
