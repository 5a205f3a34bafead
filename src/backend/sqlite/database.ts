/**
 * Opens the file: looks before it touches, then sets it up for one writer at a time and commits that survive a power cut.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { isBusy } from './failure.ts';
import { isOurs, migrate, schemaVersion, versionOf } from './migrations.ts';

export interface DatabaseOptions {
  readonly path: string;
  readonly synchronous: 'full' | 'normal';
  /** Longest wait for another process's transaction, ms. */
  readonly busyTimeout: number;
  /** Largest size of the database, bytes. */
  readonly maxBytes: number;
  /** The file may be another program's: our tables live beside its own. */
  readonly shared: boolean;
}

export function openDatabase(options: DatabaseOptions): DatabaseSync {
  const { path, busyTimeout, maxBytes, shared } = options;
  mkdirSync(dirname(path), { recursive: true });
  inspect(path, busyTimeout, shared);

  const db = new DatabaseSync(path, { timeout: busyTimeout });
  try {
    // WAL first, it cannot be set inside a transaction. Checkpoints and syncs are made by hand, see wal.ts: NORMAL is what
    // keeps the file sound, and with FULL a commit would also wait for the disk, and all its callers with it.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0');
    // 16 MB of pages: what is added and soon claimed is found in memory, and the rest in the system's. Sorting needs no file.
    db.exec('PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY');
    db.exec('BEGIN IMMEDIATE');
    migrate(db, shared);
    db.exec('COMMIT');
    if (maxBytes < Number.POSITIVE_INFINITY) {
      const { page_size: pageSize } = db.prepare('PRAGMA page_size').get() as { page_size: number };
      db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxBytes / pageSize))}`);
    }
    // From here on `begin` does the waiting: SQLite's own back-off sleeps up to 100 ms, long after the lock is free.
    db.exec('PRAGMA busy_timeout = 0');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Throws for what we could not or should not write to, before anything is changed. */
function inspect(path: string, timeout: number, shared: boolean): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) throw new MillraceError('NOT_A_DATABASE', { path, reason: 'it is a directory' });
  assertWritable(found ? path : dirname(path), path);
  // A file of no bytes is what a crash leaves that came before the first commit.
  if (!found || found.size === 0) return;
  assertWritable(dirname(path), path); // the journal lies beside it

  const db = new DatabaseSync(path, { readOnly: true, timeout });
  try {
    const { tables } = db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number };
    // Empty, but with pages: somebody else is about to make the schema.
    if (tables === 0) return;
    if (!shared && !isOurs(db)) {
      const reason = 'it is the SQLite database of another program; with `shared` the jobs live beside its tables';
      throw new MillraceError('NOT_A_DATABASE', { path, reason });
    }
    const version = versionOf(db);
    if (version > schemaVersion) {
      throw new MillraceError('SCHEMA_TOO_NEW', { path, found: version, known: schemaVersion });
    }
  } finally {
    db.close();
  }
}

function assertWritable(what: string, path: string): void {
  try {
    accessSync(what, constants.W_OK);
  } catch (cause) {
    throw new MillraceError('BACKEND_READ_ONLY', { path }, { cause });
  }
}

const nothing = new Int32Array(new SharedArrayBuffer(4));

/** `write` locks out other writers at once; `read` takes its snapshot and locks nobody. */
const statements = { write: 'BEGIN IMMEDIATE', read: 'BEGIN; SELECT 1 FROM millrace_store' } as const;

/**
 * Begins a transaction, waiting for other processes in short naps. Holding up the thread is right: nothing that it does
 * could go on without the lock. Throws BACKEND_UNAVAILABLE after `busyTimeout` ms.
 */
export function begin(db: DatabaseSync, mode: 'read' | 'write', { path, busyTimeout }: DatabaseOptions): void {
  const deadline = performance.now() + busyTimeout;
  for (let nap = 0.1; ; nap = Math.min(2 * nap, 1)) {
    try {
      db.exec(statements[mode]);
      return;
    } catch (cause) {
      rollback(db);
      if (!isBusy(cause)) throw cause;
      if (performance.now() >= deadline) {
        const reason = `another process kept it locked for ${busyTimeout} ms`;
        throw new MillraceError('BACKEND_UNAVAILABLE', { backend: `sqlite:${path}`, reason }, { cause });
      }
      Atomics.wait(nothing, 0, 0, nap);
    }
  }
}

/** Ends what was begun, if anything was: some errors have rolled back already. */
export function rollback(db: DatabaseSync): void {
  if (db.isTransaction) db.exec('ROLLBACK');
}
