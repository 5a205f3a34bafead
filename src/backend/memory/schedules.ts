/** The schedules, by key. There are few of them, so what is due is looked for among all. */
import type { DueSchedules, Firing, Schedule, ScheduleRecord } from '../schedule.ts';

export class Schedules {
  readonly #records = new Map<string, ScheduleRecord>();

  put({ key, rule, job, nextAt }: Schedule): void {
    const same = this.#records.get(key);
    const fresh = { key, rule, job, nextAt: nextAt === undefined ? undefined : Math.ceil(nextAt), fired: 0 };
    this.#records.set(key, same?.rule === rule ? { ...same, job } : fresh);
  }

  remove(key: string): boolean {
    return this.#records.delete(key);
  }

  all(): ScheduleRecord[] {
    return [...this.#records.values()].sort(byKey);
  }

  due(now: number, limit: number): DueSchedules {
    const due: (ScheduleRecord & { readonly nextAt: number })[] = [];
    let later = Infinity;
    for (const record of this.#records.values()) {
      const { nextAt } = record;
      if (nextAt === undefined) continue;
      if (nextAt <= now) due.push({ ...record, nextAt });
      else later = Math.min(later, nextAt);
    }
    due.sort((a, b) => a.nextAt - b.nextAt || byKey(a, b));
    return { now, due: due.slice(0, limit), ...(later < Infinity && { nextAt: later }) };
  }

  /** Moves a schedule on; false when somebody else has. */
  step({ key, tick, jobs, nextAt }: Firing): boolean {
    const record = this.#records.get(key);
    if (!record || record.nextAt !== tick) return false;
    const count = jobs.length > 0 ? { fired: record.fired + 1, lastAt: tick } : {};
    this.#records.set(key, { ...record, ...count, nextAt: nextAt === undefined ? undefined : Math.ceil(nextAt) });
    return true;
  }

  clear(): void {
    this.#records.clear();
  }
}

function byKey(a: Schedule, b: Schedule): number {
  return a.key < b.key ? -1 : 1;
}
