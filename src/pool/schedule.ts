/**
 * Which task starts next: by priority with ageing, so many at once of one key, at the pace that is allowed.
 *
 *   lanes   0 │ c a        one line per priority, in order of submission
 *           4 │ f e d      next: the oldest of the lane for which  order + priority × ageing  is lowest
 *           9 │ b
 *               │ its turn has come, and its key is busy
 *               ▼
 *   parked behind the key, first in first out ──one of the key has ended──▶ back to the front of its lane
 *
 * Ageing: every submission has a number, and a level of priority is worth `ageing` of them. So a task can be overtaken by
 * at most `ageing` later ones per level: nobody starves, no clock is asked, and nothing is ever sorted anew.
 *
 * Promises: tasks of one priority start in order of submission, unless their key is busy; of one key and one priority
 * always. A task that needs more workers than are free waits, and nothing overtakes it. Costs: O(1) per task (ten lanes;
 * a task is parked at most once), nothing allocated but an entry per key that is busy.
 */
import { Chain } from './chain.ts';
import type { Line } from './dispatcher.ts';
import type { Pace } from './pace.ts';
import type { Task } from './task.ts';

/** Levels of priority; 0 is served first. */
export const PRIORITIES = 10;

export interface ScheduleOptions {
  /** Submissions that one level of priority is worth. Infinity: strict priorities. */
  readonly ageing: number;
  /** `lifo`: of one priority the newest first, for callers that give up waiting. */
  readonly order: 'fifo' | 'lifo';
  readonly pace: Pace | undefined;
}

interface Key {
  running: number;
  readonly limit: number;
  /** Tasks whose turn came while `running` was at its limit. */
  readonly parked: Chain<Task>;
}

export class Schedule implements Line<Task> {
  readonly #options: ScheduleOptions;
  readonly #lanes: Chain<Task>[] = Array.from({ length: PRIORITIES }, () => new Chain());
  /** A bit for each lane that has tasks. */
  #occupied = 0;
  /** Tasks in lanes. */
  #waiting = 0;
  #parked = 0;
  readonly #keys = new Map<string, Key>();

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting + this.#parked;
  }

  push(task: Task): void {
    this.#enter(task, 'newest');
  }

  shift(free: number): Task | undefined {
    for (let task = this.#first(); task; task = this.#first()) {
      const { key, weight } = task.settings;
      if (key !== undefined && this.#isBusy(key)) {
        this.#park(task, key);
        continue;
      }
      if (weight > free || this.#options.pace?.admits(weight) === false) return undefined;
      this.#leave(task);
      if (key !== undefined) this.#begin(key, task.settings.keyLimit);
      return task;
    }
    return undefined;
  }

  /** A task that was started has ended: the next one of its key may go. */
  release(task: Task): void {
    const { key: name } = task.settings;
    if (name === undefined) return;
    const key = this.#keys.get(name) as Key;
    key.running--;
    const next = key.parked.shift();
    if (next) {
      this.#parked--;
      this.#enter(next, 'oldest');
    } else if (key.running === 0) this.#keys.delete(name);
  }

  delete(task: Task): boolean {
    if (task.phase === 'parked') {
      this.#keys.get(task.settings.key as string)?.parked.delete(task);
      this.#parked--;
    } else this.#leave(task);
    return true;
  }

  takeAll(): Task[] {
    const tasks = [...this];
    for (const task of tasks) this.delete(task);
    return tasks;
  }

  /** All that wait, in order of submission. */
  [Symbol.iterator](): Iterator<Task> {
    const chains = [...this.#lanes, ...Array.from(this.#keys.values(), ({ parked }) => parked)];
    const tasks = chains.flatMap((chain) => [...chain]);
    return tasks.sort((a, b) => a.order - b.order)[Symbol.iterator]();
  }

  /** The oldest task of the lowest priority, the one that is missed least; those with a busy key last. */
  get least(): Task | undefined {
    const lane = this.#lanes.findLast(({ size }) => size > 0);
    if (lane) return lane.oldest;
    for (const { parked } of this.#keys.values()) if (parked.oldest) return parked.oldest;
    return undefined;
  }

  #first(): Task | undefined {
    const { ageing, order } = this.#options;
    let first: Task | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (let lanes = this.#occupied; lanes !== 0; lanes &= lanes - 1) {
      const priority = 31 - Math.clz32(lanes & -lanes); // the lowest bit that is set
      const lane = this.#lanes[priority] as Chain<Task>;
      const task = (order === 'fifo' ? lane.oldest : lane.newest) as Task;
      if ((this.#occupied & (this.#occupied - 1)) === 0) return task; // the usual case: one lane
      const rank = (order === 'fifo' ? task.order : -task.order) + (priority > 0 ? priority * ageing : 0);
      if (!first || rank < lowest) {
        lowest = rank;
        first = task;
      }
    }
    return first;
  }

  #isBusy(name: string): boolean {
    const key = this.#keys.get(name);
    return key !== undefined && key.running >= key.limit;
  }

  #begin(name: string, limit: number): void {
    const key = this.#keys.get(name);
    if (key) key.running++;
    else this.#keys.set(name, { running: 1, limit, parked: new Chain() });
  }

  #park(task: Task, name: string): void {
    this.#leave(task);
    task.phase = 'parked';
    (this.#keys.get(name) as Key).parked.push(task);
    this.#parked++;
  }

  /** A task whose turn had come before goes in front. */
  #enter(task: Task, as: 'newest' | 'oldest'): void {
    const { priority } = task.settings;
    const lane = this.#lanes[priority] as Chain<Task>;
    task.phase = 'waiting';
    if (as === 'newest') lane.push(task);
    else lane.insert(task, undefined);
    this.#occupied |= 1 << priority;
    this.#waiting++;
  }

  #leave(task: Task): void {
    const { priority } = task.settings;
    const lane = this.#lanes[priority] as Chain<Task>;
    lane.delete(task);
    if (lane.size === 0) this.#occupied &= ~(1 << priority);
    this.#waiting--;
  }
}
