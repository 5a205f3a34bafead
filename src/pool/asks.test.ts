/**
 * What the users of other pools ask for most, as tests: fifteen asks, one test each, through the public face only. The
 * table of docs/pool.md cites them.
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it, type TestContext } from 'node:test';
import { gate, turn, untilAborted } from '../../test/support/bodies.ts';
import {
  isError,
  limits,
  Pool,
  type PoolEvents,
  type PoolOptions,
  type SubmitOptions,
  type TaskContext,
  type ThreadOptions,
  VirtualClock,
} from '../index.ts';

type Act = typeof import('./threads/fixtures/act.ts').default;

const code =
  (expected: Parameters<typeof isError>[1]) =>
  (error: unknown): boolean =>
    isError(error, expected);

/** A pool of threads that do as their payloads say. Closed after the test, also when it fails. */
function threadPool(t: TestContext, workers: number, threads: ThreadOptions = {}): Pool<Act> {
  const worker = new URL('./threads/fixtures/act.ts', import.meta.url);
  const pool = new Pool<Act>({ worker, workers, threads });
  t.after(() => pool.close({ deadline: 0 }));
  return pool;
}

/** Options with which the thread's first message resolves `begun`. */
function begun(more: SubmitOptions = {}): { options: SubmitOptions; begun: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { options: { ...more, onMessage: () => resolve() }, begun: promise };
}

/** A pool of one whose worker is busy and whose queue, of one place, is full. */
async function full(whenFull: NonNullable<PoolOptions['queue']>['whenFull'] & string) {
  const pool = new Pool({ workers: 1, queue: { size: 1, whenFull } });
  const busy = gate();
  pool.submit(busy.body);
  await turn();
  const queued = pool.submit(() => 'queued');
  return { pool, busy, queued };
}

