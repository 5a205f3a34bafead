/** What SqliteBackend does with files that it cannot, or should not, use. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, it, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { VirtualClock } from '../../clock.ts';
import { add, claim, counts, job, server, settle, text } from '../conformance/support.ts';
import { SqliteBackend, type SqliteOptions } from './backend.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((path) => rm(path, { recursive: true }))));

/** Removed when all tests are over, and with them all backends. */
async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-'));
  folders.push(path);
  return path;
}

async function opened(t: TestContext, path: string, options?: SqliteOptions): Promise<SqliteBackend> {
  const backend = new SqliteBackend(path, options);
  t.after(() => backend.close());
  await backend.open();
  return backend;
}

const large = (size = 20_000) => job('', { payload: new Uint8Array(size) });

describe('a file for jobs', () => {
  it('is made together with its folders', async (t) => {
    const path = join(await folder(), 'a/b/jobs.db');
    await add(await opened(t, path), [job()]);
    assert.ok((await stat(path)).isFile());
  });

  it('keeps its jobs when it is closed, and is one file then', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const first = await opened(t, path);
    const ids = await add(first, [job('1'), job('2')]);
    await first.configure('paused', { paused: true });
    await first.close();
    await assert.rejects(stat(`${path}-wal`), { code: 'ENOENT' });
    const second = await opened(t, path);
    assert.deepEqual(
      (await second.list({})).jobs.map(({ id }) => id),
      ids,
    );
    assert.equal((await second.counts()).find(({ queue }) => queue === 'paused')?.settings.paused, true);
    const [third] = await add(second, [job()]);
    assert.ok((third as string) > (ids[1] as string), 'numbers go on');
  });

  it('keeps the turns of its keys, its rates, orders, schedules, unique rules and events when it is closed', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const clock = new VirtualClock();
    const options = { clock, synchronous: 'normal' } as const;
    const first = await opened(t, path, options);
    await first.configure('q', { events: 5, rate: { limit: 2, per: 1000 }, keys: { concurrency: 1 } });
    const unique = { key: 'u', mode: 'keep', states: ['running'] } as const;
    await add(first, [job('a1', { key: 'a', unique }), job('a2', { key: 'a' }), job('b1', { key: 'b' }), job('free')]);
    const [held] = await claim(first, 1);
    await first.act({ kind: 'cancel', reason: 'enough' }, { states: ['running'] });
    await first.report('a', [{ id: held?.id as string, claim: held?.claim as number, progress: '1' }]);
    const schedule = { key: 's', rule: 'daily', job: job('tick'), nextAt: clock.now() };
    await first.putSchedule(schedule);
    const before = await Promise.all([
      first.events(),
      first.orders('a'),
      first.schedules(),
      first.list({}),
      first.counts(),
    ]);
    await first.close();
    const second = await opened(t, path, options);
    const after = await Promise.all([
      second.events(),
      second.orders('a'),
      second.schedules(),
      second.list({}),
      second.counts(),
    ]);
    assert.deepEqual(after, before);
    assert.equal(after[0].events.length, 5);
    assert.deepEqual(await second.add([{ jobs: [job('', { unique })] }]), [
      { status: 'stored', ids: [held?.id], existing: [0] },
    ]);
    const claimed = await second.claim({ server: 'a', queues: ['q'], limit: 9 });
    assert.deepEqual([claimed.jobs.map(text), claimed.nextAt], [['b1'], clock.now() + 500]);
    await clock.advance(500);
    assert.deepEqual((await claim(second)).map(text), ['free'], 'the only slot of key a is in use');
  });

  it('does not give the number of a removed job again', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const first = await opened(t, path);
    const [id] = await add(first, [job()]);
    await first.act({ kind: 'remove' }, {});
    await first.close();
    assert.notEqual((await add(await opened(t, path), [job()]))[0], id);
  });

  it('that is a directory, no database, or of another program is refused, and not changed', async () => {
    const base = await folder();
    await mkdir(join(base, 'directory'));
    await writeFile(join(base, 'text'), 'Dear diary, '.repeat(1000));
    const foreign = new DatabaseSync(join(base, 'foreign'));
    foreign.exec('CREATE TABLE diary (day TEXT)');
    foreign.close();
    for (const name of ['text', 'foreign', 'directory']) {
      const path = join(base, name);
      const before = name === 'directory' ? '' : await readFile(path);
      await assert.rejects(new SqliteBackend(path).open(), { code: 'MILLRACE_NOT_A_DATABASE' }, name);
      if (name !== 'directory') assert.deepEqual(await readFile(path), before);
    }
  });

  it('of a newer schema is refused, and not changed by a byte', async (t) => {
    const path = join(await folder(), 'jobs.db');
    await (await opened(t, path)).close();
    const db = new DatabaseSync(path);
    db.exec('UPDATE millrace_store SET schema = 99');
    db.close();
    const before = await readFile(path);
    await assert.rejects(new SqliteBackend(path).open(), {
      code: 'MILLRACE_SCHEMA_TOO_NEW',
      fields: { path, found: 99, known: 2 },
    });
    assert.deepEqual(await readFile(path), before);
  });

  it('that cannot be written is refused', async (t) => {
    const base = await folder();
    const path = join(base, 'jobs.db');
    await (await opened(t, path)).close();
    await chmod(path, 0o444);
    await chmod(base, 0o555);
    // Root may write everything, so somebody else tries.
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const program = `
      const { openDatabase } = await import(${JSON.stringify(new URL('./database.ts', import.meta.url))});
      try {
        openDatabase({ path: ${JSON.stringify(path)}, synchronous: 'full', busyTimeout: 0, maxBytes: Infinity, shared: false });
      } catch (error) { console.log(error.code); }`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      ...nobody,
      encoding: 'utf8',
      cwd: '/',
      env: {},
    });
    await chmod(base, 0o755);
    if (/EACCES|Cannot find module/.test(stderr)) return t.skip('the program cannot be read by another user here');
    assert.equal(stdout.trim(), 'MILLRACE_BACKEND_READ_ONLY', stderr);
  });

  it('can be opened after a failure by the same object', async (t) => {
    const base = await folder();
    const path = join(base, 'jobs.db');
    await mkdir(path);
    const backend = new SqliteBackend(path);
    t.after(() => backend.close());
    await assert.rejects(backend.open(), { code: 'MILLRACE_NOT_A_DATABASE' });
    await assert.rejects(backend.add([]), { code: 'MILLRACE_BACKEND_CLOSED' });
    await rm(path, { recursive: true });
    await backend.open();
    await add(backend, [job()]);
  });
});

