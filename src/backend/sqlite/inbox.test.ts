/** Jobs that are added in the transaction of an application, beside the application's own rows. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { add, claim, counts, job, settle, text } from '../conformance/support.ts';
import { SqliteBackend } from './backend.ts';
import { sqliteInbox } from './inbox.ts';

/** An application's file with a table of its own, and a backend on the same file. */
async function shop(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const path = join(folder, 'shop.db');
  const db = new DatabaseSync(path);
  db.exec('CREATE TABLE jobs (id TEXT); PRAGMA user_version = 41; PRAGMA application_id = 77');
  const clock = new VirtualClock();
  const backend = new SqliteBackend(path, { clock, shared: true, synchronous: 'normal' });
  t.after(async () => {
    await backend.close();
    db.close();
    await rm(folder, { recursive: true });
  });
  await backend.open();
  return { db, path, clock, backend, inbox: sqliteInbox(db, { clock }) };
}

const rows = (db: DatabaseSync) => db.prepare('SELECT id FROM jobs').all().length;
const stored = (result: object | undefined) => (result as { ids: readonly string[] }).ids;

describe('jobs in the transaction of an application', () => {
  it('are there with its rows, under ids that nobody else is given, and servers hear of them', async (t) => {
    const { db, backend, inbox } = await shop(t);
    const [before] = await add(backend, [job('1')]);
    const heard = new Promise<void>((resolve) => {
      const stop = backend.listen({ queues: ['mail'] }, () => {
        stop();
        resolve();
      });
    });
    db.exec('BEGIN IMMEDIATE');
    db.exec("INSERT INTO jobs VALUES ('order 1')");
    const [result] = inbox.add([{ jobs: [job('2', { queue: 'mail' }), job('3', { queue: 'mail' })] }]);
    assert.deepEqual(await counts(backend, 'mail'), {}, 'not before the commit');
    db.exec('COMMIT');
    await heard;
    const [after] = await add(backend, [job('4')]);
    const ids = [before, ...stored(result), after];
    assert.deepEqual(ids, ids.toSorted());
    assert.equal(new Set(ids).size, 4);
    assert.equal(rows(db), 1);
    const jobs = await claim(backend, 9, { queues: ['mail'] });
    assert.deepEqual(jobs.map(text), ['2', '3']);
    assert.deepEqual(await settle(backend, jobs, { kind: 'completed' }), ['taken', 'taken']);
  });

  it('are not there when it rolls back, and leave nothing behind', async (t) => {
    const { db, backend, inbox } = await shop(t);
    const rich = job('1', {
      queue: 'new',
      id: 'mine',
      key: 'ann',
      unique: { key: 'u', mode: 'keep', states: ['available'] },
    });
    db.exec('BEGIN IMMEDIATE');
    db.exec("INSERT INTO jobs VALUES ('order 1')");
    assert.equal(inbox.add([{ jobs: [rich, job('2')] }])[0]?.status, 'stored');
    db.exec('ROLLBACK');
    assert.deepEqual([rows(db), (await backend.list({})).jobs, await backend.counts()], [0, [], []]);
    db.exec('BEGIN IMMEDIATE');
    const [again] = inbox.add([{ jobs: [rich] }]);
    db.exec('COMMIT');
    assert.deepEqual(again, { status: 'stored', ids: ['mine'] });
    assert.equal((await backend.get('mine'))?.key, 'ann');
  });

  it('keep their keys, unique rules and limits together with those that a backend adds', async (t) => {
    const { db, backend, inbox } = await shop(t);
    const unique = { key: 'u', mode: 'keep', states: ['available', 'running'] } as const;
    const [first] = await add(backend, [job('1', { key: 'ann', unique })]);
    db.exec('BEGIN IMMEDIATE');
    const results = inbox.add([
      { jobs: [job('2', { unique })] },
      { jobs: [job('3', { key: 'ann' })] },
      { jobs: [job('4')], maxWaiting: 2 },
    ]);
    db.exec('COMMIT');
    assert.deepEqual(results[0], { status: 'stored', ids: [first], existing: [0] });
    assert.deepEqual(results[2], { status: 'full', queue: 'q', waiting: 2, limit: 2 });
    const running = await claim(backend);
    assert.deepEqual(running.map(text), ['1'], 'one of a key at a time');
    await settle(backend, running, { kind: 'completed' });
    assert.deepEqual((await claim(backend)).map(text), ['3']);
  });

  it('go in whole or not at all, and without a transaction are one of their own', async (t) => {
    const { db, backend, inbox } = await shop(t);
    db.exec('BEGIN IMMEDIATE');
    db.exec("INSERT INTO jobs VALUES ('order 1')");
    const wrong = job('2', { priority: 77 });
    assert.throws(() => inbox.add([{ jobs: [job('1'), wrong] }]), { code: 'MILLRACE_OPTION_INVALID' });
    db.exec('COMMIT');
    assert.deepEqual([rows(db), (await backend.list({})).jobs], [1, []]);
    inbox.add([{ jobs: [job('3')] }]);
    assert.equal(db.isTransaction, false);
    assert.deepEqual((await backend.list({})).jobs.map(text), ['3']);
  });

  it('leave the transaction as it was when the file refuses them', async (t) => {
    const { db, backend, inbox } = await shop(t);
    db.exec('BEGIN IMMEDIATE');
    db.exec("INSERT INTO jobs VALUES ('order 1')");
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number };
    db.exec(`PRAGMA max_page_count = ${pages + 2}`);
    assert.throws(() => inbox.add([{ jobs: [job('1'), job('', { payload: new Uint8Array(100_000) })] }]), /full/);
    if (db.isTransaction) db.exec('COMMIT');
    assert.deepEqual((await backend.list({})).jobs, []);
    db.exec('PRAGMA max_page_count = 100000');
    assert.equal(inbox.add([{ jobs: [job('2')] }])[0]?.status, 'stored');
  });

  it('need the tables, of this version', async (t) => {
    const bare = new DatabaseSync(':memory:');
    t.after(() => bare.close());
    assert.throws(() => sqliteInbox(bare), { code: 'MILLRACE_NOT_A_DATABASE', message: /shared/ });
    const { db } = await shop(t);
    db.exec('UPDATE millrace_store SET schema = 99');
    assert.throws(() => sqliteInbox(db), { code: 'MILLRACE_SCHEMA_TOO_NEW' });
    db.exec('UPDATE millrace_store SET schema = 1');
    assert.throws(() => sqliteInbox(db), { code: 'MILLRACE_BACKEND_UNAVAILABLE', message: /schema 1/ });
  });
});

describe('a file of another program', () => {
  it('keeps its tables and its header', async (t) => {
    const { db, path, backend } = await shop(t);
    await add(backend, [job()]);
    const header = ['user_version', 'application_id'].map((name) =>
      Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {}),
    );
    assert.deepEqual(header.flat(), [41, 77]);
    assert.equal(rows(db), 0);
    await assert.rejects(new SqliteBackend(path).open(), { code: 'MILLRACE_NOT_A_DATABASE', message: /`shared`/ });
    const other = new SqliteBackend(path, { shared: true });
    await other.open();
    assert.equal((await other.list({})).jobs.length, 1);
    await other.close();
  });
});
