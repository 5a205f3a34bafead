/**
 * The bench's own loop around `node:sqlite`: what this machine, this SQLite and this way to store jobs can do, with nothing
 * that makes it a job system. No threads, leases, retries, names, options or checks; a job that fails ends the run.
 *
 * One table, one index, prepared statements, `synchronous=FULL`, a checkpoint every 500 commits, and a page cache of 64 MB, four
 * times ours. What was asked in one turn of the event loop is one transaction, synced, and answered after it: adds, the ends of what has run, and one claim of
 * as many jobs as there are free places.
 */
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CONCURRENCY, type Handler, type Open, type System } from '../jobs/system.ts';
import type { Letter } from '../letters.ts';

/** Commits between two checkpoints: ours makes them as often, and also when the log is long. */
const CHECKPOINT_EVERY = 500;

interface Waiting {
  readonly text: string;
  resolve(): void;
}

class Bare implements System {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #claim: StatementSync;
  readonly #delete: StatementSync;
  readonly #count: StatementSync;
  #handler: Handler | undefined;
  #adds: Waiting[] = [];
  #ended: number[] = [];
  #running = 0;
  #commits = 0;
  /** The last claim found all there was. */
  #dry = false;
  #scheduled = false;
  #stopped = false;

  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0');
    this.#db.exec('PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY');
    this.#db.exec(`
      CREATE TABLE jobs (
        id INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue INTEGER NOT NULL, priority INTEGER NOT NULL,
        run_at INTEGER NOT NULL, payload TEXT NOT NULL
      ) STRICT;
      CREATE INDEX ready ON jobs (queue, priority, run_at) WHERE state = 0`);
    this.#insert = this.#db.prepare(
      'INSERT INTO jobs (state, queue, priority, run_at, payload) VALUES (0, 1, 4, ?, ?)',
    );
    this.#claim = this.#db.prepare(`
      UPDATE jobs SET state = 1 WHERE id IN (
        SELECT id FROM jobs WHERE queue = 1 AND state = 0 ORDER BY priority, run_at, id LIMIT ?
      ) RETURNING id, payload`);
    this.#claim.setReturnArrays(true);
    this.#delete = this.#db.prepare('DELETE FROM jobs WHERE id = ?');
    this.#count = this.#db.prepare('SELECT count(*) AS jobs FROM jobs');
  }

  add(letter: Letter): Promise<void> {
    return new Promise((resolve) => {
      this.#adds.push({ text: JSON.stringify(letter), resolve });
      this.#schedule();
    });
  }

  addMany(letters: readonly Letter[]): void {
    this.#db.exec('BEGIN IMMEDIATE');
    const now = Date.now();
    for (const letter of letters) this.#insert.run(now, JSON.stringify(letter));
    this.#commit();
    this.#dry = false;
    if (this.#handler) this.#schedule();
  }

  async work(handler: Handler): Promise<void> {
    this.#handler = handler;
    this.#schedule();
  }

  left(): number {
    return this.#count.get()?.jobs as number;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#scheduled || this.#running > 0) await new Promise(setImmediate);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    const adds = this.#adds;
    this.#adds = [];
    this.#db.exec('BEGIN IMMEDIATE');
    const now = Date.now();
    for (const { text } of adds) this.#insert.run(now, text);
    for (const id of this.#ended) this.#delete.run(id);
    this.#running -= this.#ended.length;
    this.#ended = [];
    if (adds.length > 0) this.#dry = false;
    const room = CONCURRENCY - this.#running;
    const claims = this.#handler !== undefined && !this.#dry && !this.#stopped && room > 0;
    const claimed = claims ? (this.#claim.all(room) as unknown as [number, string][]) : [];
    this.#commit();
    if (claims) this.#dry = claimed.length < room;
    this.#running += claimed.length;
    for (const { resolve } of adds) resolve();
    for (const [id, payload] of claimed) void this.#run(id, payload);
  }

  async #run(id: number, payload: string): Promise<void> {
    await this.#handler?.(JSON.parse(payload));
    this.#ended.push(id);
    this.#schedule();
  }

  #commit(): void {
    this.#db.exec('COMMIT');
    if (++this.#commits % CHECKPOINT_EVERY === 0) this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)');
  }
}

export const open: Open = async ({ folder }) => new Bare(join(folder, 'jobs.db'));
