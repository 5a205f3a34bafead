/**
 * Many moments, one timer: calls each entry when its time has come.
 *
 *   entries: a binary heap by time; every entry knows its place in it, so one that is over leaves in O(log n)
 *   timer:   one, for the earliest; none while there are no entries
 *
 * Promises: an entry fires once, not before its time, in order of time; what has left does not fire. An entry that is set
 * later than the timer does not move the timer: when that one fires early, it is armed again.
 */
import type { Clock, Timer } from '../clock.ts';

export interface Deadline {
  /** `monotonic` milliseconds. */
  at: number;
  /** Its place in the heap; -1 while it is in none. */
  place: number;
  fire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #heap: Deadline[] = [];
  #timer: Timer | undefined;
  /** When the timer is due. */
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Calls `fire` in `ms` milliseconds. */
  add(ms: number, fire: () => void): Deadline {
    const deadline: Deadline = { at: this.#clock.monotonic() + ms, place: this.#heap.length, fire };
    this.#heap.push(deadline);
    this.#rise(deadline);
    this.#arm();
    return deadline;
  }

  /** Does nothing when it has fired or left already. */
  delete(deadline: Deadline): void {
    const { place } = deadline;
    if (place < 0) return;
    deadline.place = -1;
    const last = this.#heap.pop() as Deadline;
    if (last !== deadline) {
      this.#put(last, place);
      this.#rise(last);
      this.#sink(last);
    }
    if (this.#heap.length === 0) this.#disarm();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (!first || first.at >= this.#armedFor) return;
    this.#disarm();
    this.#armedFor = first.at;
    this.#timer = this.#clock.timer(Math.ceil(first.at - this.#clock.monotonic()), this.#due);
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  readonly #due = (): void => {
    this.#disarm();
    const now = this.#clock.monotonic();
    for (let first = this.#heap[0]; first && first.at <= now; first = this.#heap[0]) {
      this.delete(first);
      first.fire();
    }
    this.#arm();
  };

  #rise(deadline: Deadline): void {
    for (let place = deadline.place; place > 0; ) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above] as Deadline;
      if (parent.at <= deadline.at) return;
      this.#put(parent, place);
      this.#put(deadline, above);
      place = above;
    }
  }

  #sink(deadline: Deadline): void {
    for (let place = deadline.place; ; ) {
      const left = this.#heap[2 * place + 1];
      if (!left) return;
      const right = this.#heap[2 * place + 2];
      const child = right && right.at < left.at ? right : left;
      if (deadline.at <= child.at) return;
      const below = child.place;
      this.#put(child, place);
      this.#put(deadline, below);
      place = below;
    }
  }

  #put(deadline: Deadline, place: number): void {
    this.#heap[place] = deadline;
    deadline.place = place;
  }
}
