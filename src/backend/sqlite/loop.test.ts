import assert from 'node:assert/strict';
import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { Ids } from '../ids.ts';
import { openDatabase } from './database.ts';
import { Loop } from './loop.ts';
import { packAdd } from './pack.ts';
import type { FromThread, Request } from './wire.ts';

const job = { queue: 'q', name: 'work', payload: Buffer.from('{}'), priority: 4, maxAttempts: 1 };
const add = () => packAdd([{ jobs: [job] }], new Ids('store'), 1);
const server = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 1 };
const beat = { kind: 'beat', now: 1, server } as const;
const claim = { kind: 'claim', now: 1, server: 'a', queues: ['q'], limit: 1 } as const;
const settle = () => ({
  kind: 'settle' as const,
  now: 1,
  server: 'a',
  numbers: new Float64Array([1]),
  claims: new Int32Array([1]),
  kinds: new Uint8Array(1),
  details: [],
});

async function setup(t: TestContext, { synchronous = 'full' as 'full' | 'normal', refuses = false } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const options = { path: join(folder, 'jobs.db'), synchronous, busyTimeout: 0, maxBytes: Infinity, shared: false };
  const { port1: near, port2: far } = new MessageChannel();
  let steps: string[] = [];
  const refusal = () => {
    throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  };
  const real = fs.fdatasyncSync;
  t.mock.method(fs, 'fdatasyncSync', (file: number) => {
    steps.push('sync');
    if (refuses) refusal();
    real(file);
  });
  const names = new Map<number, string>();
  let left = 0;
  let onAnswered = () => {};
  t.mock.method(far, 'postMessage', (message: FromThread) => {
    if (message.kind !== 'answers') return;
    for (const answer of message.answers) {
      const what = names.get(answer.call);
      steps.push('error' in answer ? `${what} ${answer.error.code}` : `${what} answered`);
      left--;
    }
    if (left === 0) onAnswered();
  });
  syncBuiltinESMExports();
  const loop = new Loop(far, openDatabase(options), options);
  t.after(async () => {
    near.postMessage({ kind: 'close' });
    await new Promise((resolve) => near.once('close', resolve));
    t.mock.restoreAll();
    syncBuiltinESMExports();
    await rm(folder, { recursive: true });
  });
  assert.ok(loop);
  let number = 0;
  return {
    /** What happened when these calls arrived together. */
    async steps(...requests: readonly Request[]): Promise<readonly string[]> {
      steps = [];
      left = requests.length;
      const answered = new Promise<void>((resolve) => {
        onAnswered = resolve;
      });
      for (const request of requests) {
        names.set(number, request.kind);
        near.postMessage({ ...request, call: number++ });
      }
      await answered;
      return steps;
    },
  };
}

describe('what waits for the disk', () => {
  it('is that a job is stored, and that it has ended; one sync serves all that came together', async (t) => {
    const { steps } = await setup(t);
    assert.deepEqual(await steps(add(), add()), ['sync', 'add answered', 'add answered']);
    assert.deepEqual(await steps(beat), ['beat answered']);
    assert.deepEqual(await steps(claim), ['claim answered']);
    assert.deepEqual(await steps(settle(), beat), ['sync', 'settle answered', 'beat answered']);
  });

  it('is not a claim: it is answered before those that came with it', async (t) => {
    const { steps } = await setup(t);
    await steps(beat);
    assert.deepEqual(await steps(add(), claim), ['claim answered', 'sync', 'add answered']);
  });

  it('is told as an error when the disk refuses', async (t) => {
    const { steps } = await setup(t, { refuses: true });
    await steps(beat);
    assert.deepEqual(await steps(add(), claim), ['claim answered', 'sync', 'add BACKEND_UNAVAILABLE']);
  });

  it('is nothing in a file whose owner said so', async (t) => {
    const { steps } = await setup(t, { synchronous: 'normal' });
    assert.deepEqual(await steps(beat, add()), ['beat answered', 'add answered']);
  });
});
