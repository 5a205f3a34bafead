import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { server } from '../conformance/support.ts';
import { SqliteBackend } from './backend.ts';

const every = 5;
/** ms that a thread may get no turn on a machine with much else to do. */
const PATIENCE = 10_000;

async function beating(t: TestContext, stallTimeout: number) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const path = join(folder, 'jobs.db');
  const backend = new SqliteBackend(path);
  t.after(async () => {
    await backend.close();
    await rm(folder, { recursive: true });
  });
  await backend.open();
  const pulse = new Int32Array(new SharedArrayBuffer(4));
  await backend.startHeart(server(), { every, stallTimeout, pulse });
  const beatAt = async () => (await backend.servers())[0]?.beatAt ?? 0;
  return { path, backend, pulse, beatAt };
}

/** Looks until it holds; the test's own timeout is the bound. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

describe('the heart', () => {
  it('beats while the main thread is blocked', async (t) => {
    const { path } = await beating(t, 10_000);
    // A look that waits for nothing: what it finds was written while this thread did nothing else.
    const db = new DatabaseSync(path, { readOnly: true });
    t.after(() => db.close());
    const look = db.prepare('SELECT beat_at FROM millrace_servers');
    const beatAt = () => (look.get() as { beat_at: number }).beat_at;
    const start = beatAt();
    const end = performance.now() + PATIENCE;
    while (beatAt() < start + 10 * every) assert.ok(performance.now() < end, 'no beat while the thread was blocked');
  });

  it('stops when the pulse stands still, and goes on when it moves again', async (t) => {
    const { beatAt, pulse } = await beating(t, 4 * every);
    await until(async () => Date.now() - (await beatAt()) > 20 * every);
    const last = await beatAt();
    Atomics.add(pulse, 0, 1);
    await until(async () => (await beatAt()) > last);
  });

  it('does not race when its beats are further apart than a timer can count', async (t) => {
    const { backend, beatAt } = await beating(t, 10_000);
    const lazy = server('lazy');
    const options = {
      every: Number.POSITIVE_INFINITY,
      stallTimeout: 10_000,
      pulse: new Int32Array(new SharedArrayBuffer(4)),
    };
    await backend.startHeart(lazy, options);
    const beats = async () => (await backend.servers()).find(({ id }) => id === 'lazy')?.beatAt;
    const first = await beats();
    const start = await beatAt();
    await until(async () => (await beatAt()) >= start + 10 * every);
    assert.equal(await beats(), first);
  });

  it('ends when its server leaves', async (t) => {
    const { backend } = await beating(t, 10_000);
    await backend.leave('a');
    const end = performance.now() + 10 * every;
    await until(async () => {
      assert.deepEqual(await backend.servers(), []);
      return performance.now() > end;
    });
  });

  it('refuses a pulse that no other thread can see', async (t) => {
    const { backend } = await beating(t, 10_000);
    const options = { every, stallTimeout: 1000, pulse: new Int32Array(1) };
    await assert.rejects(backend.startHeart(server('b'), options), { code: 'MILLRACE_OPTION_INVALID' });
  });
});
