import { DatabaseSync } from 'node:sqlite';

/** Of this Node: what the bare loop and Millrace run on. */
export function sqliteVersion(): string {
  const db = new DatabaseSync(':memory:');
  const row = db.prepare('SELECT sqlite_version() AS version').get();
  db.close();
  return String(row?.version);
}
