/**
 * Tasks that wait, by priority: one line per level, each in order of submission, and which of their heads is next.
 *
 *   0 │ c a        rank of a head = its number + priority × ageing
 *   4 │ f e d      next: the head with the lowest rank; of equals the higher priority
 *   9 │ b          least: the oldest of the lowest level in use
 *
 * With `lifo` a line is served from its other end, and a rank counts the numbers downwards. Costs: `next` looks at ten
 * heads at most; a line is a chain, so any task leaves in O(1). One that goes to the end of its line, or back to the front
 * of it, walks past nobody but those that came back before it.
 */
import { Chain } from './chain.ts';
import type { Task } from './task.ts';

/** Levels of priority; 0 is served first. */
export const PRIORITIES = 10;

export interface Ranking {
  /** Submissions that one level of priority is worth. Infinity: strict priorities. */
  readonly ageing: number;
  /** `lifo`: of one priority the newest first, for callers that give up waiting. */
  readonly order: 'fifo' | 'lifo';
}

export class Lanes {
  readonly #ranking: Ranking;
  readonly #lanes: Chain<Task>[] = Array.from({ length: PRIORITIES }, () => new Chain());
  /** A bit for each lane that has tasks. */
  #occupied = 0;
  #size = 0;

  constructor(ranking: Ranking) {
    this.#ranking = ranking;
  }

  get size(): number {
    return this.#size;
  }

  /** Puts a task where its number belongs. */
  insert(task: Task): void {
    const { priority } = task.settings;
    const lane = this.#lanes[priority] as Chain<Task>;
    let { newest: older } = lane;
    if (older && older.order > task.order) {
      // It was here before, so it belongs near the front.
      older = undefined;
      for (const other of lane) {
        if (other.order > task.order) break;
        older = other;
      }
    }
    lane.insert(task, older);
    this.#occupied |= 1 << priority;
    this.#size++;
  }

  /** Takes out a task that stands here. */
  delete(task: Task): void {
    const { priority } = task.settings;
    const lane = this.#lanes[priority] as Chain<Task>;
    lane.delete(task);
    if (lane.size === 0) this.#occupied &= ~(1 << priority);
    this.#size--;
  }

  get next(): Task | undefined {
    const { ageing, order } = this.#ranking;
    const isOnly = (this.#occupied & (this.#occupied - 1)) === 0; // the usual case: one lane
    let first: Task | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (let lanes = this.#occupied; lanes !== 0; lanes &= lanes - 1) {
      const priority = 31 - Math.clz32(lanes & -lanes); // the lowest bit that is set
      const lane = this.#lanes[priority] as Chain<Task>;
      const task = (order === 'fifo' ? lane.oldest : lane.newest) as Task;
      if (isOnly) return task;
      const rank = (order === 'fifo' ? task.order : -task.order) + (priority > 0 ? priority * ageing : 0);
      if (!first || rank < lowest) {
        lowest = rank;
        first = task;
      }
    }
    return first;
  }

  /** The oldest task of the lowest priority, the one that is missed least. */
  get least(): Task | undefined {
    return this.#lanes.findLast(({ size }) => size > 0)?.oldest;
  }

  *[Symbol.iterator](): Iterator<Task> {
    for (const lane of this.#lanes) yield* lane;
  }
}
