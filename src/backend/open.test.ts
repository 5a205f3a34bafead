import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { VirtualClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { startRedis } from '../testing/redis.ts';
import { openBackend } from './open.ts';

describe('openBackend', () => {
  it('opens the backend that the URL names', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'jobs.db');
    for (const url of ['memory:', `sqlite:${path}`]) {
      const backend = await openBackend(url);
      assert.equal(backend.name, url);
      assert.deepEqual(await backend.counts(), []);
      await backend.close();
    }
    assert.ok(await stat(path));
  });

  it('refuses a URL that names none', async () => {
    for (const url of ['', 'sqlite', 'sqlite:', 'memory:x', 'mysql://127.0.0.1', 'jobs.db']) {
      await assert.rejects(openBackend(url), { code: 'MILLRACE_BACKEND_UNKNOWN', fields: { url } });
    }
  });

  it('opens a Redis server', async (t) => {
    const server = await startRedis();
    t.after(() => server.stop());
    const backend = await openBackend(`${server.url}/1?namespace=shop`);
    t.after(() => backend.close());
    assert.equal(backend.name, `${server.url}/1`);
    const [group] = await backend.add([
      { jobs: [{ queue: 'q', name: 'n', payload: Buffer.from('1'), priority: 5, maxAttempts: 1 }] },
    ]);
    assert.equal(group?.status, 'stored');
    assert.equal((await backend.counts())[0]?.available, 1);
    const other = await openBackend(`${server.url}/1?namespace=other`);
    t.after(() => other.close());
    assert.deepEqual(await other.counts(), [], 'another namespace holds another set of jobs');
  });

  it('lets time be that of the Redis server, or of a clock that is given', async (t) => {
    const server = await startRedis();
    t.after(() => server.stop());
    const clock = new VirtualClock();
    const backend = await openBackend(server.url, { clock });
    t.after(() => backend.close());
    clock.advance(1_000);
    assert.equal((await backend.dueSchedules(0)).now, clock.now());
    const own = await openBackend(server.url);
    t.after(() => own.close());
    const [seconds] = (await server.command('TIME')) as string[];
    assert.ok((await own.dueSchedules(0)).now >= Number(seconds) * 1_000);
  });

  it('never shows a password, whatever is wrong with the URL', async () => {
    for (const url of [
      'REDIS://user:hunter2@host',
      'jobs:redis://user:hunter2@host',
      'postgres://user:hunter2@host/db?password=hunter2',
      'mysql://host/db?password=hunter2',
      'redis://user:hunter2@host/first',
      'redis://user:hunter2@127.0.0.1:1?timeout=1',
    ]) {
      const error = await openBackend(url).catch((error: unknown) => error);
      assert.ok(error instanceof MillraceError, url);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter2/, url);
    }
  });

  it('takes the settings of a file from its URL, and refuses what it does not know', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    t.after(() => rm(folder, { recursive: true }));
    const backend = await openBackend(`sqlite:${folder}/jobs.db?synchronous=normal`);
    await backend.close();
    assert.ok(await stat(join(folder, 'jobs.db')), 'the settings are no part of the path');
    const wrong = [
      ['synchronous=off', 'OPTION_INVALID'],
      ['sync=full', 'OPTION_UNKNOWN'],
      ['shared=yes', 'OPTION_INVALID'],
    ];
    for (const [query, code] of wrong) {
      await assert.rejects(openBackend(`sqlite:${folder}/jobs.db?${query}`), { code: `MILLRACE_${code}` });
    }
  });

  it('puts jobs into the file of another program when the URL says so', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'app.db');
    const app = new DatabaseSync(path);
    app.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY)');
    app.close();
    await assert.rejects(openBackend(`sqlite:${path}`), { code: 'MILLRACE_NOT_A_DATABASE' });
    const backend = await openBackend(`sqlite:${path}?shared=true`);
    assert.deepEqual(await backend.counts(), []);
    await backend.close();
  });

  it('leaves nothing running when opening fails', async () => {
    // The leak check of the runner sees a thread that would be left.
    await assert.rejects(openBackend(`sqlite:${tmpdir()}`), { code: 'MILLRACE_NOT_A_DATABASE' });
  });
});
