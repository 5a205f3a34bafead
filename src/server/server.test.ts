import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { isError, MillraceError } from '../errors.ts';
import { fixed } from '../job/backoff.ts';
import { discard, snooze } from '../job/control.ts';
import { defineJob } from '../job/job.ts';
import { stressService } from '../testing/stress.ts';
import { altered, setup, turn } from './fixtures/support.ts';
import { JobServer } from './server.ts';

const quick = { backoff: fixed(1_000) };

/** A promise that a test settles by hand. */
function gate<T = void>() {
  return Promise.withResolvers<T>();
}

describe('JobServer', () => {
  it('runs a job, gives it its payload and context, and counts it as completed', async () => {
    const greet = defineJob({
      name: 'greet',
      run: (who: { name: string }, job) => `${who.name} ${job.attempt} ${job.queue}`,
    });
    const { server, client, seen, counted, end } = await setup([greet]);
    await server.start();
    await client.enqueue(greet, { name: 'Ada' });
    const [done] = await seen('completed');
    assert.equal(done?.value, 'Ada 1 default');
    await counted('completed', 1);
    await end();
  });

  it('runs a failed job again after its back-off, and keeps the error', async () => {
    const flaky = defineJob({
      ...quick,
      name: 'flaky',
      run(_: null, job) {
        if (job.attempt === 1) throw new Error('first time');
      },
    });
    const { clock, backend, server, client, seen, counted, end } = await setup([flaky]);
    await server.start();
    const { id } = await client.enqueue(flaky, null);
    await seen('failed');
    await counted('retryable', 1);
    assert.equal((await backend.get(id))?.errors[0]?.message, 'first time');
    await clock.advance(999);
    assert.equal((await backend.get(id))?.state, 'retryable');
    await clock.advance(1);
    await seen('completed');
    await end();
  });

  it('discards a job after its last attempt, with the history of its errors', async () => {
    const bad = defineJob({
      ...quick,
      name: 'bad',
      maxAttempts: 2,
      run: (_: null, job) => Promise.reject(new Error(`no ${job.attempt}`)),
    });
    const { clock, backend, server, client, seen, counted, end } = await setup([bad]);
    await server.start();
    const { id } = await client.enqueue(bad, null);
    await seen('failed');
    await counted('retryable', 1);
    await clock.advance(1_000);
    await counted('discarded', 1);
    const messages = (await backend.get(id))?.errors.map((error) => error.message);
    assert.deepEqual(messages, ['no 1', 'no 2']);
    await end();
  });

  it('records a job of an unknown name and goes on with the next', async () => {
    const known = defineJob({ name: 'known', run: () => 'ok' });
    const unknown = defineJob({ name: 'unknown', run: () => 'never' });
    const { backend, server, client, seen, counted, end } = await setup([known]);
    await server.start();
    const { id } = await client.enqueue(unknown, null);
    await client.enqueue(known, null);
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'JOB_UNKNOWN'));
    await seen('completed');
    await counted('retryable', 1);
    assert.equal((await backend.get(id))?.errors[0]?.code, 'MILLRACE_JOB_UNKNOWN');
    await end();
  });

  it('fails a job whose payload cannot be decoded, and nothing else', async () => {
    const any = defineJob({ ...quick, name: 'any', maxAttempts: 1, run: () => 'ok' });
    const { server, client, counted, end } = await setup([any]);
    const broken = { queue: 'default', name: 'any', payload: Buffer.from('{"a'), priority: 4, maxAttempts: 1 };
    await client.add({ jobs: [broken] });
    await client.enqueue(any, null);
    await server.start();
    await counted('discarded', 1);
    await counted('completed', 1);
    await end();
  });

  it('aborts the signal at the timeout and records JOB_TIMEOUT', async () => {
    const slow = defineJob({
      ...quick,
      name: 'slow',
      timeout: 5_000,
      run: (_: null, job) =>
        new Promise((_resolve, reject) => job.signal.addEventListener('abort', () => reject(new Error('aborted')))),
    });
    const { clock, server, client, seen, end } = await setup([slow]);
    await server.start();
    await client.enqueue(slow, null);
    await seen('started');
    await clock.advance(4_999);
    assert.equal(server.running, 1);
    await clock.advance(1);
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'JOB_TIMEOUT'));
    await end();
  });

  it('runs jobs one by one and in their order with mode order', async () => {
    const log: string[] = [];
    const step = defineJob({
      name: 'step',
      async run(n: number) {
        log.push(`begin ${n}`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`end ${n}`);
      },
    });
    const { server, client, seen, end } = await setup([step], { mode: 'order' });
    await client.enqueueMany(step, [1, 2, 3, 4]);
    await server.start();
    await seen('completed', 4);
    assert.deepEqual(
      log,
      [1, 2, 3, 4].flatMap((n) => [`begin ${n}`, `end ${n}`]),
    );
    await end();
  });

  it('runs as many jobs at once as it has workers, and no more', async () => {
    const opened = gate();
    const wait = defineJob({ name: 'wait', run: () => opened.promise });
    const { backend, server, client, seen, end } = await setup([wait], { workers: 3, prefetch: 2 });
    await client.enqueueMany(wait, Array(10).fill(null));
    await server.start();
    await seen('started', 3);
    await turn();
    assert.equal(server.running, 3);
    const [queue] = await backend.counts();
    assert.equal(queue?.running, 5, 'claims its workers and its prefetch, and leaves the rest to others');
    opened.resolve();
    await seen('completed', 10);
    await end();
  });

  it('snoozes without spending an attempt, and discards at once when the job says so', async () => {
    let runs = 0;
    const later = defineJob({
      name: 'later',
      run(_: null, job) {
        if (++runs === 1) throw snooze(60_000);
        return job.attempt;
      },
    });
    const never = defineJob({ name: 'never', run: () => Promise.reject(discard('no such customer')) });
    const { clock, backend, server, client, seen, counted, end } = await setup([later, never]);
    await server.start();
    await client.enqueue(later, null);
    const { id } = await client.enqueue(never, null);
    await counted('scheduled', 1);
    await counted('discarded', 1);
    assert.equal((await backend.get(id))?.errors[0]?.message, 'no such customer');
    await clock.advance(60_000);
    const [done] = await seen('completed');
    assert.equal(done?.value, 1);
    await end();
  });

  it('runs a batch when it is full or has waited long enough, with a result per item', async () => {
    const sizes: number[] = [];
    const bulk = defineJob({
      ...quick,
      name: 'bulk',
      batch: {
        size: 3,
        wait: 500,
        run: async (items) => {
          sizes.push(items.length);
          return items.map(({ payload }) => (payload === 4 ? { error: new Error('not 4') } : { value: payload }));
        },
      },
    });
    const { clock, server, client, seen, counted, end } = await setup([bulk], { workers: 2 });
    await server.start();
    await client.enqueueMany(bulk, [0, 1, 2, 3, 4]);
    await seen('completed', 3);
    assert.deepEqual(sizes, [3], 'the part-filled batch waits');
    await clock.advance(500);
    await seen('completed', 4);
    const [failed] = await seen('failed');
    assert.equal(failed?.error.message, 'not 4');
    assert.deepEqual(sizes, [3, 2]);
    await counted('retryable', 1);
    await end();
  });

  it('goes on with other jobs while a batch waits to fill', async () => {
    const run = async () => undefined;
    const bulk = defineJob({ name: 'bulk', batch: { size: 10, wait: 60_000, run } });
    const single = defineJob({ name: 'single', run: () => 'at once' });
    const { server, client, seen, end } = await setup([bulk, single], { workers: 1, prefetch: 1 });
    await client.enqueueMany(bulk, [1, 2, 3, 4, 5]);
    await client.enqueue(single, null);
    await server.start();
    const [done] = await seen('completed');
    assert.equal(done?.value, 'at once');
    await end();
  });

  it('runs a part-filled batch at the stop instead of making its jobs wait for another server', async () => {
    const sizes: number[] = [];
    const run = async (items: readonly unknown[]) => void sizes.push(items.length);
    const bulk = defineJob({ name: 'bulk', batch: { size: 10, wait: 60_000, run } });
    const { server, client, seen, end } = await setup([bulk]);
    await server.start();
    await client.enqueueMany(bulk, [1, 2]);
    await seen('claimed', 2);
    await end();
    assert.deepEqual(sizes, [2]);
  });

  it('waits for what runs at a stop, and hands back what waited with its attempts untouched', async () => {
    const opened = gate();
    const wait = defineJob({ name: 'wait', run: () => opened.promise });
    const { list, counts, server, client, seen, end } = await setup([wait], { workers: 1, prefetch: 4 });
    await client.enqueueMany(wait, [1, 2, 3]);
    await server.start();
    await seen('started');
    const stopped = server.stop();
    await turn();
    opened.resolve();
    await stopped;
    const { completed, available } = await counts();
    assert.deepEqual([completed, available], [1, 2]);
    assert.deepEqual(
      (await list()).map((job) => job.attempt),
      [1, 1],
    );
    await end();
  });

  it('aborts what runs at the stop deadline and hands it back', async () => {
    const hang = defineJob({
      name: 'hang',
      run: (_: null, job) =>
        new Promise((_resolve, reject) => {
          job.signal.addEventListener('abort', () => reject(job.signal.reason));
        }),
    });
    const { clock, list, server, client, seen, end } = await setup([hang], { stopDeadline: 10_000 });
    await client.enqueue(hang, null);
    await server.start();
    await seen('started');
    const stopped = server.stop();
    await turn();
    await clock.advance(10_000);
    await stopped;
    await seen('returned');
    const [job] = await list();
    assert.deepEqual([job?.state, job?.attempt, job?.errors.length], ['available', 1, 0]);
    await end();
  });

  it('leaves a body behind that ignores the abort, hands its job back, and drops its late result', async () => {
    const opened = gate();
    const deaf = defineJob({ name: 'deaf', run: () => opened.promise });
    const { clock, list, server, client, seen, of, end } = await setup([deaf], { stopDeadline: 10_000 });
    await client.enqueue(deaf, null);
    await server.start();
    await seen('started');
    const stopped = server.stop();
    await turn();
    await clock.advance(10_000);
    await clock.advance(1_000);
    await stopped;
    opened.resolve();
    await turn();
    assert.equal(of('completed').length, 0);
    assert.equal((await list())[0]?.state, 'available');
    await end();
  });

  it('takes over the jobs of a server whose beats have ended, and refuses that server the outcome', async () => {
    const echo = defineJob({ name: 'echo', run: (n: number, job) => [n, job.crashes, job.attempt] });
    const { clock, backend, server, client, seen, end } = await setup([echo], { lease: 15_000 });
    const dead = { id: 'dead', host: 'elsewhere', pid: 1, queues: ['default'], concurrency: 1 };
    await backend.beat(dead);
    await client.enqueue(echo, 7);
    const { jobs } = await backend.claim({ server: 'dead', queues: ['default'], limit: 1 });
    await server.start();
    await clock.advance(14_000);
    assert.equal(server.running, 0);
    await clock.advance(10_000);
    const [done] = await seen('completed');
    assert.deepEqual(done?.value, [7, 1, 1]);
    const [job] = jobs;
    assert.ok(job);
    const late = await backend.settle('dead', [{ id: job.id, claim: job.claim, ending: { kind: 'completed' } }]);
    assert.deepEqual(late, ['stale']);
    await end();
  });

  it('asks a backend that fails again, and loses no outcome', async () => {
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ clock });
    const away = new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'a test' });
    let failClaims = 2;
    let failSettles = 2;
    const backend = altered(memory, {
      claim: (request) => (failClaims-- > 0 ? Promise.reject(away) : memory.claim(request)),
      settle: (server, outcomes) => (failSettles-- > 0 ? Promise.reject(away) : memory.settle(server, outcomes)),
    });
    const noop = defineJob({ name: 'noop', run: () => 1 });
    const house = await setup([noop], { backend, clock });
    await house.client.enqueue(noop, null);
    await house.server.start();
    for (let i = 0; i < 10; i++) await clock.advance(1_000);
    assert.equal(house.of('backend-error').length, 4);
    await house.counted('completed', 1);
    await house.server.stop();
    assert.equal(clock.pending, 0);
    await house.client.close();
    await backend.close();
  });

  it('asks ever more slowly where the clock of the backend is behind its own', async () => {
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ clock });
    let claims = 0;
    const backend = altered(memory, {
      claim: async () => {
        claims++;
        return { jobs: [], nextAt: clock.now() - 5 };
      },
    });
    const { server, end } = await setup([defineJob({ name: 'a', run: () => 1 })], { backend, clock });
    await server.start();
    await clock.advance(1_000);
    assert.ok(claims > 5 && claims < 15, `${claims} claims in a second`);
    await end();
  });

  it('refuses two jobs of one name and options that cannot be', () => {
    const backend = new MemoryBackend();
    const job = defineJob({ name: 'a', run: () => 1 });
    assert.throws(() => new JobServer({ backend, jobs: [job, job] }), { code: 'MILLRACE_JOB_DUPLICATE' });
    for (const options of [
      { workers: 0 },
      { mode: 'order', workers: 2 },
      { lease: 10 },
      { queues: [] },
      { queues: { a: 0 } },
      { maxAbandoned: -1 },
      { middleware: [1] },
    ]) {
      assert.throws(() => new JobServer({ backend, jobs: [job], ...(options as object) }), {
        code: 'MILLRACE_OPTION_INVALID',
      });
    }
  });

  it('survives any order of starts and stops', async () => {
    const backend = new MemoryBackend();
    await backend.open();
    const job = defineJob({ name: 'a', run: () => 1 });
    await stressService(() => new JobServer({ backend, jobs: [job] }));
    await backend.close();
  });
});
