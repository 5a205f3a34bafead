/**
 * Tasks that wait, by priority: one line per level, each in order of submission, and which of their heads is next.
 *
 *   0 │ c a        rank of a head = its number + priority × ageing
 *   4 │ f e d      next: the head with the lowest rank; of equals the higher priority
 *   9 │ b          least: the oldest of the lowest level that has any
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
  readonly #lanes: (Chain<Task> | undefined)[] = new Array(PRIORITIES).fill(undefined);
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
    this.#lanes[priority] ??= new Chain();
    const lane = this.#lanes[priority];
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
    this.#size++;
  }

  /** Takes out a task that stands here. */
  delete(task: Task): void {
    this.#lanes[task.settings.priority]?.delete(task);
    this.#size--;
  }

  get next(): Task | undefined {
    const { ageing, order } = this.#ranking;
    let left = this.#size;
    let first: Task | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (let priority = 0; left > 0; priority++) {
      const lane = this.#lanes[priority];
      if (lane === undefined || lane.size === 0) continue;
      left -= lane.size;
      const task = (order === 'fifo' ? lane.oldest : lane.newest) as Task;
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
    return this.#lanes.findLast((lane) => lane !== undefined && lane.size > 0)?.oldest;
  }

  *[Symbol.iterator](): Iterator<Task> {
    for (const lane of this.#lanes) if (lane) yield* lane;
  }
}