describe('a full disk', () => {
  it('refuses the call that does not fit, keeps what was acknowledged, and takes jobs again when there is room', async (t) => {
    const backend = await opened(t, join(await folder(), 'jobs.db'), { maxBytes: 400_000 });
    const stored: string[] = [];
    const fill = async () => {
      for (;;) stored.push(...(await add(backend, [large()])));
    };
    await assert.rejects(fill, { code: 'MILLRACE_BACKEND_DISK_FULL' });
    assert.ok(stored.length >= 5);
    assert.deepEqual(
      (await backend.list({})).jobs.map(({ id }) => id),
      stored,
    );
    assert.deepEqual(await counts(backend), { available: stored.length });

    await settle(backend, await claim(backend, 2), { kind: 'completed' });
    await add(backend, [large()]);
    assert.deepEqual(await counts(backend), { available: stored.length - 1, completed: 2 });
  });

  it('fails only the call that is too large, not those of the same commit', async (t) => {
    const backend = await opened(t, join(await folder(), 'jobs.db'), { maxBytes: 400_000 });
    await backend.beat(server());
    const results = await Promise.allSettled([
      add(backend, [job('1')]),
      add(backend, [job('half'), large(1_000_000)]),
      add(backend, [job('2')]),
      backend.claim({ server: 'a', queues: ['q'], limit: 9 }),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === 'rejected' ? result.reason.code : 'stored')),
      ['stored', 'MILLRACE_BACKEND_DISK_FULL', 'stored', 'stored'],
    );
    assert.deepEqual(await counts(backend), { running: 2 });
  });

  it('of the machine does the same', async (t) => {
    const base = await folder();
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'millrace', base]);
    if (mount.status !== 0) return t.skip('mounting a small disk is not allowed here');
    t.after(() => spawnSync('umount', ['--lazy', base]));
    const ballast = join(base, 'ballast');
    await writeFile(ballast, new Uint8Array(1_000_000));
    const path = join(base, 'jobs.db');
    const backend = await opened(t, path);
    const stored: string[] = [];
    const fill = async () => {
      for (;;) stored.push(...(await add(backend, [large()])));
    };
    await assert.rejects(fill, { code: 'MILLRACE_BACKEND_DISK_FULL' });
    await assert.rejects(add(backend, [large()]), { code: 'MILLRACE_BACKEND_DISK_FULL' });
    assert.deepEqual(
      (await backend.list({})).jobs.map(({ id }) => id),
      stored,
    );
    await rm(ballast);
    stored.push(...(await add(backend, [large()])));
    await backend.close();
    const again = await opened(t, path);
    assert.deepEqual(
      (await again.list({})).jobs.map(({ id }) => id),
      stored,
    );
    await again.close();
  });
});

describe('the log of a file', () => {
  it('stays short however much is written', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const backend = await opened(t, path);
    const megabyte = 1024 * 1024;
    let longest = 0;
    for (let i = 0; i < 200; i++) {
      await add(backend, [large(megabyte)]);
      await settle(backend, await claim(backend), { kind: 'completed' });
      longest = Math.max(longest, (await stat(`${path}-wal`)).size);
    }
    assert.ok(longest < 160 * megabyte, `${longest} bytes`);
  });
});

describe('large payloads', () => {
  it('are claimed in parts that fit into memory, each saying that there is more', async (t) => {
    const clock = new VirtualClock();
    const backend = await opened(t, join(await folder(), 'jobs.db'), { clock, synchronous: 'normal' });
    await backend.beat(server());
    const ask = () => backend.claim({ server: 'a', queues: ['q'], limit: 100 });
    await add(backend, [...Array.from({ length: 64 }, () => large(1024 * 1024)), job('small')]);
    const part = await ask();
    assert.deepEqual([part.jobs.length, part.nextAt], [64, clock.now()]);
    const rest = await ask();
    assert.deepEqual([rest.jobs.length, rest.nextAt], [1, undefined]);
  });
});

describe('the thread of a file', () => {
  it('that dies rejects what is under way and what comes later', async (t) => {
    let thread: Worker | undefined;
    process.once('worker', (worker: Worker) => {
      thread = worker;
    });
    const backend = await opened(t, join(await folder(), 'jobs.db'));
    const call = assert.rejects(backend.add([{ jobs: [job()] }]), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    await thread?.terminate();
    await call;
    await assert.rejects(backend.counts(), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    await backend.close();
    await assert.rejects(backend.counts(), { code: 'MILLRACE_BACKEND_CLOSED' });
  });

  it('gives a call up that another process keeps from the lock for too long', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const backend = await opened(t, path, { busyTimeout: 5 });
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    await assert.rejects(add(backend, [job()]), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    assert.deepEqual(await backend.counts(), [], 'looking needs no lock');
    other.exec('ROLLBACK');
    other.close();
    await add(backend, [job()]);
  });
});
