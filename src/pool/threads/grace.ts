/**
 * Bodies that were told to stop, and have until the end of their grace to do it. One timer for all: the grace is the same
 * for each, so they come due in the order in which they were told.
 */
import type { Clock } from '../../clock.ts';
import { Alarm } from './alarm.ts';
import type { Thread } from './thread.ts';

interface Told {
  readonly thread: Thread;
  readonly slot: number;
  readonly order: number;
  readonly until: number;
}

/** Entries from which those of bodies that have stopped are taken out before their time. */
const FIRST_SWEEP = 64;

export class Grace {
  readonly #clock: Clock;
  readonly #grace: number;
  readonly #over: (thread: Thread) => void;
  #told: Told[] = [];
  readonly #alarm: Alarm;
  #sweepAt = FIRST_SWEEP;

  /**
   * @param grace ms; with `Infinity` nothing is ever due
   * @param over called with the thread of a body that has not stopped in time
   */
  constructor(clock: Clock, grace: number, over: (thread: Thread) => void) {
    this.#clock = clock;
    this.#grace = grace;
    this.#over = over;
    this.#alarm = new Alarm(clock, () => this.#look());
  }

  /** The body in the slot was told to stop. */
  begin(thread: Thread, slot: number): void {
    if (this.#grace === Number.POSITIVE_INFINITY) return;
    const until = this.#clock.monotonic() + this.#grace;
    if (this.#told.length >= this.#sweepAt) this.#sweep();
    this.#told.push({ thread, slot, order: thread.places.order(slot), until });
    this.#alarm.at(until);
  }

  cancel(): void {
    this.#alarm.cancel();
    this.#told = [];
  }

  #look(): void {
    const now = this.#clock.monotonic();
    for (let first = this.#told[0]; first; first = this.#told[0]) {
      if (first.until > now) {
        this.#alarm.at(first.until);
        return;
      }
      this.#told.shift();
      if (isStopping(first)) this.#over(first.thread);
    }
  }

  #sweep(): void {
    this.#told = this.#told.filter(isStopping);
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#told.length);
  }
}

/** The slot may have another job by now. */
function isStopping({ thread, slot, order }: Told): boolean {
  return thread.places.order(slot) === order && thread.places.isStopping(slot);
}
