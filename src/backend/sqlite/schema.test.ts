import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { sql as first } from './migrations/000001.ts';
import { applicationId, migrate, schemaVersion } from './migrations.ts';
import { stateNumbers as S } from './wire.ts';

function fresh(): DatabaseSync {
  const db = new DatabaseSync(':memory:');
  migrate(db);
  return db;
}

/** What there is, as schema.sql has it. */
function dump(db: DatabaseSync): string {
  const rows = db.prepare('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid').all();
  const header = '-- The schema that the migrations lead to. Kept true by schema.test.ts.';
  const footer = `PRAGMA application_id = ${applicationId};\nPRAGMA user_version = ${schemaVersion};\n`;
  return [header, ...rows.map(({ sql }) => `${sql};`), footer].join('\n\n');
}

/** How SQLite would find the rows of `sql`. */
function plan(db: DatabaseSync, sql: string): string {
  return db
    .prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .all()
    .map((row) => String(row.detail))
    .join('; ');
}

describe('the schema', () => {
  it('is what schema.sql shows', () => {
    assert.equal(dump(fresh()), readFileSync(new URL('./schema.sql', import.meta.url), 'utf8'));
  });

  it('of a file of the first schema becomes the same', () => {
    const db = new DatabaseSync(':memory:');
    db.exec(first);
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1`);
    db.exec("INSERT INTO store VALUES (1, 'thestore00', 7)");
    migrate(db);
    const tables = (text: string) => text.split('\n\n').sort();
    assert.deepEqual(tables(dump(db)), tables(dump(fresh())));
  });

  it('is not made twice', () => {
    const db = fresh();
    const store = db.prepare('SELECT * FROM millrace_store').all();
    migrate(db);
    assert.deepEqual(db.prepare('SELECT * FROM millrace_store').all(), store);
  });

  it('lets a claim find its jobs in order, without sorting and without looking at others', () => {
    const found = plan(
      fresh(),
      `SELECT number FROM millrace_jobs WHERE state = ${S.available} AND queue = 1 ORDER BY priority, run_at, number LIMIT 9`,
    );
    assert.match(found, /USING (COVERING )?INDEX millrace_ready \(queue=\?\)/);
    assert.doesNotMatch(found, /SCAN|TEMP/);
  });

  it('lets what is due and what a server holds be found by index', () => {
    const due = `state <= 3 AND state = ${S.retryable} AND queue = 1 AND run_at <= 7 ORDER BY run_at`;
    assert.match(
      plan(fresh(), `SELECT number FROM millrace_jobs WHERE ${due}`),
      /INDEX millrace_due \(queue=\? AND state=\? AND run_at<\?\)/,
    );
    const held = `state = ${S.running} AND server = 1`;
    assert.match(
      plan(fresh(), `UPDATE millrace_jobs SET state = 4 WHERE ${held}`),
      /INDEX millrace_held \(server=\?\)/,
    );
  });
});
