/**
 * The steps from an empty file, or from an older one, to the schema of this program. `schema.sql` shows where they lead; a
 * test keeps it true. A step is never changed once a release has it.
 *
 * The version stands in our own table. A file that is ours alone also carries it in its header, for programs of the first
 * schema, which look there. Those must be stopped before: one that has the file open finds its tables gone.
 */
import type { DatabaseSync } from 'node:sqlite';
import { newStoreId } from '../ids.ts';
import { carry, sql } from './migrations/000002.ts';

/** The schema of a file that this program can use. */
export const schemaVersion = 2;

/** "Mill" in ASCII: `PRAGMA application_id` of our files. */
export const applicationId = 0x4d696c6c;

/** The schema that the file has; 0: it has nothing of ours. */
export function versionOf(db: DatabaseSync): number {
  const has = (table: string) => db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(table) !== undefined;
  if (has('millrace_store'))
    return (db.prepare('SELECT schema FROM millrace_store').get() as { schema: number }).schema;
  return isOurs(db) ? (db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version : 0;
}

/** Whether the file was made by us, for us alone. */
export function isOurs(db: DatabaseSync): boolean {
  return (db.prepare('PRAGMA application_id').get() as { application_id: number }).application_id === applicationId;
}

/**
 * Brings the file to `schemaVersion`. Called inside a write transaction, so it happens whole, and by one process.
 *
 * @param shared the file belongs to another program: its header is left alone
 */
export function migrate(db: DatabaseSync, shared = false): void {
  const version = versionOf(db);
  if (version >= schemaVersion) return;
  db.exec(sql);
  if (version === 1) db.exec(carry);
  else {
    const first = 'INSERT INTO millrace_store (one, id, schema, next_job) VALUES (1, ?, ?, 1)';
    db.prepare(first).run(newStoreId(), schemaVersion);
  }
  if (shared && !isOurs(db)) return;
  db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`);
}
