import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Backend } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { openBackend } from '../backend/open.ts';
import { Client } from '../client/client.ts';
import { VirtualClock } from '../clock.ts';
import { isError, MillraceError } from '../errors.ts';
import { defineJob, type JobDefinition, moduleOf } from '../job/job.ts';
import { altered, Ears, setup, turn, until } from './fixtures/support.ts';
import { JobServer } from './server.ts';

const OTHER = { id: 'other', host: 'elsewhere', pid: 1, queues: ['default'], concurrency: 9 };

/** Another server takes everybody else for dead, and has what they held. */
async function takeOver(backend: Backend, limit = 9) {
  await backend.rescue(0);
  await backend.beat(OTHER);
  return (await backend.claim({ server: OTHER.id, queues: ['default'], limit })).jobs;
}

/** Bodies that run until their signal aborts, and what they made of it. */
function heedful() {
  const started: unknown[] = [];
  const reasons: unknown[] = [];
  const run = (n: number, { signal }: { readonly signal: AbortSignal }) => {
    started.push(n);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason);
        reject(signal.reason);
      });
    });
  };
  return { started, reasons, job: defineJob({ name: 'a', run }) };
}

describe('a server whose jobs were taken over', () => {
  it('tells their bodies to stop at its next beat, and says nothing of how they end', async () => {
    const { job, reasons } = heedful();
    const { clock, backend, server, client, seen, of, end } = await setup([job], { lease: 15_000, workers: 2 });
    await server.start();
    const handles = await client.enqueueMany(job, [1, 2]);
    await seen('started', 2);
    await clock.advance(10_000);
    assert.equal(reasons.length, 0, 'beats alone stop nothing');

    const held = await takeOver(backend);
    assert.equal(held.length, 2);
    await clock.advance(5_200);
    await until(() => server.running === 0);
    assert.deepEqual(
      reasons.map((reason) => isError(reason, 'JOB_TAKEN_OVER') && reason.fields.id),
      handles.map(({ id }) => id),
    );
    assert.deepEqual(
      of('stale').map(({ id }) => id),
      handles.map(({ id }) => id),
    );
    assert.deepEqual(of('failed'), []);
    const outcomes = held.map(({ id, claim }) => ({ id, claim, ending: { kind: 'completed' as const } }));
    assert.deepEqual(await backend.settle(OTHER.id, outcomes), ['taken', 'taken']);
    await end();
  });

  it('goes on with those that it still holds', async () => {
    const { job, reasons } = heedful();
    const { clock, backend, server, client, seen, of, end } = await setup([job], { lease: 15_000, workers: 2 });
    await server.start();
    const first = await client.enqueue(job, 1);
    await seen('started');
    await takeOver(backend, 1);
    await backend.beat({ ...OTHER, id: server.id });
    await client.enqueue(job, 2);
    await seen('started', 2);
    await clock.advance(5_200);
    assert.deepEqual(
      of('stale').map(({ id }) => id),
      [first.id],
    );
    assert.equal(reasons.length, 1);
    assert.equal(server.running, 1);
    const stopped = server.stop();
    await until(() => server.state === 'stopping');
    await clock.advance(60_000);
    await stopped;
    await end();
  });

  it('does not start those that waited for a worker', async () => {
    const { job, started } = heedful();
    const options = { lease: 15_000, workers: 1, prefetch: 4 };
    const { clock, backend, server, client, seen, of, counts, end } = await setup([job], options);
    await server.start();
    await client.enqueueMany(job, [1, 2, 3]);
    await seen('started');
    await until(async () => (await counts()).running === 3);
    await takeOver(backend);
    await clock.advance(5_200);
    await until(() => of('stale').length === 3);
    assert.deepEqual(started, [1]);
    await end();
  });

  it('leaves a body behind that does not heed it', async () => {
    const open = Promise.withResolvers<void>();
    const job = defineJob({ name: 'a', grace: 1_000, run: () => open.promise });
    const { clock, backend, server, client, seen, of, end } = await setup([job], { lease: 15_000, workers: 1 });
    await server.start();
    await client.enqueue(job, null);
    await seen('started');
    await takeOver(backend);
    await clock.advance(5_200);
    assert.equal(server.running, 0);
    await clock.advance(1_000);
    assert.equal(of('abandoned').length, 1);
    assert.equal(server.abandoned, 1);
    open.resolve();
    await until(() => server.abandoned === 0);
    assert.deepEqual([of('completed'), of('stale').length], [[], 1]);
    await end();
  });

  it('stops a batch as a whole when all of its jobs are gone, and ends a thread', async () => {
    const whole: AbortSignal[] = [];
    const batch = {
      size: 2,
      run: (_: readonly unknown[], signal: AbortSignal) => {
        whole.push(signal);
        return new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    };
    const module = moduleOf<typeof import('./fixtures/body.ts')>(new URL('./fixtures/body.ts', import.meta.url));
    const jobs = [defineJob({ name: 'b', batch }), defineJob({ name: 't', thread: module, threads: 1, grace: 1_000 })];
    const { clock, backend, server, client, seen, of, end } = await setup(jobs, { lease: 15_000, workers: 2 });
    await server.start();
    await client.enqueueMany(jobs[0] as JobDefinition, [1, 2]);
    const { id } = await client.enqueue(jobs[1] as JobDefinition, { act: 'spin', n: 0 });
    await seen('started', 3);
    await until(async () => {
      await clock.advance(1);
      return (await backend.get(id))?.log !== undefined; // it spins
    });
    await takeOver(backend);
    await clock.advance(5_200);
    await until(() => of('stale').length === 3);
    assert.ok(isError(whole[0]?.reason, 'JOB_TAKEN_OVER'));
    await clock.advance(2_000);
    await client.enqueue(jobs[1] as JobDefinition, { act: 'answer', n: 1 });
    await seen('completed');
    assert.deepEqual([of('failed'), of('abandoned')], [[], []]);
    await end();
  });

  it('learns of it also when beats from another thread registered it anew before it looked', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-lost-'));
    const url = `sqlite:${join(folder, 'jobs.db')}`;
    const [backend, elsewhere] = [await openBackend(url), await openBackend(url)];
    const { job, reasons } = heedful();
    const ears = new Ears();
    const server = new JobServer({ backend, jobs: [job], lease: 1_000, observe: ears.observe });
    t.after(async () => {
      await server.stop();
      for (const each of [backend, elsewhere]) await each.close();
      await rm(folder, { recursive: true });
    });
    const client = new Client({ backend });
    await server.start();
    await client.enqueue(job, 1);
    await ears.seen('started');
    await takeOver(elsewhere);
    await ears.seen('stale');
    await until(() => reasons.length === 1);
    assert.ok(isError(reasons[0], 'JOB_TAKEN_OVER'));
    await client.close();
  });

  it('learns of it when the backend is back, if that was away', async () => {
    const { job, reasons } = heedful();
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ clock });
    const away = new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'a test' });
    let isAway = false;
    const backend = altered(memory, {
      beat: (info) => (isAway ? Promise.reject(away) : memory.beat(info)),
      report: (server, reports) => (isAway ? Promise.reject(away) : memory.report(server, reports)),
    });
    const { server, client, seen, end } = await setup([job], { backend, clock, lease: 15_000, workers: 1 });
    await server.start();
    await client.enqueue(job, 1);
    await seen('started');
    isAway = true;
    await clock.advance(5_200);
    await takeOver(memory);
    for (let i = 0; i < 20; i++) await clock.advance(1_000);
    assert.equal(reasons.length, 0, 'jobs run on while nobody knows');
    isAway = false;
    await clock.advance(1_000);
    await turn();
    assert.equal(reasons.length, 1);
    await end();
  });
});
