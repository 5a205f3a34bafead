/**
 * Keeps the write-ahead log short, away from the path of a commit.
 *
 * A checkpoint copies the log into the database. SQLite would do it inside the commit that makes the log too long, and
 * let that commit's callers wait; here it comes after they were answered: when the log has grown by LIMIT, or when
 * nothing was written for a while, so that a file at rest has an empty log. Jobs that came and went in between never
 * reach the database. While another process reads, the log can be copied but not cut: it grows until that one is done.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** Bytes. Larger: fewer pages are copied, as most change again. Smaller: shorter pauses, faster recovery of a crash. */
const LIMIT = 16 * 1024 * 1024;

/** Nothing was committed for so long, ms. */
const IDLE = 1000;

export class Wal {
  readonly #db: DatabaseSync;
  readonly #path: string;
  #next = LIMIT;
  #idle: NodeJS.Timeout | undefined;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = `${path}-wal`;
  }

  /** Call when a transaction is over and its callers have their answers. */
  committed(): void {
    if (this.#size() >= this.#next) this.#checkpoint();
    if (this.#idle) this.#idle.refresh();
    else this.#idle = setTimeout(() => this.#rest(), IDLE).unref();
  }

  stop(): void {
    clearTimeout(this.#idle);
  }

  #rest(): void {
    if (this.#size() > 0) this.#checkpoint();
  }

  #checkpoint(): void {
    try {
      // Falls back to copying what can be copied when another process is in the way: the busy timeout is 0.
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // A disk that is full or busy: the log keeps everything, and the next attempt comes.
    }
    this.#next = this.#size() + LIMIT;
  }

  #size(): number {
    return statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }
}
