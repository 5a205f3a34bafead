/**
 * What happened, for readers: events of the queues that record them. Nothing is done for the others.
 *
 * Each queue keeps its latest events, and lets the others go before the commit.
 */
import type { JobEventKind } from '../records.ts';
import type { Connection, Statement } from './connection.ts';
import type { QueueRow, Registry } from './registry.ts';
import type { Answers, Extras, Ref } from './wire.ts';

/** The job of an event. */
export interface Subject {
  readonly number: number;
  readonly name: number;
  readonly attempt: number;
  /** JSON. */
  readonly extras: string | null;
}

interface Row {
  readonly number: number;
  readonly at: number;
  readonly queue: number;
  readonly name: number;
  readonly job: number;
  readonly own: string | null;
  readonly kind: JobEventKind;
  readonly attempt: number;
  readonly text: string | null;
}

export class Journal {
  readonly #registry: Registry;
  readonly #insert: Statement;
  readonly #after: Statement;
  readonly #latest: Statement;
  readonly #bound: Statement;
  readonly #trim: Statement;
  readonly #full = new Set<QueueRow>();

  constructor(db: Connection, registry: Registry) {
    this.#registry = registry;
    this.#insert = db.prepare(
      `INSERT INTO millrace_events (number, at, queue, name, job, own, kind, attempt, text)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#after = db.prepare('SELECT * FROM millrace_events WHERE number > ? ORDER BY number LIMIT ?');
    this.#latest = db.prepare('SELECT * FROM millrace_events ORDER BY number DESC LIMIT ?');
    this.#bound = db.prepare('SELECT number FROM millrace_events WHERE queue = ? ORDER BY number LIMIT 1 OFFSET ?');
    this.#trim = db.prepare('DELETE FROM millrace_events WHERE queue = ? AND number <= ?');
  }

  record(queue: QueueRow, job: Subject, kind: JobEventKind, at: number, text?: string): void {
    if (!queue.isWatched) return;
    const own = job.extras === null ? undefined : (JSON.parse(job.extras) as Extras).id;
    const number = this.#registry.takeEventNumber();
    const values = [number, at, queue.id, job.name, job.number, own ?? null, kind, job.attempt, text ?? null];
    this.#insert.run(...values);
    queue.add('recorded', 1);
    this.#registry.tell('news');
    if (queue.read('recorded') > queue.settings.events) this.#full.add(queue);
  }

  /** Drops what the queues do not keep any more. Comes before the commit. */
  trim(): void {
    for (const queue of this.#full) {
      const over = queue.read('recorded') - queue.settings.events;
      const last = over > 0 ? (this.#bound.get(queue.id, over - 1) as { number: number } | undefined) : undefined;
      if (!last) continue;
      this.#trim.run(queue.id, last.number);
      queue.add('recorded', -over);
    }
    this.#full.clear();
  }

  /** The queue may keep fewer events than before. */
  changed(queue: QueueRow): void {
    this.#full.add(queue);
  }

  reset(): void {
    this.#full.clear();
  }

  read(after: number | null, limit: number): Answers['events'] {
    const rows = (after === null ? this.#latest.all(limit).reverse() : this.#after.all(after, limit)) as Row[];
    const events = rows.map((row) => ({
      number: row.number,
      at: row.at,
      queue: this.#registry.queueById(row.queue).name,
      name: this.#registry.nameById(row.name),
      ref: (row.own ?? row.job) as Ref,
      kind: row.kind,
      attempt: row.attempt,
      ...(row.text !== null && { text: row.text }),
    }));
    if (after === null) return { events, last: this.#registry.lastEvent, missed: false };
    const last = rows.length === limit ? (rows.at(-1)?.number ?? after) : this.#registry.lastEvent;
    // Numbers are given without a gap, so each one that is not here was dropped.
    return { events, last, missed: last - after > events.length };
  }
}
