/**
 * The numbered steps from an empty file to the schema of this program, each applied once and never changed afterwards.
 * `schema.sql` shows where they lead; a test keeps it true.
 */
import type { DatabaseSync } from 'node:sqlite';
import { newStoreId } from '../ids.ts';
import { sql as first } from './migrations/000001.ts';

const migrations: readonly string[] = [first];

/** `PRAGMA user_version` of a file that this program can use. */
export const schemaVersion = migrations.length;

/** "Mill" in ASCII: `PRAGMA application_id` of our files. */
export const applicationId = 0x4d696c6c;

/** Brings the file to `schemaVersion`. Called inside a write transaction, so it happens whole, and by one process. */
export function migrate(db: DatabaseSync): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version >= schemaVersion) return;
  for (const sql of migrations.slice(version)) db.exec(sql);
  db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`);
  db.prepare('INSERT OR IGNORE INTO store (one, id, next_job) VALUES (1, ?, 1)').run(newStoreId());
}
