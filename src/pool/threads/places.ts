/**
 * The jobs that one thread holds, by slot: the main thread's half of the table in slots.ts.
 *
 *   job  ──▶ seat = base + slot ──▶ jobs[slot], orders[slot], state in shared memory
 *
 * Costs per job: its place in three arrays and two atomic steps. What looks at all slots (`running`, `takeBack`,
 * `oldestStart`) is for rare moments.
 */
import { type CrewJob, NO_SEAT } from './job.ts';
import { ENDED, FREE, PREFETCHED, REVOKED, type Slots, STARTED, STOPPING } from './slots.ts';

/** A job and its place in the order of all jobs. */
export interface Placed {
  readonly job: CrewJob;
  readonly order: number;
}

export class Places {
  readonly #slots: Slots;
  readonly #base: number;
  readonly #jobs: (CrewJob | undefined)[];
  readonly #orders: Float64Array;
  readonly #free: Int32Array;
  #freeCount: number;
  /** Slots that were taken back and that the thread has yet to pass by. */
  readonly #revoked: number[] = [];
  #held = 0;

  /** @param base is added to a slot to make the `seat` of its job */
  constructor(slots: Slots, base: number) {
    const { size } = slots;
    this.#slots = slots;
    this.#base = base;
    this.#jobs = new Array(size).fill(undefined);
    this.#orders = new Float64Array(size);
    this.#free = Int32Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#freeCount = size;
  }

  /** Jobs the thread has, started or not, less those that were taken back. */
  get held(): number {
    return this.#held;
  }

  /** Whether a slot is free. Those that the thread has passed by since are. */
  get hasFree(): boolean {
    if (this.#freeCount === 0) this.#reclaim();
    return this.#freeCount > 0;
  }

  /** Whether jobs that were taken back are still on their way to the thread: a job may be waiting for one of their slots. */
  get isPassing(): boolean {
    if (this.#revoked.length > 0) this.#reclaim();
    return this.#revoked.length > 0;
  }

  /** Takes a free slot for the job. */
  take(job: CrewJob, order: number): number {
    const slot = this.#free[--this.#freeCount] as number;
    this.#slots.set(slot, PREFETCHED);
    this.#jobs[slot] = job;
    this.#orders[slot] = order;
    job.seat = this.#base + slot;
    this.#held++;
    return slot;
  }

  job(slot: number): CrewJob | undefined {
    return this.#jobs[slot];
  }

  order(slot: number): number {
    return this.#orders[slot] ?? 0;
  }

  /** The job in the slot is done with, and the thread is too: it may have another. */
  free(slot: number): CrewJob {
    const job = this.#release(slot);
    job.began = this.#slots.startedAt(slot);
    this.#slots.set(slot, FREE);
    this.#free[this.#freeCount++] = slot;
    return job;
  }

  /** A slot that was taken back and that the thread will never hear of. */
  forget(slot: number): void {
    this.#slots.set(slot, FREE);
  }

  /** Takes the job in the slot back. False when its body has begun. */
  revoke(slot: number): boolean {
    if (!this.#slots.move(slot, PREFETCHED, REVOKED)) return false;
    this.#revoked.push(slot);
    this.#release(slot);
    return true;
  }

  /** Takes back up to `most` jobs that have not begun, oldest first; not those whose buffers have moved. */
  takeBack(most = Number.POSITIVE_INFINITY): Placed[] {
    const isMovable = (slot: number) =>
      this.#slots.state(slot) === PREFETCHED && this.#jobs[slot]?.transfer === undefined;
    const taken: Placed[] = [];
    for (const slot of this.#occupied().filter(isMovable)) {
      if (taken.length >= most) break;
      const placed = { job: this.#jobs[slot] as CrewJob, order: this.order(slot) };
      if (this.revoke(slot)) taken.push(placed);
    }
    return taken;
  }

  /** Lets go of everything, whatever has become of it, oldest first: for a thread that has gone. */
  takeAll(): { readonly job: CrewJob; readonly slot: number }[] {
    return this.#occupied().map((slot) => ({ slot, job: this.#release(slot) }));
  }

  /** Tells the body to stop. False when it has not begun, has ended, or was told before. */
  stop(slot: number): boolean {
    return this.#slots.move(slot, STARTED, STOPPING);
  }

  /** Whether the body in the slot has ended, though its result has not come. */
  hasEnded(slot: number): boolean {
    return this.#slots.state(slot) === ENDED;
  }

  isStopping(slot: number): boolean {
    return this.#slots.state(slot) === STOPPING;
  }

  /** Bodies that run now. */
  get running(): number {
    return this.#held === 0 ? 0 : this.#occupied().filter((slot) => this.#isRunning(slot)).length;
  }

  /** When the body in the slot began, as `performance.now()`; undefined if it has not. */
  startedAt(slot: number): number | undefined {
    const state = this.#slots.state(slot);
    return state === PREFETCHED || state === FREE || state === REVOKED ? undefined : this.#slots.startedAt(slot);
  }

  /** When the oldest body that runs began, as `performance.now()`; undefined when none does. */
  get oldestStart(): number | undefined {
    const starts = this.#occupied()
      .filter((slot) => this.#isRunning(slot))
      .map((slot) => this.#slots.startedAt(slot));
    return starts.length > 0 ? Math.min(...starts) : undefined;
  }

  #isRunning(slot: number): boolean {
    const state = this.#slots.state(slot);
    return state === STARTED || state === STOPPING;
  }

  /** Slots with a job, oldest first. */
  #occupied(): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.#jobs.length; slot++) if (this.#jobs[slot]) slots.push(slot);
    return slots.sort((a, b) => this.order(a) - this.order(b));
  }

  #release(slot: number): CrewJob {
    const job = this.#jobs[slot] as CrewJob;
    job.seat = NO_SEAT;
    this.#jobs[slot] = undefined;
    this.#held--;
    return job;
  }

  #reclaim(): void {
    for (let i = this.#revoked.length - 1; i >= 0; i--) {
      const slot = this.#revoked[i] as number;
      if (this.#slots.state(slot) !== FREE) continue;
      this.#free[this.#freeCount++] = slot;
      this.#revoked.splice(i, 1);
    }
  }
}
