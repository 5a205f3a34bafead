/** SIGKILL, and several processes on one file. The other processes are this file, started with a task. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it, type TestContext } from 'node:test';
import { add, job } from '../conformance/support.ts';
import type { JobRecord } from '../records.ts';
import { SqliteBackend } from './backend.ts';

const me = { id: `server ${process.pid}`, host: hostname(), pid: process.pid, queues: ['q'], concurrency: 9 };
const say = (text: string) => process.stdout.write(`${text}\n`);

/** What another process does. Says each id after it was acknowledged, as `verb id`. */
const tasks: Record<string, (backend: SqliteBackend) => Promise<void>> = {
  /** Adds as fast as it can and claims some of it, until it is killed. */
  async add(backend) {
    await backend.beat(me);
    const adder = async () => {
      for (;;) for (const id of await add(backend, [job('1'), job('2')])) say(`added ${id}`);
    };
    const claimer = async () => {
      for (;;) {
        const { jobs } = await backend.claim({ server: me.id, queues: ['q'], limit: 10 });
        for (const { id } of jobs) say(`claimed ${id}`);
      }
    };
    await Promise.all([adder(), adder(), adder(), adder(), claimer()]);
  },

  /** Adds 500 jobs and works, until all 1000 of two processes are done. */
  async share(backend) {
    await backend.beat(me);
    const adding = Promise.all(
      Array.from({ length: 50 }, () =>
        add(
          backend,
          Array.from({ length: 10 }, () => job()),
        ),
      ),
    );
    for (let done = 0; done < 1000; done = (await backend.counts())[0]?.completed ?? 0) {
      const { jobs } = await backend.claim({ server: me.id, queues: ['q'], limit: 7 });
      const outcomes = jobs.map(({ id, claim }) => ({ id, claim, ending: { kind: 'completed' } as const }));
      const results = await backend.settle(me.id, outcomes);
      for (const [i, { id }] of jobs.entries()) say(`${results[i]} ${id}`);
    }
    await adding;
    await backend.close();
  },
};

const [, , task, path] = process.argv;
if (task && path) {
  const backend = new SqliteBackend(path);
  await backend.open();
  await tasks[task]?.(backend);
} else {
  describe('several processes on one file', processes);
}

interface Other {
  readonly process: ChildProcess;
  readonly said: string[];
  /** Resolves when that many lines were said. */
  heard(lines: number): Promise<void>;
  /** Resolves when it has ended and all that it said was heard. */
  readonly ended: Promise<unknown>;
}

function start(t: TestContext, task: string, path: string): Other {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [import.meta.filename, task, path], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const said: string[] = [];
  const lines = createInterface(child.stdout);
  lines.on('line', (line) => said.push(line));
  const heard = async (count: number) => {
    while (said.length < count) await once(lines, 'line');
  };
  return { process: child, said, heard, ended: Promise.all([once(child, 'exit'), once(lines, 'close')]) };
}

function ids(said: readonly string[], verb: string): string[] {
  return said.filter((line) => line.startsWith(`${verb} `)).map((line) => line.slice(verb.length + 1));
}

/** Every job, page by page. */
async function all(backend: SqliteBackend): Promise<JobRecord[]> {
  const found: JobRecord[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page = await backend.list({}, { limit: 5_000, ...(after && { after }) });
    found.push(...page.jobs);
    after = page.next;
  }
  return found;
}

/** Removed when all tests are over, and with them all backends. */
async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-'));
  folders.push(path);
  return path;
}

const folders: string[] = [];

function processes(): void {
  after(() => Promise.all(folders.map((path) => rm(path, { recursive: true }))));

  it('lose nothing acknowledged when one is killed, and get its jobs back at once', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const added: string[] = [];
    const claimed: string[] = [];
    const backend = new SqliteBackend(path);
    t.after(() => backend.close());
    for (let round = 1; round <= 3; round++) {
      const other = start(t, 'add', path);
      await other.heard(200 * round);
      other.process.kill('SIGKILL');
      await other.ended;
      added.push(...ids(other.said, 'added'));
      claimed.push(...ids(other.said, 'claimed'));
    }
    await backend.open();
    const kept = await all(backend);
    const have = new Set(kept.map(({ id }) => id));
    assert.ok(added.length > 0 && claimed.length > 0);
    // The last line of a killed process may be cut off in the middle; then it was not said.
    assert.deepEqual(
      added.filter((id) => !have.has(id) && id.length === kept[0]?.id.length),
      [],
    );
    const running = kept.filter(({ state }) => state === 'running').length;
    assert.ok(running >= claimed.length - 3);
    assert.equal(await backend.rescue(1e9), running, 'the lease is long, but their processes are gone');
    const [count] = await backend.counts();
    assert.deepEqual([count?.running, count?.available], [0, kept.length]);
    assert.deepEqual(await backend.servers(), []);
  });

  it('do not take a living server for a dead one', async (t) => {
    const backend = new SqliteBackend(join(await folder(), 'jobs.db'));
    t.after(() => backend.close());
    await backend.open();
    await backend.beat(me);
    // The same pid on another machine says nothing, nor does a pid that is gone there.
    await backend.beat({ ...me, id: 'elsewhere', host: 'elsewhere.example', pid: 2 ** 22 + 1 });
    assert.equal(await backend.rescue(1e9), 0);
    assert.equal((await backend.servers()).length, 2);
  });

  it('do each job exactly once between them', async (t) => {
    const path = join(await folder(), 'jobs.db');
    const others = [start(t, 'share', path), start(t, 'share', path)];
    await Promise.all(others.map(({ ended }) => ended));
    const taken = others.flatMap(({ said }) => ids(said, 'taken'));
    assert.equal(taken.length, 1000);
    assert.equal(new Set(taken).size, 1000);
    assert.deepEqual(
      others.flatMap(({ said }) => ids(said, 'stale')),
      [],
    );
    for (const { process } of others) assert.equal(process.exitCode, 0);
  });
}
