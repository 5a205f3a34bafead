/**
 * Time as a dependency: the system's, or one that a test turns by hand.
 *
 * Nothing in Millrace calls `Date.now` or `setTimeout` directly where behaviour depends on it; it asks a Clock. A
 * `VirtualClock` stands still until `advance` is called, then fires what is due in order of its time.
 */

/** A pending timer. `cancel` after it fired does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch. May jump when somebody sets the machine's clock. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. For durations. */
  monotonic(): number;
  /** Calls `fire` once, `ms` milliseconds from now (0 = next turn). The timer keeps the process alive unless `unref`. */
  timer(ms: number, fire: () => void, options?: { unref?: boolean }): Timer;
}

/** Longest delay that `setTimeout` honours, about 25 days; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(ms, fire, options) {
    let handle: NodeJS.Timeout;
    const arm = (left: number) => {
      handle = left <= MAX_DELAY ? setTimeout(fire, Math.max(0, left)) : setTimeout(arm, MAX_DELAY, left - MAX_DELAY);
      if (options?.unref) handle.unref();
    };
    arm(ms);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. Leaves no listener and no timer. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.timer(ms, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    signal?.addEventListener('abort', abort, { once: true });
  });
}

interface Pending {
  at: number;
  order: number;
  fire: () => void;
}

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  #now: number;
  readonly #start: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** @param start milliseconds since the epoch; defaults to 2026-01-01T00:00:00Z */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
    this.#start = start;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now - this.#start;
  }

  timer(ms: number, fire: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, ms), order: this.#order++, fire };
    this.#pending.add(entry);
    return { cancel: () => this.#pending.delete(entry) };
  }

  /** Timers that have not fired; a test that ends with some has leaked them. */
  get pending(): number {
    return this.#pending.size;
  }

  /** When the next timer is due, or undefined. */
  get nextAt(): number | undefined {
    return this.#next()?.at;
  }

  /**
   * Moves time forward by `ms`, firing each timer at its own moment; promises that a timer resolves run (a turn of the
   * event loop) before the next timer fires, so a loop of sleeps advances as it would in real time.
   */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    for (let next = this.#next(); next && next.at <= target; next = this.#next()) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.fire();
      await turn();
    }
    this.#now = target;
    await turn();
  }

  #next(): Pending | undefined {
    let first: Pending | undefined;
    for (const entry of this.#pending) {
      if (!first || entry.at < first.at || (entry.at === first.at && entry.order < first.order)) first = entry;
    }
    return first;
  }
}

/** One turn of the event loop: every promise that is ready has run when it resolves. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
