/** Handles in one process, the job's server in another, one SQLite file between them. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Backend, Client, Inspector, openBackend } from '../src/index.ts';
import { square, stuck } from './support/square-server.ts';

const program = fileURLToPath(new URL('support/square-server.ts', import.meta.url));

describe('a handle, while a server in another process runs the job', () => {
  let folder: string;
  let url: string;
  let backend: Backend;
  let client: Client<[typeof square, typeof stuck]>;
  let server: ChildProcess;

  const startServer = async () => {
    server = fork(program, [url]);
    await once(server, 'message');
  };
  const stopServer = async () => {
    server.kill('SIGTERM');
    await once(server, 'exit');
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-handles-'));
    url = `sqlite:${folder}/jobs.db`;
    backend = await openBackend(url);
    client = new Client({ backend, jobs: [square, stuck] });
    await startServer();
  });
  after(async () => {
    await client.close();
    await stopServer();
    await backend.close();
    await rm(folder, { recursive: true });
  });

  it('gets the result', async () => {
    const handles = await client.enqueueMany('square', [1, 2, 3], { keepFor: 60_000 });
    assert.deepEqual(await Promise.all(handles.map((handle) => handle.result())), [1, 4, 9]);
  });

  it('tells how far the job is, and stops it', async () => {
    const handle = await client.enqueue('stuck', null);
    const events = new Inspector({ backend }).events({ after: 'now' });
    const ended = assert.rejects(handle.result(), {
      code: 'MILLRACE_JOB_FAILED',
      message: /was cancelled: .*not worth it/,
    });
    const { queue } = stuck;
    await new Inspector({ backend }).configure(queue, { events: 100 });
    for (let view = await handle.get(); view?.progress !== 'begun'; view = await handle.get()) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const cancelled = (async () => {
      for await (const event of events) if (event.kind === 'cancelled') return event.job;
      return undefined;
    })();
    assert.equal(await handle.cancel('not worth it'), true);
    await ended;
    assert.equal(await cancelled, handle.id);
  });

  it('waits through a restart of the server, and works from an id after one of its own', async () => {
    await stopServer();
    const { id } = await client.enqueue('square', 12, { keepFor: 60_000 });
    const waiting = client.handle(id, 'square').result();
    await startServer();
    assert.equal(await waiting, 144);

    await client.close();
    await backend.close();
    backend = await openBackend(url);
    client = new Client({ backend, jobs: [square, stuck] });
    assert.equal(await client.handle(id, square).result(), 144);
  });
});
