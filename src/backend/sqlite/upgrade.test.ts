/** A file that a program of the first schema left, opened by this one. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { add, counts, job, server, text } from '../conformance/support.ts';
import { Ids } from '../ids.ts';
import { SqliteBackend } from './backend.ts';
import { sql as first } from './migrations/000001.ts';
import { applicationId } from './migrations.ts';

/** One job in every state, a pause, an idempotency key, and a server that holds a job. */
const left = `
INSERT INTO store VALUES (1, 'thestore00', 8);
INSERT INTO queues VALUES (3, 'q', 0, 1, 1, 1, 1, 1, 1, 5), (4, 'r', 1, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO names VALUES (2, 'work');
INSERT INTO servers VALUES (6, 'a', 'host', 1, '', '', '["q"]', 4, 1000);
INSERT INTO jobs VALUES
  (1, 4, NULL, 0, 3, 2, 5, 1, 3, 0, 1000, 1000, NULL, NULL, x'31'),
  (2, 2, NULL, 0, 3, 2, 5, 1, 3, 0, 4000000000000, 1001, NULL, NULL, x'32'),
  (3, 3, NULL, 1, 3, 2, 5, 2, 3, 0, 4000000000000, 1002, NULL, '[{"attempt":1,"at":7,"message":"no"}]', x'33'),
  (4, 5, 6, 2, 3, 2, 5, 1, 3, 1, 1003, 1003, NULL, NULL, x'34'),
  (5, 6, NULL, 3, 3, 2, 5, 3, 3, 0, 1004, 1004, 2000, '[{"attempt":3,"at":8,"message":"no"}]', x'35'),
  (6, 7, NULL, 0, 3, 2, 5, 1, 3, 0, 1005, 1005, 2001, '[{"attempt":1,"at":9,"message":"not needed"}]', x'36');
INSERT INTO once VALUES ('k', 'f', 1, 2, 8000000000000000);
`;

async function upgraded(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const path = join(folder, 'jobs.db');
  const old = new DatabaseSync(path);
  old.exec(`PRAGMA journal_mode = WAL; ${first}`);
  old.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1; ${left}`);
  old.close();
  const backend = new SqliteBackend(path, { clock: new VirtualClock(), synchronous: 'normal' });
  t.after(async () => {
    await backend.close();
    await rm(folder, { recursive: true });
  });
  await backend.open();
  return { backend, path };
}

describe('a file of the first schema', () => {
  it('opens with all its jobs as they were', async (t) => {
    const { backend } = await upgraded(t);
    const { jobs } = await backend.list({});
    assert.deepEqual(
      jobs.map(({ state, attempt, addedAt, errors, ...rest }) => [text(rest), state, attempt, addedAt, errors.length]),
      [
        ['1', 'available', 1, 1000, 0],
        ['2', 'scheduled', 1, 1001, 0],
        ['3', 'retryable', 2, 1002, 1],
        ['4', 'running', 1, 1003, 0],
        ['5', 'discarded', 3, 1004, 1],
        ['6', 'cancelled', 1, 1005, 1],
      ],
    );
    assert.deepEqual([jobs[3]?.server, jobs[4]?.endedAt, jobs[0]?.startedAt], ['a', 2000, undefined]);
    const one = { scheduled: 1, available: 1, running: 1, retryable: 1, discarded: 1, cancelled: 1, completed: 5 };
    assert.deepEqual(await counts(backend), one);
    const paused = (await backend.counts()).map(({ queue, settings }) => [queue, settings.paused]);
    assert.deepEqual(paused, [
      ['q', false],
      ['r', true],
    ]);
  });

  it('goes on: its running job is settled, its numbers and keys are kept, its ended jobs can be retried', async (t) => {
    const { backend, path } = await upgraded(t);
    const id = new Ids('thestore00');
    const done = { id: id.format(4), claim: 2, ending: { kind: 'completed' } } as const;
    assert.deepEqual(await backend.settle('a', [done]), ['taken']);
    const once = { key: 'k', fingerprint: 'f', ttl: 1 };
    assert.deepEqual(await backend.add([{ jobs: [job()], once }]), [
      { status: 'repeated', ids: [id.format(1), id.format(2)] },
    ]);
    assert.deepEqual(await add(backend, [job('7', { key: 'ann' })]), [id.format(8)]);
    assert.deepEqual(await backend.act({ kind: 'retry' }, { states: ['discarded', 'cancelled'] }), { count: 2 });
    await backend.beat(server('b'));
    const { jobs } = await backend.claim({ server: 'b', queues: ['q'], limit: 9 });
    assert.deepEqual(jobs.map(text).toSorted(), ['1', '5', '6', '7']);
    await backend.close();
    const db = new DatabaseSync(path);
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const version = db.prepare('PRAGMA user_version').get();
    db.close();
    assert.deepEqual(
      tables.filter(({ name }) => !/^(millrace|sqlite)_/.test(String(name))),
      [],
    );
    assert.equal(version?.user_version, 2, 'a program of the first schema must not take it for its own');
  });
});
