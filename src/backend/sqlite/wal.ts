/**
 * The write-ahead log: when it is on the disk, and how long it gets.
 *
 * SQLite would sync it inside each commit (`synchronous=FULL`). Here `sync` does so between the commit and the answers that
 * have to wait for it: what is committed is visible and survives a crash of the process; what is synced survives a power cut.
 *
 * It is kept short away from the path of a commit.
 * A checkpoint copies the log into the database. SQLite would do it inside the commit that makes the log too long, and
 * let that commit's callers wait; here it comes after they were answered:
 *
 *   every COMMITS commits    copy, and let the next commit write over the log from its start
 *   found longer than LIMIT  copy and cut the file
 *   nothing written for IDLE copy and cut, so that a file at rest is one file
 *
 * Writing over a log is what makes a commit cheap: a file that grows costs the file system a second write for each sync.
 * Cutting it every time was a fifth slower. Jobs that came and went between two checkpoints never reach the database.
 * While another process reads, the log can only be copied, not cut or begun anew: it grows until that one is done.
 */
import { closeSync, fdatasyncSync, openSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** About a second of full load, and some 30 MB of log. */
const COMMITS = 500;

/**
 * Bytes. Opening after a crash takes about 10 ms per 16 MB of log. Half of it was a fifth slower for jobs added in bulk: pages
 * that many jobs share are copied once per checkpoint.
 */
const LIMIT = 128 * 1024 * 1024;

/** Commits between two looks at the size: asking the file system each time cost as much as a twentieth of the commits. */
const LOOK = 25;

/** Nothing was committed for so long, ms. */
const IDLE = 1000;

export class Wal {
  readonly #db: DatabaseSync;
  readonly #path: string;
  #commits = 0;
  #cutAt = LIMIT;
  #idle: NodeJS.Timeout | undefined;
  /** SQLite's locks are not on the log, so closing this one releases none. */
  #file: number | undefined;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = `${path}-wal`;
  }

  /** Returns when everything committed so far, by whichever process, survives a power cut. Throws what the disk says. */
  sync(): void {
    this.#file ??= openSync(this.#path, 'r');
    fdatasyncSync(this.#file);
  }

  /** Call when a transaction is over and its callers have their answers. */
  committed(): void {
    this.#commits++;
    if (this.#commits % LOOK === 0 && this.#size() >= this.#cutAt) this.#cut();
    else if (this.#commits >= COMMITS) this.#checkpoint('PASSIVE');
    if (this.#idle) this.#idle.refresh();
    else this.#idle = setTimeout(() => this.#rest(), IDLE).unref();
  }

  stop(): void {
    clearTimeout(this.#idle);
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #rest(): void {
    if (this.#size() > 0) this.#cut();
  }

  /** Falls back to copying what can be copied when another process is in the way: the busy timeout is 0. */
  #cut(): void {
    this.#checkpoint('TRUNCATE');
    this.#cutAt = this.#size() + LIMIT;
  }

  #checkpoint(mode: 'PASSIVE' | 'TRUNCATE'): void {
    this.#commits = 0;
    try {
      this.#db.exec(`PRAGMA wal_checkpoint(${mode})`);
    } catch {
      // A disk that is full or busy: the log keeps everything, and the next attempt comes.
    }
  }

  #size(): number {
    return statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }
}