describe('The fifteen asks', () => {
  it('1: back-pressure. A bounded queue whose submit waits, refuses, drops, or lets the caller work', async () => {
    const waits = await full('wait');
    const late = waits.pool.submit(() => 'late');
    assert.deepEqual([waits.pool.stats().waiting, waits.pool.stats().blocked], [1, 1]);
    waits.busy.resolve();
    await late.accepted;
    assert.equal(await late.done, 'late');

    const refuses = await full('reject');
    await assert.rejects(refuses.pool.submit(() => 0).accepted, code('POOL_FULL'));
    const dropsNew = await full('drop-newest');
    await assert.rejects(dropsNew.pool.submit(() => 0).done, code('TASK_DROPPED'));
    const dropsOld = await full('drop-oldest');
    const newer = dropsOld.pool.submit(() => 'newer');
    await assert.rejects(dropsOld.queued.done, code('TASK_DROPPED'));
    const callerRuns = await full('caller-runs');
    let ran = false;
    const own = callerRuns.pool.submit(() => {
      ran = true;
    });
    assert.equal(ran, true, 'before submit returned');
    await own.accepted;

    for (const { busy } of [refuses, dropsNew, dropsOld, callerRuns]) busy.resolve();
    assert.equal(await newer.done, 'newer');
    assert.equal(await refuses.queued.done, 'queued');
  });

  it('2: no promise is left for ever. A close settles what runs, what waits and what waits for a place', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 2, queue: { size: 1 }, clock });
    const deaf = gate({ deaf: true });
    const all = [deaf.body, untilAborted, () => 1, () => 2].map((body) => pool.submit<unknown>(body));
    await turn();
    const closing = pool.close({ deadline: 10 });
    await clock.advance(1_010);
    assert.deepEqual(await closing, { finished: 0, aborted: 3, abandoned: 1 });
    for (const { done } of all) await assert.rejects(done, code('STOPPED'));
    const [running, , queued, blocked] = await Promise.allSettled(all.map(({ accepted }) => accepted));
    assert.deepEqual([running?.status, queued?.status, blocked?.status], ['fulfilled', 'fulfilled', 'rejected']);
    deaf.resolve();
    await all[0]?.ended;
  });

  it('3: a crash of a worker. Its task fails with the exit code, those behind it run elsewhere, the pool is whole', async (t) => {
    const pool = threadPool(t, 1, { window: 3 });
    const crash = pool.submit({ act: 'exit', code: 7 });
    const behind = [1, 2, 3].map((n) => pool.submit(n).done);
    await assert.rejects(crash.done, (error) => isError(error, 'THREAD_DIED') && error.fields.exitCode === 7);
    assert.deepEqual(await Promise.all(behind), [1, 2, 3]);
    assert.deepEqual([pool.stats().threads?.died, pool.stats().threads?.threads], [1, 1]);
  });

  it('4: a timeout that counts from the start of the body, and another for the wait', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock });
    const first = gate();
    pool.submit(first.body);
    const slow = pool.submit(untilAborted, { timeout: 50 });
    const impatient = pool.submit(() => assert.fail('must not start'), { queueTimeout: 100 });
    await clock.advance(100);
    await assert.rejects(impatient.done, (error) => isError(error, 'TASK_TIMEOUT') && error.fields.phase === 'queued');
    first.resolve();
    await turn();
    await clock.advance(49);
    assert.equal(pool.stats().running, 1, 'what it waited does not count');
    await clock.advance(1);
    await assert.rejects(slow.done, (error) => isError(error, 'TASK_TIMEOUT') && error.fields.phase === 'running');
  });

  it('5: cancel the rest when one fails, with its error as the reason, and tell when all bodies have really ended', async () => {
    const pool = new Pool({ workers: 2 });
    const group = pool.group<unknown>();
    const failing = gate();
    const cleaningUp = gate({ deaf: true });
    const reasons: unknown[] = [];
    group.submit(failing.body);
    group.submit(async ({ signal }) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason), { once: true });
      await cleaningUp.body({ signal });
      throw signal.reason;
    });
    const queued = group.submit(() => assert.fail('must not start, though a worker gets free'));
    await turn();
    let ended = false;
    const over = group.ended.then(() => {
      ended = true;
    });

    const error = new Error('the first');
    failing.reject(error);
    await assert.rejects(group.all(), error);
    await assert.rejects(queued.done, error);
    assert.deepEqual(reasons, [error]);
    assert.equal(ended, false, 'one cleans up');
    cleaningUp.resolve();
    await over;
    assert.deepEqual(
      (await group.outcomes()).map(({ status }) => status),
      ['rejected', 'cancelled', 'cancelled'],
    );
  });

  it('6: an abort with tasks in the queue is no deadlock. They leave at once, though no worker comes by', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 50 } });
    const deaf = gate({ deaf: true });
    pool.submit(deaf.body);
    await turn();
    const over = new AbortController();
    const all = Array.from({ length: 100 }, () => pool.submit(() => 0, { signal: over.signal }));
    assert.deepEqual([pool.stats().waiting, pool.stats().blocked], [50, 50]);
    over.abort(new Error('enough'));
    assert.deepEqual([pool.stats().waiting, pool.stats().blocked, pool.stats().cancelled], [0, 0, 100]);
    for (const { done } of all) await assert.rejects(done, { message: 'enough' });
    deaf.resolve();
    await pool.drain();
  });

  it('7: a submit that can be cancelled while it waits for a place', async () => {
    const { pool, busy } = await full('wait');
    const over = new AbortController();
    const blocked = pool.submit(() => assert.fail('must not start'), { signal: over.signal });
    over.abort(new Error('no more'));
    await assert.rejects(blocked.accepted, { message: 'no more' });
    assert.equal(pool.stats().blocked, 0);
    busy.resolve();
  });

  it('8: wait for completion, close with a deadline and a report, and close at the end of a scope', async () => {
    const ended: string[] = [];
    {
      await using pool = new Pool({ workers: 2 });
      for (const name of ['a', 'b', 'c']) pool.submit(() => turn().then(() => ended.push(name)));
      await pool.drain();
      assert.deepEqual(ended, ['a', 'b', 'c']);
      pool.submit(() => turn().then(() => ended.push('d')));
    }
    assert.deepEqual(ended, ['a', 'b', 'c', 'd']);

    const pool = new Pool({ workers: 1 });
    const good = pool.submit(() => 'good');
    pool.submit(untilAborted);
    await good.done;
    pool.submit(() => assert.fail('must not start'));
    assert.deepEqual(await pool.close({ deadline: 0 }), { finished: 0, aborted: 2, abandoned: 0 });
  });

  it('9: AsyncLocalStorage. A body runs in the context of its call, one of a run in that of the run', async () => {
    const storage = new AsyncLocalStorage<number>();
    const pool = new Pool({ workers: 1 });
    const body = async () => {
      const before = storage.getStore();
      await turn();
      return [before, storage.getStore()];
    };
    const submitted = Array.from({ length: 20 }, (_, n) => storage.run(n, () => pool.submit(body).done));
    const runs = storage.run(99, () => pool.run([0, 1], body));
    assert.deepEqual(
      await Promise.all(submitted),
      Array.from({ length: 20 }, (_, n) => [n, n]),
    );
    for await (const result of runs) assert.deepEqual(result.status === 'fulfilled' && result.value, [99, 99]);
  });

  it('10: adaptive pace. An overload makes the limit smaller, and Retry-After stops starts', async () => {
    const clock = new VirtualClock();
    const workers = limits.aimd({ initial: 8, clock });
    const busy = new Error('503');
    const pool = new Pool({
      workers,
      clock,
      classify: ({ status }) => (status === 'rejected' ? { retryAfter: 2_000 } : 'ok'),
    });
    await assert.rejects(pool.submit(() => Promise.reject(busy)).done, busy);
    assert.ok(pool.stats().workers < 8, 'the limit stepped back');
    const next = pool.submit(() => clock.monotonic());
    const before = clock.monotonic();
    await clock.advance(1_999);
    assert.equal(pool.stats().waiting, 1);
    await clock.advance(1);
    assert.equal(await next.done, before + 2_000);
  });

  it('11: an abort that need not kill. A body that listens keeps its thread, one that does not loses it', async (t) => {
    const reason = new Error('never mind');
    const abort = async (polls: boolean, abortGrace: number) => {
      const pool = threadPool(t, 1, { abortGrace });
      const over = new AbortController();
      const run = begun({ signal: over.signal });
      const { done } = pool.submit({ act: 'spin', polls }, run.options);
      await run.begun;
      over.abort(reason);
      await assert.rejects(done, reason);
      assert.equal(await pool.submit(5).done, 5, 'the next is served');
      return pool.stats().threads?.terminated;
    };
    assert.equal(await abort(true, Number.POSITIVE_INFINITY), 0);
    assert.equal(await abort(false, 0), 1);
  });

  it('12: cold start. Threads start all at once, for a burst or when told to warm up', async (t) => {
    const warmed = threadPool(t, 3);
    const warm = warmed.warm();
    assert.equal(warmed.stats().threads?.starting, 3);
    await warm;
    assert.deepEqual([warmed.stats().threads?.threads, warmed.stats().threads?.starting], [3, 0]);

    const burst = threadPool(t, 3);
    const all = [1, 2, 3, 4].map((n) => burst.submit(n).done);
    await Promise.resolve();
    assert.equal(burst.stats().threads?.starting, 3);
    assert.deepEqual(await Promise.all(all), [1, 2, 3, 4]);
  });

  // Where one of these steps cost the length of the queue, it would not end in time.
  it('13: a long queue costs no more. 300,000 wait, every third leaves, the rest starts in order', {
    timeout: 30_000,
  }, async () => {
    const count = 300_000;
    const pool = new Pool({ workers: 4, queue: { size: count } });
    pool.pause();
    const leavers: AbortController[] = [];
    const leaving = () => {
      const over = new AbortController();
      leavers.push(over);
      return { signal: over.signal };
    };
    let last = -1;
    let outOfOrder = 0;
    for (let n = 0; n < count; n++) {
      const body = () => {
        if (n < last) outOfOrder++;
        last = n;
      };
      pool.submit(body, n % 3 === 1 ? leaving() : undefined);
    }
    for (const over of leavers.reverse()) over.abort();
    assert.equal(pool.stats().waiting, count - count / 3);
    pool.resume();
    await pool.drain();
    assert.deepEqual([outOfOrder, pool.stats().fulfilled], [0, count - count / 3]);
  });

  it('14: stuck and leaky workers. A body that is too old is reported, and a thread is replaced after so many jobs', async (t) => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, stuckAfter: 1_000, name: 'stuck', clock });
    const reports: PoolEvents['stuck'][] = [];
    const listen = (message: unknown) => reports.push(message as PoolEvents['stuck']);
    subscribe('millrace.pool.stuck', listen);
    pool.submit(() => 'quick');
    const slow = gate();
    pool.submit(slow.body, { key: 'k' });
    await turn();
    await clock.advance(5_000);
    slow.resolve();
    await pool.drain();
    unsubscribe('millrace.pool.stuck', listen);
    assert.deepEqual(reports, [{ pool: 'stuck', id: 1, priority: 4, key: 'k', age: 1_000 }]);

    const threads = threadPool(t, 1, { maxTasks: 2 });
    const where = Array.from(
      { length: 6 },
      () => threads.submit({ act: 'where' }).done as Promise<{ threadId: number }>,
    );
    const ids = (await Promise.all(where)).map(({ threadId }) => threadId);
    // Two jobs each. Whether the third thread is counted already when its last result is read is a matter of moments.
    assert.equal(new Set(ids).size, 3);
    for (const id of ids) assert.equal(ids.filter((other) => other === id).length, 2);
    assert.ok((threads.stats().threads?.recycled ?? 0) >= 2);
  });

  it('15: who runs where. Limits and order per key, weights, and priorities in which nobody starves', async () => {
    const pool = new Pool({ workers: 4, perKey: (key) => (key === 'wide' ? 2 : 1), queue: { ageing: 2 } });
    const began: string[] = [];
    const gates: ReturnType<typeof gate<void>>[] = [];
    const submit = (name: string, options?: SubmitOptions) => {
      const one = gate();
      gates.push(one);
      pool.submit((context: TaskContext) => {
        began.push(name);
        return one.body(context);
      }, options);
    };
    for (const n of [1, 2, 3]) submit(`wide ${n}`, { key: 'wide' });
    for (const n of [1, 2]) submit(`narrow ${n}`, { key: 'narrow' });
    submit('heavy', { weight: 4 });
    await turn();
    assert.deepEqual(
      began.splice(0),
      ['wide 1', 'wide 2', 'narrow 1'],
      'the others wait for their key, or for four workers',
    );
    for (const one of gates) one.resolve();
    await pool.drain();
    assert.deepEqual(began, ['wide 3', 'narrow 2', 'heavy']);

    began.splice(0);
    pool.pause();
    pool.resize(1);
    submit('low', { priority: 1 });
    for (const n of [1, 2, 3, 4]) submit(`high ${n}`, { priority: 0 });
    for (const one of gates) one.resolve();
    pool.resume();
    await pool.drain();
    assert.deepEqual(began, ['high 1', 'high 2', 'low', 'high 3', 'high 4']);
  });
});
