/**
 * Jobs that the crew holds and no thread has: because threads are still starting, or because they were taken back from a
 * thread. In the order of their `start`, so that what was taken back stands before what came later.
 *
 * Costs: push and shift O(1) amortised, taking one out O(n), putting back O(n log n); both are rare, and n is at most the
 * capacity of the crew.
 */
import { type CrewJob, IN_LINE, NO_SEAT } from './job.ts';
import type { Placed } from './places.ts';

export class Unassigned {
  #placed: Placed[] = [];
  #head = 0;

  get size(): number {
    return this.#placed.length - this.#head;
  }

  get first(): Placed | undefined {
    return this.#placed[this.#head];
  }

  /** At the end: `order` is above all others. */
  push(job: CrewJob, order: number): void {
    job.seat = IN_LINE;
    this.#placed.push({ job, order });
  }

  shift(): Placed | undefined {
    const first = this.#placed[this.#head];
    if (first === undefined) return undefined;
    first.job.seat = NO_SEAT;
    this.#head++;
    if (this.#head * 2 > this.#placed.length) this.#compact();
    return first;
  }

  /** Each where its order says. */
  putBack(placed: readonly Placed[]): void {
    if (placed.length === 0) return;
    for (const { job } of placed) job.seat = IN_LINE;
    this.#compact();
    this.#placed = [...this.#placed, ...placed].sort((a, b) => a.order - b.order);
  }

  delete(job: CrewJob): void {
    this.#compact();
    const at = this.#placed.findIndex((placed) => placed.job === job);
    if (at < 0) return;
    this.#placed.splice(at, 1);
    job.seat = NO_SEAT;
  }

  takeAll(): CrewJob[] {
    const jobs: CrewJob[] = [];
    for (let placed = this.shift(); placed; placed = this.shift()) jobs.push(placed.job);
    return jobs;
  }

  #compact(): void {
    if (this.#head === 0) return;
    this.#placed = this.#placed.slice(this.#head);
    this.#head = 0;
  }
}
