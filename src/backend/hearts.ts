/**
 * Beats for the servers of this process, from a thread that no handler can block.
 *
 *   pulse moves ─────────▶ beat every `every` ms
 *   pulse stands still for `stallTimeout` ms ─▶ no beats, until it moves again
 *
 * Runs on the machine's clock: it vouches for a real process.
 */
import type { HeartOptions, ServerInfo } from './backend.ts';

/** Longest delay that `setInterval` honours; with a longer one it would beat without a pause. */
const MAX_DELAY = 2 ** 31 - 1;

export class Hearts {
  readonly #beat: (server: ServerInfo) => void;
  readonly #hearts = new Map<string, NodeJS.Timeout>();

  constructor(beat: (server: ServerInfo) => void) {
    this.#beat = beat;
  }

  /** The first beat is the caller's; this makes the following ones. A second start for the same server replaces the first. */
  start(server: ServerInfo, { every, stallTimeout, pulse }: HeartOptions): void {
    this.stop(server.id);
    let seen = Atomics.load(pulse, 0);
    let movedAt = performance.now();
    const tick = () => {
      const count = Atomics.load(pulse, 0);
      if (count !== seen) {
        seen = count;
        movedAt = performance.now();
      }
      if (performance.now() - movedAt < stallTimeout) this.#beat(server);
    };
    this.#hearts.set(server.id, setInterval(tick, Math.min(every, MAX_DELAY)).unref());
  }

  stop(server: string): void {
    clearInterval(this.#hearts.get(server));
    this.#hearts.delete(server);
  }

  stopAll(): void {
    for (const server of [...this.#hearts.keys()]) this.stop(server);
  }
}
