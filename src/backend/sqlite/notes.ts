/** What running jobs tell, and are told: progress, log lines, orders. Only jobs that have any pay for them. */
import { type LogLine, maxLogLine, maxLogLines } from '../backend.ts';
import type { Connection, Statement } from './connection.ts';

export class Notes {
  readonly #find: Statement;
  readonly #lines: Statement;
  readonly #put: Statement;
  readonly #addLine: Statement;
  readonly #trim: Statement;
  readonly #drop: readonly Statement[];
  readonly #order: Statement;
  readonly #reason: Statement;
  readonly #withdraw: Statement;

  constructor(db: Connection) {
    this.#find = db.prepare('SELECT progress, lines FROM millrace_notes WHERE job = ?');
    this.#lines = db.prepare('SELECT at, text FROM millrace_log WHERE job = ? ORDER BY line');
    this.#put = db.prepare('INSERT OR REPLACE INTO millrace_notes (job, progress, lines) VALUES (?, ?, ?)');
    this.#addLine = db.prepare('INSERT INTO millrace_log (job, line, at, text) VALUES (?, ?, ?, ?)');
    this.#trim = db.prepare('DELETE FROM millrace_log WHERE job = ? AND line <= ?');
    this.#drop = ['notes', 'log'].map((table) => db.prepare(`DELETE FROM millrace_${table} WHERE job = ?`));
    this.#order = db.prepare('INSERT OR REPLACE INTO millrace_orders (job, server, reason) VALUES (?, ?, ?)');
    this.#reason = db.prepare('SELECT reason FROM millrace_orders WHERE job = ?');
    this.#withdraw = db.prepare('DELETE FROM millrace_orders WHERE job = ?');
  }

  add(job: number, progress: string | undefined, log: readonly LogLine[] = []): void {
    const before = this.#row(job);
    let lines = before?.lines ?? 0;
    // Those that would be cut at once are not written.
    const kept = log.slice(-maxLogLines);
    lines += log.length - kept.length;
    for (const { at, text } of kept) this.#addLine.run(job, ++lines, at, text.slice(0, maxLogLine));
    if (log.length > 0 && lines > maxLogLines) this.#trim.run(job, lines - maxLogLines);
    this.#put.run(job, progress ?? before?.progress ?? null, lines);
  }

  read(job: number): { readonly progress?: string; readonly log?: readonly LogLine[] } {
    const row = this.#row(job);
    if (!row) return {};
    const log = row.lines > 0 ? (this.#lines.all(job) as { at: number; text: string }[]) : [];
    return {
      ...(row.progress !== null && { progress: row.progress }),
      ...(log.length > 0 && { log: log.map(({ at, text }) => ({ at, text })) }),
    };
  }

  drop(job: number): void {
    for (const statement of this.#drop) statement.run(job);
  }

  order(job: number, server: number, reason: string): void {
    this.#order.run(job, server, reason);
  }

  /** What the job's order says. */
  reason(job: number): string | undefined {
    return (this.#reason.get(job) as { reason: string } | undefined)?.reason;
  }

  withdraw(job: number): void {
    this.#withdraw.run(job);
  }

  #row(job: number): { progress: string | null; lines: number } | undefined {
    return this.#find.get(job) as { progress: string | null; lines: number } | undefined;
  }
}
