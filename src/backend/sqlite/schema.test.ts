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

  for (const [what, sql, index] of [
    [
      'a claim its jobs without a key, in order',
      `SELECT number FROM millrace_jobs WHERE state = 4 AND queue = 1 ORDER BY priority, run_at, number LIMIT 9`,
      /ready \(queue=\?\)/,
    ],
    [
      'a claim the first of the line of keys',
      `SELECT number FROM millrace_jobs WHERE state >= 6 AND queue = 1 AND state = ${S.head} ORDER BY major, minor, number LIMIT 1`,
      /other \(queue=\? AND state=\?\)/,
    ],
    [
      'a key its next job',
      `SELECT number FROM millrace_jobs WHERE state >= 6 AND queue = 1 AND state = ${S.behind} AND major = 3
         ORDER BY minor, number LIMIT 1`,
      /other \(queue=\? AND state=\? AND major=\?\)/,
    ],
    [
      'what is due',
      `SELECT number FROM millrace_jobs WHERE state <= 3 AND state = ${S.retryable} AND queue = 1 AND run_at <= 7 ORDER BY run_at`,
      /due \(queue=\? AND state=\? AND run_at<\?\)/,
    ],
    ['what a server holds', 'SELECT priority FROM millrace_jobs WHERE state = 5 AND server = 1', /held \(server=\?\)/],
    [
      'what has ended first',
      `SELECT number FROM millrace_jobs WHERE state >= 6 AND queue = 1 AND state = 7 AND major <= 5
         ORDER BY major, minor, number LIMIT 9`,
      /other \(queue=\? AND state=\? AND major<\?\)/,
    ],
    [
      'keys that a rate lets go on',
      'SELECT id FROM millrace_keys WHERE wake_at IS NOT NULL AND queue = 1 AND wake_at <= 5 ORDER BY wake_at LIMIT 9',
      /keys_wake \(queue=\? AND wake_at>\? AND wake_at<\?\)/,
    ],
    [
      'keys that can be forgotten',
      'SELECT id FROM millrace_keys WHERE idle = 1 AND full_at <= 5 ORDER BY full_at LIMIT 9',
      /keys_idle \(full_at<\?\)/,
    ],
    [
      'the oldest event of a queue',
      'SELECT number FROM millrace_events WHERE queue = 1 ORDER BY number LIMIT 1 OFFSET 5',
      /events_queue \(queue=\?\)/,
    ],
  ] as const) {
    it(`lets be found without sorting and without looking at others: ${what}`, () => {
      const found = plan(fresh(), sql);
      assert.match(found, new RegExp(`INDEX millrace_${index.source}`));
      assert.doesNotMatch(found, /SCAN|TEMP/);
    });
  }
});
