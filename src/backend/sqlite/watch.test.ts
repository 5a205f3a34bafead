import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { Watch } from './watch.ts';

async function setup(t: TestContext, { exists = true, finds = false } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const log = join(folder, 'jobs.db-wal');
  if (exists) writeFileSync(log, '');
  const clock = new VirtualClock();
  let looks = 0;
  let onLook = () => {};
  const look = () => {
    looks++;
    onLook();
    return finds;
  };
  const watch = new Watch({ log, look, clock });
  t.after(() => {
    watch.stop();
    assert.equal(clock.pending, 0);
    return rm(folder, { recursive: true });
  });
  /** The looks while `ms` pass. */
  const looksIn = async (ms: number) => {
    const before = looks;
    await clock.advance(ms);
    return looks - before;
  };
  const nextLook = () => new Promise<void>((resolve) => (onLook = resolve));
  watch.start();
  return { watch, log, looksIn, nextLook };
}

describe('the watch for other processes', () => {
  it('looks often at first, and once a second when nothing happens', async (t) => {
    const { looksIn } = await setup(t);
    assert.equal(await looksIn(500), 20);
    await looksIn(600);
    assert.equal(await looksIn(10_000), 10);
  });

  it('goes on looking often while something is committed, here or elsewhere', async (t) => {
    const here = await setup(t);
    for (let i = 0; i < 10; i++) {
      here.watch.committed();
      assert.equal(await here.looksIn(500), 20);
    }
    const elsewhere = await setup(t, { finds: true });
    assert.equal(await elsewhere.looksIn(5_000), 200);
  });

  it('at rest looks as soon as the log is written', async (t) => {
    const { log, looksIn, nextLook } = await setup(t);
    await looksIn(1_500);
    const looked = nextLook();
    appendFileSync(log, 'a commit');
    await looked;
  });

  it('looks often again when much is written', async (t) => {
    const { log, looksIn, nextLook } = await setup(t);
    await looksIn(1_500);
    for (let i = 0; i < 20; i++) {
      const looked = nextLook();
      appendFileSync(log, 'a commit');
      await looked;
    }
    assert.equal(await looksIn(100), 4);
  });

  it('goes on looking often where the file system cannot tell', async (t) => {
    const { looksIn } = await setup(t, { exists: false });
    await looksIn(2_000);
    assert.equal(await looksIn(1_000), 40);
  });
});
