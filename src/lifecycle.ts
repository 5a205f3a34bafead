/**
 * Start and stop, once and for all services.
 *
 *   idle ──start──▶ starting ──▶ running ──stop──▶ stopping ──▶ stopped ──start──▶ starting …
 *                      └──────── fails ────────────────────────────▲
 *
 * Promises: `start` and `stop` may be called any number of times, in any order, concurrently. Calls never overlap: the
 * hooks `onStart` and `onStop` run strictly one after the other. A failed start runs `onStop` too, so half-made
 * resources are released, and leaves the service stopped. `stop` before `start` is a no-op.
 */
import { MillraceError } from './errors.ts';

export type LifecycleState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped';

export abstract class Service implements AsyncDisposable {
  #state: LifecycleState = 'idle';
  #last: Promise<void> = Promise.resolve();

  /** Acquire what the service needs. Runs only when nothing is held. */
  protected abstract onStart(): Promise<void> | void;
  /** Release everything, also after a start that failed half way. */
  protected abstract onStop(): Promise<void> | void;

  get state(): LifecycleState {
    return this.#state;
  }

  /** Resolves when running. Rejects with the reason when `onStart` fails. */
  start(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#state === 'running') return;
      this.#state = 'starting';
      try {
        await this.onStart();
        this.#state = 'running';
      } catch (error) {
        // What went wrong while cleaning up is a consequence; the caller needs the reason.
        await this.#release().catch(() => undefined);
        throw error;
      }
    });
  }

  /** Resolves when everything is released. */
  stop(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#state === 'running') await this.#release();
    });
  }

  /** Throws NOT_RUNNING unless the service is running. */
  protected assertRunning(what: string): void {
    if (this.#state !== 'running') throw new MillraceError('NOT_RUNNING', { what, state: this.#state });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #release(): Promise<void> {
    this.#state = 'stopping';
    try {
      await this.onStop();
    } finally {
      this.#state = 'stopped';
    }
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    const result = this.#last.then(step);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
