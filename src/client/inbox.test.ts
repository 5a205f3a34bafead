import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { openBackend } from '../backend/open.ts';
import { sqliteInbox } from '../backend/sqlite/inbox.ts';
import { defineJob } from '../job/job.ts';
import { Client } from './client.ts';

const ship = defineJob({ name: 'ship', unique: { by: ['order'] }, run: (_: { order: number }) => undefined });

describe('enqueueIn a SQLite transaction', () => {
  it('stores the job with the rows of the caller, or not at all', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-inbox-'));
    const path = join(folder, 'shop.db');
    const backend = await openBackend(`sqlite:${path}?shared=true`);
    const database = new DatabaseSync(path);
    t.after(async () => {
      await backend.close();
      database.close();
      await rm(folder, { recursive: true });
    });
    const client = new Client({ backend });
    const inbox = sqliteInbox(database);
    database.exec('CREATE TABLE orders (id INTEGER)');

    database.exec('BEGIN IMMEDIATE; INSERT INTO orders VALUES (1)');
    const lost = client.enqueueIn(inbox, ship, { order: 1 });
    database.exec('ROLLBACK');
    assert.equal(await lost.get(), undefined);

    database.exec('BEGIN IMMEDIATE; INSERT INTO orders VALUES (2)');
    const kept = client.enqueueIn(inbox, ship, { order: 2 }, { tags: ['new'] });
    const again = client.enqueueIn(inbox, ship, { order: 2 });
    database.exec('COMMIT');
    assert.deepEqual([kept.isNew, again.isNew, again.id], [true, false, kept.id]);
    const view = await kept.get();
    assert.deepEqual([view?.payload, view?.tags, view?.state], [{ order: 2 }, ['new'], 'available']);
    assert.deepEqual(
      database
        .prepare('SELECT id FROM orders')
        .all()
        .map(({ id }) => id),
      [2],
    );
  });
});
