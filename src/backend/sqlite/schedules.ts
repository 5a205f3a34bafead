/** Schedules: rows that name their next tick. Moving one on and adding its jobs is one transaction, the caller's. */
import type { NewJob } from '../backend.ts';
import type { DueSchedules, Schedule, ScheduleRecord } from '../schedule.ts';
import type { Adder } from './add.ts';
import { blob, type Connection, type Statement } from './connection.ts';
import type { Registry } from './registry.ts';
import type { Answers, FireRequest, Ref } from './wire.ts';

interface Row {
  readonly key: string;
  readonly rule: string;
  readonly job: string;
  readonly payload: Uint8Array;
  readonly next_at: number | null;
  readonly last_at: number | null;
  readonly fired: number;
}

export class Schedules {
  readonly #registry: Registry;
  readonly #adder: Adder;
  readonly #put: Statement;
  readonly #remove: Statement;
  readonly #all: Statement;
  readonly #due: Statement;
  readonly #next: Statement;
  readonly #move: Statement;

  constructor(db: Connection, registry: Registry, adder: Adder) {
    this.#registry = registry;
    this.#adder = adder;
    const kept = (column: string, otherwise: string) =>
      `${column} = iif(rule = excluded.rule, ${column}, ${otherwise})`;
    this.#put = db.prepare(
      `INSERT INTO millrace_schedules (key, rule, job, payload, next_at, fired) VALUES (?, ?, ?, ?, ?, 0)
         ON CONFLICT (key) DO UPDATE SET rule = excluded.rule, job = excluded.job, payload = excluded.payload,
           ${kept('next_at', 'excluded.next_at')}, ${kept('last_at', 'NULL')}, ${kept('fired', '0')}`,
    );
    this.#remove = db.prepare('DELETE FROM millrace_schedules WHERE key = ?');
    this.#all = db.prepare('SELECT * FROM millrace_schedules ORDER BY key');
    const due = 'FROM millrace_schedules WHERE next_at IS NOT NULL AND next_at';
    this.#due = db.prepare(`SELECT * ${due} <= ? ORDER BY next_at, key LIMIT ?`);
    this.#next = db.prepare(`SELECT next_at AS at ${due} > ? ORDER BY next_at LIMIT 1`);
    this.#move = db.prepare(
      `UPDATE millrace_schedules SET next_at = ?, last_at = iif(?, next_at, last_at), fired = fired + ?
         WHERE key = ? AND next_at = ?`,
    );
  }

  put({ key, rule, job, nextAt }: Schedule): void {
    const { payload, ...rest } = job;
    const at = nextAt === undefined ? null : Math.ceil(nextAt);
    this.#put.run(key, rule, JSON.stringify(rest), blob(payload), at);
    this.#registry.tell('schedules');
  }

  remove(key: string): boolean {
    const isGone = Number(this.#remove.run(key).changes) > 0;
    if (isGone) this.#registry.tell('schedules');
    return isGone;
  }

  list(): ScheduleRecord[] {
    return (this.#all.all() as Row[]).map(toRecord);
  }

  due(now: number, limit: number): DueSchedules {
    const due = (this.#due.all(now, limit) as Row[]).map(toRecord);
    const next = this.#next.get(now) as { at: number } | undefined;
    return next ? { now, due, nextAt: next.at } : { now, due };
  }

  /** A schedule that has moved since its firing was computed is left alone, and nothing is added for it. */
  fire({ kind: _, firings, ...jobs }: FireRequest): Answers['fire'] {
    const stale = new Set<number>();
    firings.forEach(({ key, tick, nextAt }, i) => {
      const makes = Number((jobs.groups[2 * i] as number) > 0);
      if (Number(this.#move.run(nextAt, makes, makes, key, tick).changes) === 0) stale.add(i);
    });
    return this.#adder.add(jobs, stale).map((answer, i) => (stale.has(i) ? null : refsOf(answer)));
  }
}

function refsOf(answer: ReturnType<Adder['add']>[number]): Ref[] {
  if (answer[0] === 4) return [...answer[1]];
  const [, first, count] = answer as readonly [0, number, number];
  return Array.from({ length: count }, (_, i) => first + i);
}

function toRecord({ key, rule, job, payload, next_at, last_at, fired }: Row): ScheduleRecord {
  return {
    key,
    rule,
    job: { ...(JSON.parse(job) as Omit<NewJob, 'payload'>), payload },
    nextAt: next_at ?? undefined,
    fired,
    ...(last_at !== null && { lastAt: last_at }),
  };
}
