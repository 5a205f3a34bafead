import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { server } from '../conformance/support.ts';
import { SqliteBackend } from './backend.ts';

const every = 5;

async function beating(t: TestContext, stallTimeout: number) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const backend = new SqliteBackend(join(folder, 'jobs.db'));
  t.after(async () => {
    await backend.close();
    await rm(folder, { recursive: true });
  });
  await backend.open();
  const pulse = new Int32Array(new SharedArrayBuffer(4));
  await backend.startHeart(server(), { every, stallTimeout, pulse });
  const beatAt = async () => (await backend.servers())[0]?.beatAt ?? 0;
  return { backend, pulse, beatAt };
}

/** Looks until it holds; the test's own timeout is the bound. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

describe('the heart', () => {
  it('beats while the main thread is blocked', async (t) => {
    const { beatAt } = await beating(t, 10_000);
    const start = Date.now();
    const end = performance.now() + 20 * every;
    while (performance.now() < end);
    // Answered after the beats that came before it; a beat that had waited for this thread would not be among them.
    assert.ok((await beatAt()) >= start + 10 * every);
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
