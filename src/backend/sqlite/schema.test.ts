import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { applicationId, migrate, schemaVersion } from './migrations.ts';
import { stateNumbers as S } from './wire.ts';

function fresh(): DatabaseSync {
  const db = new DatabaseSync(':memory:');
  migrate(db);
  return db;
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
    const rows = fresh().prepare('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid').all();
    const dump = rows.map(({ sql }) => `${sql};\n`).join('\n');
    const header = `-- The schema that the migrations lead to. Kept true by schema.test.ts.\n\n`;
    const footer = `\nPRAGMA application_id = ${applicationId};\nPRAGMA user_version = ${schemaVersion};\n`;
    assert.equal(header + dump + footer, readFileSync(new URL('./schema.sql', import.meta.url), 'utf8'));
  });

  it('is not made twice', () => {
    const db = fresh();
    const store = db.prepare('SELECT * FROM store').all();
    migrate(db);
    assert.deepEqual(db.prepare('SELECT * FROM store').all(), store);
  });

  it('lets a claim find its jobs in order, without sorting and without looking at others', () => {
    const found = plan(
      fresh(),
      `SELECT number FROM jobs WHERE state = ${S.available} AND queue = 1 ORDER BY priority, run_at, number LIMIT 9`,
    );
    assert.match(found, /USING (COVERING )?INDEX ready \(queue=\?\)/);
    assert.doesNotMatch(found, /SCAN|TEMP/);
  });

  it('lets what is due and what a server holds be found by index', () => {
    const due = `state <= 3 AND state = ${S.retryable} AND queue = 1 AND run_at <= 7 ORDER BY run_at`;
    assert.match(
      plan(fresh(), `SELECT number FROM jobs WHERE ${due}`),
      /INDEX due \(queue=\? AND state=\? AND run_at<\?\)/,
    );
    const held = `state = ${S.running} AND server = 1`;
    assert.match(plan(fresh(), `UPDATE jobs SET state = 4 WHERE ${held}`), /INDEX held \(server=\?\)/);
  });
});
