/**
 * The schedules of a cluster of shards. Each is in the shard of its job's queue, so that a tick and its job are one step, and
 * in no other: who puts one holds a lock for its key meanwhile.
 *
 * A schedule whose job goes to another queue is taken from its old shard before it is put into the new one. Whoever is killed in
 * between has lost it, until it is put again; the other way round a tick could make its job twice.
 */
import { systemClock } from '../../../clock.ts';
import type { DueSchedules, Schedule, ScheduleRecord } from '../../schedule.ts';
import type { RedisBackend } from '../backend.ts';
import { packSchedule } from '../schedules.ts';
import { newName } from '../shard.ts';
import type { Shards } from './shards.ts';

/** Longest time for which one process may hold up others that put the same key, ms; and their time between two tries. */
const LOCKED = 15_000;
const PAUSE = 20;

export class Timetable {
  readonly #shards: Shards;
  readonly #backends: readonly RedisBackend[];
  /** Where schedules were seen last, by their keys. */
  #places = new Map<string, number>();

  constructor(shards: Shards, backends: readonly RedisBackend[]) {
    this.#shards = shards;
    this.#backends = backends;
  }

  /** The schedule is one that makes sense. */
  async put(schedule: Schedule): Promise<void> {
    const { key, job } = schedule;
    const place = this.#shards.of(job.queue);
    await this.#locked(key, async () => {
      const having = await this.#shards.having('schedules', [key]);
      let before: Buffer | undefined;
      for (const other of having.get(key) ?? []) {
        if (other === place) continue;
        before = ((await this.#shards.at(other).change('removeSchedule', { key })) as Buffer | false) || undefined;
      }
      await this.#shards.at(place).change('putSchedule', { ...packSchedule(schedule), before });
    });
  }

  async remove(key: string): Promise<boolean> {
    const removed = await Promise.all(this.#backends.map((backend) => backend.removeSchedule(key)));
    return removed.includes(true);
  }

  async all(): Promise<readonly ScheduleRecord[]> {
    const lists = await Promise.all(this.#backends.map((backend) => backend.schedules()));
    return lists.flat().sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async due(limit: number): Promise<DueSchedules> {
    const answers = await Promise.all(this.#backends.map((backend) => backend.dueSchedules(limit)));
    const all = answers.flatMap(({ due }) => due);
    this.#places = new Map();
    for (const [place, { due }] of answers.entries()) for (const { key } of due) this.#places.set(key, place);
    all.sort((a, b) => (a.nextAt as number) - (b.nextAt as number) || (a.key < b.key ? -1 : 1));
    const nextAt = Math.min(...answers.map((answer) => answer.nextAt ?? Infinity));
    const now = Math.max(...answers.map((answer) => answer.now));
    return { now, due: all.slice(0, limit), ...(nextAt < Infinity && { nextAt }) };
  }

  /** Where the schedules with these keys are. @param isSure asks the shards, whatever was seen before */
  async find(keys: readonly string[], isSure: boolean): Promise<ReadonlyMap<string, number>> {
    if (!isSure && keys.every((key) => this.#places.has(key))) return this.#places;
    const found = new Map<string, number>();
    for (const [key, [place]] of await this.#shards.having('schedules', [...new Set(keys)])) {
      if (place !== undefined) found.set(key, place);
    }
    return found;
  }

  async #locked(key: string, work: () => Promise<void>): Promise<void> {
    const home = this.#shards.at(this.#shards.of(key));
    const lock = { key, token: newName() };
    while (!(await home.ask('lock', { ...lock, ttl: LOCKED }))) await pause();
    try {
      await work();
    } finally {
      await home.ask('unlock', lock).catch(() => undefined); // it runs out
    }
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    systemClock.timer(PAUSE, resolve);
  });
}
