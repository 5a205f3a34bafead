/**
 * Keeps the server's lease alive and takes over the jobs of servers that died.
 *
 * Where the backend can beat off this thread, it does: the main loop only moves `pulse`, so a handler that blocks the
 * loop for a while costs no lease, and one that blocks it for longer than `stallTimeout` does. Elsewhere a timer beats.
 */
import type { Backend, ServerInfo } from '../backend/backend.ts';
import type { Clock, Timer } from '../clock.ts';
import { toError } from '../errors.ts';
import { Service } from '../lifecycle.ts';
import type { Observer } from './events.ts';

export interface HeartOptions {
  readonly backend: Backend;
  readonly server: ServerInfo;
  readonly lease: number;
  readonly stallTimeout: number;
  readonly clock: Clock;
  readonly observe: Observer | undefined;
  /** Called after jobs of a dead server became available. */
  readonly onRescue: () => void;
}

export class Heart extends Service {
  readonly #options: HeartOptions;
  readonly #pulse = new Int32Array(new SharedArrayBuffer(4));
  #timer: Timer | undefined;

  constructor(options: HeartOptions) {
    super();
    this.#options = options;
  }

  protected override async onStart(): Promise<void> {
    const { backend, server, stallTimeout } = this.#options;
    await backend.beat(server);
    await backend.startHeart?.(server, { every: this.#every, stallTimeout, pulse: this.#pulse });
    await this.#rescue();
    this.#next();
  }

  protected override onStop(): void {
    this.#timer?.cancel();
  }

  /** Three beats fit into a lease: one may be late and one may be lost. */
  get #every(): number {
    return this.#options.lease / 3;
  }

  #next(): void {
    this.#timer = this.#options.clock.timer(this.#every, () => {
      this.#next();
      void this.#beat();
    });
  }

  async #beat(): Promise<void> {
    const { backend, server, observe } = this.#options;
    Atomics.add(this.#pulse, 0, 1);
    try {
      if (!backend.startHeart) await backend.beat(server);
      await this.#rescue();
    } catch (error) {
      observe?.({ type: 'backend-error', error: toError(error), doing: 'beat', retryIn: this.#every });
    }
  }

  async #rescue(): Promise<void> {
    const { backend, lease, observe, onRescue } = this.#options;
    const count = await backend.rescue(lease);
    if (count === 0) return;
    observe?.({ type: 'rescued', count });
    onRescue();
  }
}
