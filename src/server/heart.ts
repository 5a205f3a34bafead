/**
 * Keeps the server's lease alive, looks whether it was kept, takes over the jobs of servers that died, looks for orders, and
 * sweeps the floor.
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
  /** ms between looks for orders and for what to tidy, if that is longer than the time between beats. */
  readonly pollInterval: number;
  readonly clock: Clock;
  readonly observe: Observer | undefined;
  /** Called after jobs of a dead server became available. */
  readonly onRescue: () => void;
  /** Has it found out whether this server still holds its jobs: beats are no proof, one that is late registers it anew. */
  readonly checkHeld: () => void;
  /** Looks whether somebody wants something of this server's jobs. Never rejects. */
  readonly readOrders: () => Promise<void>;
}

/** Most calls of `tidy` in one beat: what is left waits for the next, which may be another server's. */
const MAX_TIDY = 20;

export class Heart extends Service {
  readonly #options: HeartOptions;
  readonly #pulse = new Int32Array(new SharedArrayBuffer(4));
  #timer: Timer | undefined;
  #sweeping = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

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
    const { backend, server, pollInterval, clock, checkHeld, readOrders } = this.#options;
    Atomics.add(this.#pulse, 0, 1);
    // The lease waits for nobody: a slow sweep must not cost it.
    if (!backend.startHeart) void this.#attempt('beat', () => backend.beat(server));
    checkHeld();
    if (this.#sweeping) return;
    this.#sweeping = true;
    await this.#attempt('rescue', () => this.#rescue());
    const now = clock.monotonic();
    if (now - this.#lookedAt >= pollInterval) {
      this.#lookedAt = now;
      await readOrders();
      await this.#attempt('tidy', () => this.#tidy());
    }
    this.#sweeping = false;
  }

  /** Each duty by itself: a backend that cannot do one now may do the next. */
  async #attempt(doing: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#options.observe?.({ type: 'backend-error', error: toError(error), doing, retryIn: this.#every });
    }
  }

  async #rescue(): Promise<void> {
    const { backend, lease, observe, onRescue } = this.#options;
    const count = await backend.rescue(lease);
    if (count === 0) return;
    observe?.({ type: 'rescued', count });
    onRescue();
  }

  async #tidy(): Promise<void> {
    const { backend, observe } = this.#options;
    let count = 0;
    for (let i = 0; i < MAX_TIDY; i++) {
      const gone = await backend.tidy();
      if (gone === 0) break;
      count += gone;
    }
    if (count > 0) observe?.({ type: 'tidied', count });
  }
}
