/**
 * The table that a thread and the main thread share: who holds which job, decided by compare-exchange, so that both
 * sides know for certain whether a body was started, also after the thread has died.
 *
 *                        main: take back
 *              ┌──────────────────────────────▶ REVOKED ──thread passes by──┐
 *   FREE ──▶ PREFETCHED                                                     ▼
 *    ▲   main  └──thread──▶ STARTED ──thread──▶ ENDED ─────main────────▶  FREE
 *    │                         └─main: abort─▶ STOPPING ─thread─▶ ENDED     │
 *    └──────────────────────────────────────────────────────────────────────┘
 *
 *   Int32    state[0 … size)
 *   Float64  totals: run time in ms, bodies ended, bytes of heap │ started at[0 … size)
 *
 * A slot that was taken back is free again only when the thread has passed its entry: so the entries on their way to a
 * thread are bounded by the table, and a slot never has two jobs. Costs: 12 bytes per slot, some 10 ns per step.
 */
export const FREE = 0;
export const PREFETCHED = 1;
export const STARTED = 2;
/** Started, and told to stop. */
export const STOPPING = 3;
/** The body has ended; its result is on the way. */
export const ENDED = 4;
/** Taken back before it was started. */
export const REVOKED = 5;

const RUN_TIME = 0;
const BODIES = 1;
const HEAP = 2;
const TOTALS = 3;

/**
 * From `performance.now()` of this thread to the machine's monotonic clock, which all threads share, ms. The largest of
 * several readings: an interruption between the two clocks makes one too small.
 */
const origin = Math.max(...Array.from({ length: 4 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()));

export class Slots {
  readonly shared: SharedArrayBuffer;
  readonly size: number;
  readonly #states: Int32Array;
  readonly #numbers: Float64Array;

  /** A new table of `size` slots, or the other side's view of one. `size` is even, for the sake of alignment. */
  constructor(size: number, shared = new SharedArrayBuffer(4 * size + 8 * (TOTALS + size))) {
    this.size = size;
    this.shared = shared;
    this.#states = new Int32Array(shared, 0, size);
    this.#numbers = new Float64Array(shared, 4 * size);
  }

  state(slot: number): number {
    return Atomics.load(this.#states, slot);
  }

  set(slot: number, state: number): void {
    Atomics.store(this.#states, slot, state);
  }

  /** True when the slot was in `from` and is now in `to`. */
  move(slot: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#states, slot, from, to) === from;
  }

  /** For the thread. `now` is its own `performance.now()`. Written before the state: who sees STARTED sees the time. */
  begin(slot: number, now: number): boolean {
    this.#numbers[TOTALS + slot] = now + origin;
    return this.move(slot, PREFETCHED, STARTED);
  }

  /** For the thread: the body in `slot` has ended after `took` ms. */
  end(slot: number, took: number): void {
    this.#add(RUN_TIME, took);
    this.#add(BODIES, 1);
    this.set(slot, ENDED);
  }

  /** When the body began, as `performance.now()` of the thread that asks. */
  startedAt(slot: number): number {
    return (this.#numbers[TOTALS + slot] ?? 0) - origin;
  }

  /** Sum of the run times of all bodies so far, ms. */
  get runTime(): number {
    return this.#numbers[RUN_TIME] ?? 0;
  }

  /** Bodies that have ended so far. */
  get bodies(): number {
    return this.#numbers[BODIES] ?? 0;
  }

  /** What the thread last said about its heap, bytes. */
  get heap(): number {
    return this.#numbers[HEAP] ?? 0;
  }

  set heap(bytes: number) {
    this.#numbers[HEAP] = bytes;
  }

  #add(index: number, more: number): void {
    this.#numbers[index] = (this.#numbers[index] ?? 0) + more;
  }
}
