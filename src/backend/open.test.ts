import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
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
    for (const url of ['', 'sqlite', 'sqlite:', 'memory:x', 'redis://127.0.0.1', 'jobs.db']) {
      await assert.rejects(openBackend(url), { code: 'MILLRACE_BACKEND_UNKNOWN', fields: { url } });
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
