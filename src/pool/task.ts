/**
 * One job of a pool on its way to its one outcome.
 *
 *   waiting ──run──▶ running ──body ends──▶ settled     fulfilled | rejected | cancelled
 *      │                │                      ▲
 *      └── cancel ──────┼──────────────────────┤        nothing has started, so it is cancelled at once
 *                       ├── cancel: abort the body, and wait for it to end
 *                       └── abandon ───────────┘        the body runs on; nobody waits for it
 *
 * Promises: `settled` is called exactly once, whatever the body does. A cancelled body that returns a value all the same
 * has fulfilled: the work is done, and to say otherwise would be a lie. Costs: no AbortController unless the body asks
 * for its signal.
 */
export type Outcome<T> =
  | { readonly status: 'fulfilled'; readonly value: T }
  | { readonly status: 'rejected'; readonly error: unknown }
  /** `error` is the reason: that of the signal, or STOPPED. */
  | { readonly status: 'cancelled'; readonly error: unknown };

/** What a body knows about its run. */
export interface TaskContext {
  /** Aborts with the reason of the submission's signal, or with STOPPED when the pool closes or the reader leaves. */
  readonly signal: AbortSignal;
}

export type TaskBody<T> = (context: TaskContext) => T | Promise<T>;

/** A task without its type: all that pools and dispatchers need. */
export interface Runnable {
  run(): Promise<void>;
  cancel(reason: unknown): void;
  abandon(reason: unknown): void;
}

export class Task<T> implements Runnable, TaskContext {
  readonly #body: TaskBody<T>;
  readonly #settled: (outcome: Outcome<T>) => void;
  #state: 'waiting' | 'running' | 'settled' = 'waiting';
  #cancelled: { readonly reason: unknown } | undefined;
  #controller: AbortController | undefined;

  constructor(body: TaskBody<T>, settled: (outcome: Outcome<T>) => void) {
    this.#body = body;
    this.#settled = settled;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#cancelled) this.#controller.abort(this.#cancelled.reason);
    return this.#controller.signal;
  }

  /** Not started and not settled. */
  get waiting(): boolean {
    return this.#state === 'waiting';
  }

  /** Runs the body to its end. Never rejects. */
  async run(): Promise<void> {
    if (this.#state !== 'waiting') return;
    this.#state = 'running';
    try {
      const value = await this.#body(this);
      this.#settle({ status: 'fulfilled', value });
    } catch (error) {
      // The reason of the abort says more than the AbortError that the body made of it.
      if (this.#cancelled) this.#settle({ status: 'cancelled', error: this.#cancelled.reason });
      else this.#settle({ status: 'rejected', error });
    }
  }

  /** Keeps it from starting; or, if it has, tells it to stop. The first reason counts. */
  cancel(reason: unknown): void {
    if (this.#state === 'settled' || this.#cancelled) return;
    this.#cancelled = { reason };
    if (this.#state === 'waiting') this.#settle({ status: 'cancelled', error: reason });
    else this.#controller?.abort(reason);
  }

  /** Settles now, although the body may still run. */
  abandon(reason: unknown): void {
    this.#settle({ status: 'cancelled', error: reason });
  }

  #settle(outcome: Outcome<T>): void {
    if (this.#state === 'settled') return;
    this.#state = 'settled';
    this.#settled(outcome);
  }
}
