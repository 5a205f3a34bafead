/**
 * The tables of jobs and what they refer to, as the parts that change them together: what both the backend's thread and a
 * caller's own connection need. Everything here happens between `begin` and `end`, inside a transaction.
 */
import { Adder } from './add.ts';
import type { Connection } from './connection.ts';
import { Jobs } from './jobs.ts';
import { Journal } from './journal.ts';
import { Lines } from './lines.ts';
import { Notes } from './notes.ts';
import { Registry } from './registry.ts';
import { Uniques } from './uniques.ts';

export class Ledger {
  readonly registry: Registry;
  readonly journal: Journal;
  readonly lines: Lines;
  readonly notes: Notes;
  readonly jobs: Jobs;
  readonly uniques: Uniques;
  readonly adder: Adder;

  constructor(db: Connection) {
    this.registry = new Registry(db);
    this.journal = new Journal(db, this.registry);
    this.lines = new Lines(db, this.registry);
    this.notes = new Notes(db);
    this.jobs = new Jobs(db, this.registry, this.lines, this.notes, this.journal);
    this.uniques = new Uniques(db, this.jobs);
    this.adder = new Adder(db, this.registry, this.jobs, this.lines, this.uniques, this.journal);
  }

  begin(): void {
    this.registry.refresh();
  }

  /** Writes down what was kept in memory so far. Comes right before the commit. */
  end(now: number): void {
    this.lines.arrange(now);
    this.lines.reset();
    this.journal.trim();
    this.registry.save();
  }

  /** Forgets what is in memory: the transaction was rolled back. */
  reset(): void {
    this.registry.reset();
    this.lines.reset();
    this.journal.reset();
    this.adder.reset();
  }
}
