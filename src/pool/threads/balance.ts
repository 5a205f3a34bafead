/**
 * Takes back what lies before a thread in vain: jobs behind a long body, and jobs behind a busy thread while another one is
 * idle.
 *
 *   stall     a body has run for 10 ms and there are jobs behind it: all of them go back, unassigned
 *   balance   a thread has nothing to do: it gets half of what lies before the busiest
 *
 * Costs: one timer while jobs are prefetched, none otherwise. A look at a thread is O(its jobs).
 */
import type { Clock } from '../../clock.ts';
import { Alarm } from './alarm.ts';
import type { Placed } from './places.ts';
import type { Prefetch } from './prefetch.ts';
import type { Roster } from './roster.ts';
import type { Thread } from './thread.ts';

/** ms that a body may run before the jobs behind it are taken back. */
const STALL = 10;
/** ms of work that make it worth moving at once; less is done before it has arrived elsewhere. */
const WORTH = 0.5;

export interface BalanceOptions {
  readonly clock: Clock;
  readonly roster: Roster;
  readonly prefetch: Prefetch;
  readonly concurrency: number;
  readonly noneUnassigned: () => boolean;
  /** These jobs were taken back from the thread. */
  readonly taken: (thread: Thread, placed: readonly Placed[]) => void;
}

export class Balance {
  readonly #options: BalanceOptions;
  readonly #alarm: Alarm;
  #watching = false;
  #soon = false;
  #closed = false;

  constructor(options: BalanceOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#lookForStalls());
  }

  /** Some thread has more jobs than it can run at once. */
  watch(): void {
    if (this.#watching || this.#closed) return;
    this.#watching = true;
    this.#alarm.at(this.#options.clock.monotonic() + STALL);
  }

  /** Some thread is idle. Looks after this turn: by then the pool has handed out what it had. */
  soon(): void {
    if (!this.#watching || this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#balance();
    });
  }

  close(): void {
    this.#closed = true;
    this.#watching = false;
    this.#alarm.cancel();
  }

  /** A thread that stalls gets no jobs until it has said something. */
  #lookForStalls(): void {
    const { clock, concurrency, taken } = this.#options;
    this.#watching = false;
    const now = clock.monotonic();
    const since = performance.now() - STALL;
    for (const thread of this.#threads()) {
      if (thread.held <= concurrency) continue;
      const oldest = now - thread.seenAt >= STALL ? thread.places.oldestStart : undefined;
      if (oldest !== undefined && oldest <= since) {
        thread.most = 0;
        taken(thread, thread.takeBack());
      } else this.watch();
    }
    this.#balance();
  }

  #balance(): void {
    if (this.#closed) return;
    const { roster, prefetch, concurrency, noneUnassigned, taken } = this.#options;
    for (const idle of [...roster.active]) {
      if (idle.held > 0 || !noneUnassigned()) continue;
      const busiest = this.#threads().reduce((most, thread) => (thread.held > most.held ? thread : most), idle);
      const behind = busiest.held - concurrency;
      if (behind <= 0 || (prefetch.mean !== undefined && prefetch.mean * behind < WORTH)) return;
      taken(busiest, busiest.takeBack(Math.ceil(behind / 2)));
    }
  }

  /** Those that may have jobs that have not begun. */
  #threads(): Thread[] {
    const { active, out } = this.#options.roster;
    return [...active, ...out].filter((thread) => thread.state !== 'ending');
  }
}
