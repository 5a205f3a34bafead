/**
 * What is kept too long goes: ended jobs beyond the retention of their queue, unique entries and idempotency keys whose
 * time is over, keys that nobody uses. A bounded number per call, each found by an index.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type EndedState, endedStates } from '../settings.ts';
import type { Adder } from './add.ts';
import type { JobRow, Jobs } from './jobs.ts';
import type { Ledger } from './ledger.ts';
import type { Lines } from './lines.ts';
import type { QueueRow, Registry } from './registry.ts';
import type { Uniques } from './uniques.ts';
import { stateNumbers as S } from './wire.ts';

/** Most of each kind that one call removes. */
const LIMIT = 1_000;

export class Tidier {
  readonly #registry: Registry;
  readonly #jobs: Jobs;
  readonly #lines: Lines;
  readonly #uniques: Uniques;
  readonly #adder: Adder;
  readonly #oldest: StatementSync;
  readonly #promised: StatementSync;

  constructor(db: DatabaseSync, { registry, jobs, lines, uniques, adder }: Ledger) {
    this.#registry = registry;
    this.#jobs = jobs;
    this.#lines = lines;
    this.#uniques = uniques;
    this.#adder = adder;
    this.#oldest = db.prepare(
      `SELECT number FROM millrace_jobs WHERE state >= 6 AND queue = ? AND state = ? AND major <= ?
         ORDER BY major, minor, number LIMIT ?`,
    );
    this.#promised = db.prepare('SELECT job AS number FROM millrace_kept WHERE at <= ? ORDER BY at, job LIMIT ?');
  }

  /** How many were removed; 0: there is nothing to do for now. */
  tidy(now: number): number {
    let removed = 0;
    for (const queue of this.#registry.queues) {
      for (const state of endedStates) removed += this.#trim(queue, state, now, LIMIT - removed);
    }
    removed += this.#remove(this.#promised.all(now, LIMIT - removed), now);
    removed += this.#uniques.forget(now, LIMIT);
    removed += this.#lines.forget(now, LIMIT);
    return removed + this.#adder.forgetOnce(now);
  }

  #trim(queue: QueueRow, state: EndedState, now: number, limit: number): number {
    const { count, age } = queue.settings.retention[state];
    const kept = () => (state === 'completed' ? queue.read('kept') : queue.counts[state]);
    if (kept() === 0 || limit <= 0) return 0;
    // The count first: one that would expire anyway takes the place of one that came before it.
    const over = Math.min(kept() - count, limit);
    const always = Number.MAX_SAFE_INTEGER;
    const removed = over > 0 ? this.#remove(this.#oldest.all(queue.id, S[state], always, over), now) : 0;
    const old = this.#oldest.all(queue.id, S[state], now - Math.ceil(age), limit - removed);
    return removed + this.#remove(old, now);
  }

  #remove(rows: unknown[], now: number): number {
    for (const { number } of rows as { number: number }[]) {
      this.#jobs.remove(this.#jobs.find(number) as JobRow, now, false);
    }
    return rows.length;
  }
}
