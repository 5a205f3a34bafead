import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../errors.ts';
import { fixed } from '../job/backoff.ts';
import { defineJob, moduleOf, type PayloadOf, type ResultOf } from '../job/job.ts';
import { setup, until } from './fixtures/support.ts';

const module = moduleOf<typeof import('./fixtures/body.ts')>(new URL('./fixtures/body.ts', import.meta.url));
/** So long, in virtual ms, that what a real thread takes to say something does not matter. */
const LONG = 10_000_000;
/** Nothing else moves while LONG passes. */
const quiet = { pollInterval: 1_000 * LONG, lease: 1_000 * LONG, stallTimeout: 1_000 * LONG };
const rules = { name: 'acts', thread: module, threads: 1, backoff: fixed(60_000) };

describe('a job whose body is a module', () => {
  it('runs in a thread with the decoded payload and a context, and answers', async () => {
    const job = defineJob({ ...rules, tags: ['t'] });
    const { server, client, seen, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, { act: 'answer', n: 21 }, { headers: { h: 'v' }, key: 'k' });
    const [done] = await seen('completed');
    assert.deepEqual(done?.value, {
      twice: 42,
      id,
      name: 'acts',
      queue: 'default',
      attempt: 1,
      maxAttempts: 25,
      crashes: 0,
      key: 'k',
      tags: ['t'],
      headers: { h: 'v' },
      aborted: false,
    });
    await end();
  });

  it('is typed by the module (checked by the compiler)', () => {
    const job = defineJob(rules);
    const payload: PayloadOf<typeof job> = { act: 'answer', n: 1 };
    // @ts-expect-error the payload has a number
    const wrong: PayloadOf<typeof job> = { act: 'answer', n: '1' };
    const result: ResultOf<typeof job> = payload;
    assert.deepEqual([result, wrong.act], [payload, 'answer']);
  });

  it('reports progress and lines from the thread, before it ends', async () => {
    const job = defineJob({ ...rules, keepFor: 60_000 });
    const { backend, server, client, counted, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, { act: 'report', n: 5 });
    await counted('completed', 1);
    const record = await backend.get(id);
    assert.deepEqual([record?.progress, record?.log?.[0]?.text], ['{"done":5}', 'line 5']);
    await end();
  });

  it('fails, snoozes and discards as any other', async () => {
    const job = defineJob(rules);
    const { clock, server, client, seen, counted, end } = await setup([job]);
    await server.start();
    await client.enqueue(job, { act: 'throw', n: 7 });
    const [failed] = await seen('failed');
    assert.deepEqual([failed?.error.name, failed?.error.message], ['RangeError', 'no 7']);
    await client.enqueue(job, { act: 'discard', n: 0 });
    await counted('discarded', 1);
    await client.enqueue(job, { act: 'snooze', n: 1_000 });
    const [snoozed] = await seen('snoozed');
    assert.equal(snoozed?.runAt, clock.now() + 1_000);
    await end();
  });

  it('fails its own attempt when it kills its thread, and the next gets a new one', async () => {
    const job = defineJob(rules);
    const { server, client, seen, end } = await setup([job]);
    await server.start();
    await client.enqueue(job, { act: 'exit', n: 0 });
    await client.enqueue(job, { act: 'answer', n: 1 });
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'THREAD_DIED'));
    await seen('completed');
    await end();
  });

  it('hears of a cancellation by its signal', async () => {
    const job = defineJob(rules);
    const { clock, backend, server, client, counted, cancel, end } = await setup([job]);
    await server.start();
    const { id } = await client.enqueue(job, { act: 'wait', n: 0 });
    await waits(clock, backend, id);
    await cancel(id);
    await counted('cancelled', 1);
    await end();
  });

  it('may use its grace to end in order', async () => {
    const job = defineJob({ ...rules, timeout: LONG, grace: LONG });
    const { clock, backend, server, client, seen, of, end } = await setup([job], quiet);
    await server.start();
    const { id } = await client.enqueue(job, { act: 'polite', n: 0 });
    await waits(clock, backend, id);
    await clock.advance(LONG);
    await waits(clock, backend, id, 2);
    await clock.advance(LONG / 2);
    const channel = new BroadcastChannel('millrace-test-go');
    channel.postMessage('go');
    const [done] = await Promise.race([seen('completed'), seen('failed').then(() => of('completed'))]);
    channel.close();
    assert.equal(done?.value, 'in order');
    await end();
  });

  it('is ended with its thread when its grace is over, at a timeout that runs from its begin', async () => {
    const job = defineJob({ ...rules, timeout: LONG, grace: LONG, maxAttempts: 1 });
    const { clock, backend, server, client, seen, of, end } = await setup([job], quiet);
    await server.start();
    const { id } = await client.enqueue(job, { act: 'spin', n: 0 });
    await waits(clock, backend, id);
    await clock.advance(1.5 * LONG);
    assert.equal(of('failed').length, 0);
    await clock.advance(LONG);
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'JOB_TIMEOUT'));
    assert.equal(server.abandoned, 0);
    await client.enqueue(job, { act: 'answer', n: 1 });
    await seen('completed');
    await end();
  });

  it('does not count the wait for a thread as its time', async () => {
    const job = defineJob({ ...rules, timeout: LONG, maxAttempts: 1 });
    const { clock, backend, server, client, seen, of, cancel, end } = await setup([job], { ...quiet, workers: 2 });
    await server.start();
    const { id } = await client.enqueue(job, { act: 'wait', n: 0 });
    const second = await client.enqueue(job, { act: 'wait', n: 0 });
    await waits(clock, backend, id);
    await clock.advance(0.7 * LONG);
    await cancel(id);
    await seen('cancelled');
    await waits(clock, backend, second.id);
    await clock.advance(0.5 * LONG);
    assert.equal(of('failed').length, 0);
    await clock.advance(0.5 * LONG);
    const [failed] = await seen('failed');
    assert.ok(isError(failed?.error, 'JOB_TIMEOUT'));
    await end();
  });

  it('is handed back, and its thread ended, when it does not heed the stop', async () => {
    const job = defineJob({ ...rules, grace: 60_000 });
    const { clock, backend, server, client, of, end } = await setup([job], { stopDeadline: 1_000 });
    await server.start();
    const { id } = await client.enqueue(job, { act: 'spin', n: 0 });
    await waits(clock, backend, id);
    let stopped = false;
    const stopping = server.stop().then(() => {
      stopped = true;
    });
    await until(async () => {
      await clock.advance(500);
      return stopped;
    });
    await stopping;
    assert.equal(of('returned').length, 1);
    assert.equal((await backend.get(id))?.state, 'available');
    await end();
  });

  it('fails when its module cannot be a body', async () => {
    const thread = new URL('./fixtures/support.ts', import.meta.url);
    const job = defineJob({ name: 'none', thread, threads: 1, maxAttempts: 1 });
    const { clock, server, client, of, end } = await setup([job]);
    await server.start();
    await client.enqueue(job, null);
    await until(async () => {
      await clock.advance(1_000);
      return of('failed').length > 0;
    });
    assert.ok(isError(of('failed')[0]?.error, 'THREAD_START_FAILED'));
    await end();
  });
});

/** Resolves when the body has written so many lines into its log. Moves the clock on, so that reports leave. */
async function waits(
  clock: { advance(ms: number): Promise<void> },
  backend: { get(id: string): Promise<{ log?: readonly unknown[] } | undefined> },
  id: string,
  lines = 1,
): Promise<void> {
  await until(async () => {
    await clock.advance(1);
    return ((await backend.get(id))?.log?.length ?? 0) >= lines;
  });
}
