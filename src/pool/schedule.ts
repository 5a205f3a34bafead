/**
 * Which task starts next: by priority with ageing, so many at once of one key, at the pace that is allowed.
 *
 *   lanes   0 │ c a        one line per priority, in order of submission
 *           4 │ f e d      next: the oldest of the lane for which  order + priority × ageing  is lowest
 *           9 │ b
 *               │ its turn has come, and its key is busy
 *               ▼
 *   parked behind the key, in lanes as these ──one of the key has ended: the next of them──▶ back to its place above
 *
 * Ageing: every submission has a number, and a level of priority is worth `ageing` of them. So a task can be overtaken by
 * at most `ageing` later ones per level: nobody starves, no clock is asked, and nothing is ever sorted anew.
 *
 * Promises: tasks of one priority start in order of submission, unless their key is busy; of one key and one priority
 * always. A task that needs more workers than are free waits, and nothing overtakes it but what has a better rank. While
 * a key is not busy, a task of it stands in the lanes or none waits: no end of a body and no cancel is missed.
 *
 * Costs: O(1) per task and turn (ten lanes; a task is parked again only when a later one took its key), nothing allocated
 * but an entry per key that is busy. With `lifo`, one that was parked walks back to its place.
 */
import type { Line } from './dispatcher.ts';
import { Lanes, type Ranking } from './lanes.ts';
import type { Pace } from './pace.ts';
import type { Task } from './task.ts';

export interface ScheduleOptions extends Ranking {
  readonly pace: Pace | undefined;
}

interface Key {
  running: number;
  readonly limit: number;
  /** Tasks whose turn came while `running` was at its limit. */
  parked: Lanes | undefined;
}

export class Schedule implements Line<Task> {
  readonly #options: ScheduleOptions;
  readonly #lanes: Lanes;
  #parked = 0;
  readonly #keys = new Map<string, Key>();

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#lanes = new Lanes(options);
  }

  get size(): number {
    return this.#lanes.size + this.#parked;
  }

  /** Keys that are busy, or have been until a moment ago. */
  get keys(): number {
    return this.#keys.size;
  }

  push(task: Task): void {
    task.phase = 'waiting';
    this.#lanes.insert(task);
  }

  shift(free: number): Task | undefined {
    for (let task = this.#lanes.next; task; task = this.#lanes.next) {
      const { key, weight } = task.settings;
      if (key !== undefined && this.#isBusy(key)) {
        this.#park(task, key);
        continue;
      }
      if (weight > free || this.#options.pace?.admits(weight) === false) return undefined;
      this.#lanes.delete(task);
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
    this.#unpark(name, key);
  }

  delete(task: Task): boolean {
    const { key: name } = task.settings;
    const key = name === undefined ? undefined : this.#keys.get(name);
    if (task.phase === 'parked') {
      key?.parked?.delete(task);
      task.phase = 'waiting';
      this.#parked--;
      return true;
    }
    this.#lanes.delete(task);
    // Perhaps it had been called back for a free place of its key, which is now another one's.
    if (key && key.running < key.limit) this.#unpark(name as string, key);
    return true;
  }

  takeAll(): Task[] {
    const tasks = [...this];
    for (const task of tasks) this.delete(task);
    return tasks;
  }

  /** All that wait, in order of submission. */
  [Symbol.iterator](): Iterator<Task> {
    const tasks = [...this.#lanes];
    for (const { parked } of this.#keys.values()) if (parked) tasks.push(...parked);
    return tasks.sort((a, b) => a.order - b.order)[Symbol.iterator]();
  }

  /** The oldest task of the lowest priority, the one that is missed least. Looks at every busy key. */
  get least(): Task | undefined {
    let least = this.#lanes.least;
    for (const { parked } of this.#keys.values()) {
      const other = parked?.least;
      if (!other) continue;
      const lower = least ? other.settings.priority - least.settings.priority : 1;
      if (lower > 0 || (lower === 0 && other.order < (least as Task).order)) least = other;
    }
    return least;
  }

  #isBusy(name: string): boolean {
    const key = this.#keys.get(name);
    return key !== undefined && key.running >= key.limit;
  }

  #begin(name: string, limit: number): void {
    const key = this.#keys.get(name);
    if (key) key.running++;
    else this.#keys.set(name, { running: 1, limit, parked: undefined });
  }

  #park(task: Task, name: string): void {
    this.#lanes.delete(task);
    const key = this.#keys.get(name) as Key;
    key.parked ??= new Lanes(this.#options);
    key.parked.insert(task);
    task.phase = 'parked';
    this.#parked++;
  }

  /** The key has a free place: the next of those that wait for one goes back to the lanes. */
  #unpark(name: string, key: Key): void {
    const next = key.parked?.next;
    if (next) {
      key.parked?.delete(next);
      next.phase = 'waiting';
      this.#parked--;
      this.#lanes.insert(next);
    } else if (key.running === 0) this.#keys.delete(name);
  }
}
