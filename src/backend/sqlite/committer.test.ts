import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Ids } from '../ids.ts';
import { Committer } from './committer.ts';
import { openDatabase } from './database.ts';
import { packAdd } from './pack.ts';
import type { Request } from './wire.ts';

const add = () => {
  const job = { queue: 'q', name: 'work', payload: Buffer.from('{}'), priority: 4, maxAttempts: 1 };
  return packAdd([{ jobs: [job] }], new Ids('store'), 1);
};
const server = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 1 };
const beat = { kind: 'beat', now: 1, server } as const;
const claim = { kind: 'claim', now: 1, server: 'a', queues: ['q'], limit: 1 } as const;
const rescue = { kind: 'rescue', now: 1, lease: 1_000 } as const;
const counts = { kind: 'counts' } as const;

async function committer(t: TestContext, synchronous: 'full' | 'normal') {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const options = { path: join(folder, 'jobs.db'), synchronous, busyTimeout: 0, maxBytes: Infinity, shared: false };
  const db = openDatabase(options);
  t.after(() => {
    db.close();
    return rm(folder, { recursive: true });
  });
  const made = new Committer(db, options);
  return {
    /** Commits the requests together; whether SQLite was told to wait for the disk. */
    waited(...requests: readonly Request[]): boolean {
      const answers = made.run(requests.map((request, call) => ({ ...request, call })));
      assert.deepEqual(
        answers.filter((answer) => 'error' in answer),
        [],
      );
      return (db.prepare('PRAGMA synchronous').get() as { synchronous: number }).synchronous === 2;
    },
  };
}

describe('a commit', () => {
  it('waits for the disk when it stores a job or its end, alone or among others', async (t) => {
    const { waited } = await committer(t, 'full');
    assert.ok(waited(add()));
    assert.ok(!waited(beat));
    assert.ok(waited(claim, add()));
    assert.ok(!waited(claim, rescue, counts));
    const settle = { kind: 'settle', now: 1, server: 'a', numbers: new Float64Array([1]), details: [] } as const;
    assert.ok(waited(beat, { ...settle, claims: new Int32Array([1]), kinds: new Uint8Array(1) }));
  });

  it('never waits in a file whose owner said so', async (t) => {
    const { waited } = await committer(t, 'normal');
    assert.ok(!waited(beat, add()));
  });
});
