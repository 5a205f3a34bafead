import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { VirtualClock } from '../../clock.ts';
import { isError, MillraceError } from '../../errors.ts';
import { fixture, Gate, TestCrew } from './fixtures/support.ts';

const run = promisify(execFile);

describe('Crew: jobs and their results', () => {
  it('gives each job the result of its own body, in whatever number they come', async (t) => {
    const pool = new TestCrew(t, { threads: 2 });
    const jobs = Array.from({ length: 3_000 }, (_, i) => pool.give({ act: 'add', a: i, b: 1 }));
    const results = await Promise.all(jobs.map((job) => job.done));
    assert.deepEqual(
      results,
      jobs.map((_, i) => i + 1),
    );
  });

  it('runs asynchronous bodies, and CommonJS modules', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t);
    const job = pool.give({ act: 'gate', gate: gate.shared });
    await job.begun;
    gate.open();
    assert.equal(typeof (await job.done), 'number');

    const common = new TestCrew(t, { module: fixture('common.cjs') });
    assert.equal(await common.give(21).done, 42);
  });

  it('carries errors with name, message, stack, cause, code and what else can be cloned', async (t) => {
    const pool = new TestCrew(t);
    type Own = Error & { code: string; details: object; hook?: unknown };
    const own = await pool.give({ act: 'throw', what: 'error' }).error<Own>();
    assert.ok(own instanceof Error);
    assert.equal(own.name, 'OwnError');
    assert.equal(own.message, 'own');
    assert.match(own.stack ?? '', /act\.ts/);
    assert.ok(own.cause instanceof RangeError && own.cause.message === 'cause');
    assert.equal(own.code, 'E_OWN');
    assert.deepEqual(own.details, { list: [1, 2] });
    assert.equal('hook' in own, false, 'what cannot be cloned is left out');

    const ours = await pool.give({ act: 'throw', what: 'millrace' }).error();
    assert.ok(isError(ours, 'PEER_MISSING') && ours.fields.package === 'p');
    const both = await pool.give({ act: 'throw', what: 'aggregate' }).error<AggregateError>();
    assert.ok(both instanceof AggregateError && both.errors[0] instanceof TypeError && both.errors[1] === 2);
    const dom = await pool.give({ act: 'throw', what: 'dom' }).error<DOMException>();
    assert.deepEqual([dom.name, dom.code], ['AbortError', 20]);
    assert.equal(await pool.give({ act: 'throw', what: 'string' }).error<string>(), 'a string');
    assert.match((await pool.give({ act: 'throw', what: 'function' }).error()).message, /thrown: a Function/);
  });

  it('fails only the job whose payload cannot be cloned, and says what to do about a function', async (t) => {
    const pool = new TestCrew(t, { window: 8 });
    const before = pool.give({ act: 'add', a: 1, b: 1 });
    const bad = pool.give({ act: 'echo', value: { nested: () => 1 } });
    const worse = pool.give((() => 1) as never);
    const after = pool.give({ act: 'add', a: 2, b: 2 });
    assert.deepEqual(await Promise.all([before.done, after.done]), [2, 4]);
    for (const job of [bad, worse]) {
      const error = await job.error();
      assert.ok(isError(error, 'TASK_NOT_CLONEABLE') && error.fields.what === 'payload');
      assert.match(error.message, /put (the )?code into the module/);
    }
    assert.equal(await pool.give({ act: 'add', a: 3, b: 3 }).done, 6, 'its place is free again');
  });

  it('fails only the job whose result cannot be cloned', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 8 });
    const first = pool.give({ act: 'gate', gate: gate.shared, block: true });
    const burst = [pool.give(1), pool.give({ act: 'function' }), pool.give(2)];
    await first.begun;
    gate.open();
    const [one, bad, two] = burst;
    assert.deepEqual([await one?.done, await two?.done], [1, 2]);
    const error = await bad?.error();
    assert.ok(isError(error, 'TASK_NOT_CLONEABLE') && error.fields.what === 'result');
  });

  it('hands two jobs with one payload object two objects, and two callers of one result object two', async (t) => {
    const pool = new TestCrew(t, { window: 16 });
    const touched = { act: 'touch', count: 0 } as const;
    const jobs = Array.from({ length: 6 }, () => pool.give(touched));
    assert.deepEqual(await Promise.all(jobs.map((job) => job.done)), [1, 1, 1, 1, 1, 1]);
    const nested = { ...touched, deep: { list: [] } };
    const others = Array.from({ length: 6 }, () => pool.give(nested));
    assert.deepEqual(await Promise.all(others.map((job) => job.done)), [1, 1, 1, 1, 1, 1]);
    const same = Array.from({ length: 6 }, () => pool.give({ act: 'same' }));
    assert.equal(new Set(await Promise.all(same.map((job) => job.done))).size, 6);
  });

  it('moves buffers to the thread and back', async (t) => {
    const pool = new TestCrew(t, { window: 4 });
    const bytes = new Uint8Array([1, 2, 3]);
    const job = pool.give({ act: 'echo', value: bytes }, [bytes.buffer]);
    assert.deepEqual(await job.done, new Uint8Array([1, 2, 3]));
    assert.equal(bytes.byteLength, 0, 'it has moved');
    const back = (await pool.give({ act: 'bytes', size: 5 }).done) as { bytes: Uint8Array };
    assert.deepEqual(back, { bytes: new Uint8Array(5).fill(7) });
  });

  it('never hands a job with buffers to a thread ahead, so that it can always be taken back unharmed', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 4 });
    const first = pool.give({ act: 'gate', gate: gate.shared });
    await first.begun;
    const bytes = new Uint8Array(8);
    const job = pool.give({ act: 'echo', value: bytes }, [bytes.buffer]);
    assert.equal(pool.crew.stats().waiting, 1);
    assert.equal(pool.abort(job, 'never mind'), true);
    assert.equal(bytes.byteLength, 8);
    gate.open();
    await first.done;
  });

  it('delivers what a body sends in order and before its result; what cannot be cloned throws in the body', async (t) => {
    const pool = new TestCrew(t);
    const job = pool.give({ act: 'say', values: [1, { two: 2 }, 'three'] });
    assert.equal(await job.done, 'said');
    assert.deepEqual(job.messages, [1, { two: 2 }, 'three']);
    const error = await pool.give({ act: 'sayFunction' }).error();
    assert.ok(isError(error, 'TASK_NOT_CLONEABLE') && error.fields.what === 'message');
  });

  it('sends a result before a body that may be long, once there has been a long one', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 8 });
    pool.give({ act: 'busy', ms: 3 });
    const short = pool.give(1);
    const long = pool.give({ act: 'gate', gate: gate.shared, block: true });
    assert.equal(await short.done, 1);
    gate.open();
    await long.done;
  });

  it('lets timers of the thread go on while it is kept busy', async (t) => {
    const pool = new TestCrew(t, { module: fixture('ticks.ts'), window: 64 });
    const jobs = Array.from({ length: 40 }, () => pool.give(2));
    const ticks = await Promise.all(jobs.map((job) => job.done as Promise<number>));
    assert.ok((ticks.at(-1) ?? 0) > (ticks[0] ?? 0), `the timer stood still: ${ticks}`);
  });
});

describe('Crew: who gets which job', () => {
  it('starts jobs in their order and knows which have begun, and when', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 3 });
    assert.equal(pool.crew.capacity, 4);
    await pool.crew.warm();
    const before = performance.now();
    const first = pool.give({ act: 'gate', gate: gate.shared });
    const others = [pool.give(1), pool.give(2), pool.give(3)];
    await first.begun;
    const after = performance.now();
    const startedAt = pool.crew.startedAt(first) as number;
    // A hundredth of a ms: two clocks are read one after the other.
    assert.ok(startedAt >= before - 0.01 && startedAt <= after + 0.01, `${before} ${startedAt} ${after}`);
    assert.deepEqual(
      others.map((job) => pool.crew.startedAt(job)),
      [undefined, undefined, undefined],
    );
    assert.equal(pool.crew.started, 1);
    gate.open();
    await Promise.all([first, ...others].map((job) => job.done));
    assert.equal(pool.crew.startedAt(first), undefined);
    assert.equal(pool.crew.started, 0);
  });

  it('takes back a job that has not begun, and it never begins', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 8 });
    const first = pool.give({ act: 'gate', gate: gate.shared });
    const revoked = pool.give({ act: 'say', values: ['ran'] });
    const kept = pool.give({ act: 'say', values: ['ran'] });
    await first.begun;
    assert.equal(pool.abort(revoked, 'changed my mind'), true);
    assert.equal(pool.abort(revoked, 'again'), false, 'it is not held any more');
    gate.open();
    await kept.done;
    assert.deepEqual([revoked.messages, revoked.settled, kept.messages], [[], 0, ['ran']]);
  });

  it('has room again when the thread has passed what was taken back, also if nothing else runs', async (t) => {
    const pool = new TestCrew(t, { window: 0 });
    await pool.crew.warm();
    for (let i = 0; i < 5; i++) pool.abort(pool.give(i), 'no');
    assert.equal(await pool.give(5).done, 5);
  });

  it('bounds what is on its way to a thread that does not get to it', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { window: 4, abortGrace: Number.POSITIVE_INFINITY });
    const first = pool.give({ act: 'gate', gate: gate.shared, block: true });
    await first.begun;
    for (let i = 0; i < 1_000; i++) assert.equal(pool.abort(pool.give(i), 'no'), true);
    // Its table has 16 slots: those taken back stay used until the thread has passed them.
    const waiting = Array.from({ length: 4 }, (_, i) => pool.give(i));
    assert.equal(pool.crew.stats().waiting, 4);
    gate.open();
    assert.deepEqual(await Promise.all(waiting.map((job) => job.done)), [0, 1, 2, 3]);
    assert.equal(await pool.give(5).done, 5);
  });

  it('holds nothing behind a long body: what lies before a busy thread goes to an idle one, in order', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { threads: 2, window: 16 });
    await pool.crew.warm();
    const long = pool.give({ act: 'gate', gate: gate.shared, block: true });
    await long.begun;
    const others = Array.from({ length: 30 }, (_, i) => pool.give(i));
    assert.deepEqual(
      await Promise.all(others.map((job) => job.done)),
      others.map((_, i) => i),
    );
    assert.equal(pool.crew.startedAt(long) !== undefined, true);
    assert.ok(pool.crew.stats().moved > 0);
    gate.open();
    await long.done;
  });

  it('gives half of what lies before a busy thread to one that falls idle, without waiting for a stall', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { threads: 2, window: 16, clock: new VirtualClock() });
    await pool.crew.warm();
    const long = pool.give({ act: 'gate', gate: gate.shared, block: true });
    await long.begun;
    const others = Array.from({ length: 30 }, () => pool.give({ act: 'busy', ms: 1 }));
    await Promise.all(others.map((job) => job.done));
    gate.open();
    await long.done;
  });

  it('hands over many small jobs ahead and no long ones, by what it measures', async (t) => {
    // By a clock that only the bodies move: on a busy machine the smallest body can take milliseconds of the real one.
    const pool = new TestCrew(t, { module: fixture('dial.ts'), clock: new VirtualClock() });
    assert.equal(pool.crew.capacity, 1, 'nothing is known yet');
    await Promise.all(Array.from({ length: 400 }, () => pool.give(0.02).done));
    assert.equal(pool.crew.capacity, 1 + 64, 'small: 2 ms of work');
    // One by one, so that each counts by itself in the mean.
    for (let i = 0; i < 12; i++) await pool.give(40).done;
    assert.equal(pool.crew.capacity, 1, 'long');
    assert.deepEqual([pool.capacities[0], pool.capacities.at(-1)], [1 + 64, 1], 'it said so');
  });

  it('runs `concurrency` bodies at once in a thread, and no more', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { concurrency: 3, window: 2 });
    const jobs = Array.from({ length: 5 }, () => pool.give({ act: 'gate', gate: gate.shared }));
    await Promise.all(jobs.slice(0, 3).map((job) => job.begun));
    assert.deepEqual([pool.crew.started, pool.crew.stats().prefetched], [3, 2]);
    gate.open();
    await Promise.all(jobs.map((job) => job.done));
  });
});

describe('Crew: how many threads', () => {
  it('starts threads when jobs need them, and `min` at once', async (t) => {
    const lazy = new TestCrew(t, { threads: 3 });
    assert.equal(lazy.crew.stats().spawned, 0);
    const gate = new Gate();
    const jobs = Array.from({ length: 2 }, () => lazy.give({ act: 'gate', gate: gate.shared }));
    assert.equal(lazy.crew.stats().spawned, 2);
    gate.open();
    await Promise.all(jobs.map((job) => job.done));
    const eager = new TestCrew(t, { threads: 3, min: 2 });
    assert.equal(eager.crew.stats().starting, 2);
  });

  it('warms up all threads at once, so that each is ready when the promise resolves', async (t) => {
    const { crew } = new TestCrew(t, { threads: 3 });
    const warm = crew.warm();
    assert.equal(crew.stats().starting, 3);
    await warm;
    assert.deepEqual([crew.stats().threads, crew.stats().starting], [3, 0]);
    await crew.warm(1);
    await assert.rejects(async () => crew.warm(4), { code: 'MILLRACE_OPTION_INVALID' });
  });

  it('grows and shrinks with `resize`, and lets bodies end that have begun', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { threads: 1 });
    const jobs = Array.from({ length: 3 }, () => pool.give({ act: 'gate', gate: gate.shared }));
    await jobs[0]?.begun;
    pool.crew.resize(3);
    await Promise.all(jobs.map((job) => job.begun));
    assert.equal(pool.crew.started, 3);
    pool.crew.resize(1);
    assert.deepEqual([pool.crew.capacity, pool.crew.stats().threads, pool.crew.started], [1, 1, 3]);
    const next = pool.give({ act: 'where' });
    gate.open();
    await Promise.all([...jobs, next].map((job) => job.done));
    assert.equal(pool.crew.stats().threads, 1);
  });

  it('replaces a thread after `maxTasks` jobs, and none runs more', async (t) => {
    const pool = new TestCrew(t, { threads: 2, maxTasks: 5, window: 3 });
    const jobs = Array.from({ length: 40 }, () => pool.give({ act: 'where' }));
    const ran = new Map<number, number>();
    for (const { threadId } of (await Promise.all(jobs.map((job) => job.done))) as { threadId: number }[]) {
      ran.set(threadId, (ran.get(threadId) ?? 0) + 1);
    }
    assert.ok(Math.max(...ran.values()) <= 5, `jobs per thread: ${[...ran.values()]}`);
    assert.ok(pool.crew.stats().recycled >= 7);
  });

  it('starts the replacement early, and gives it no job before the body that it waits for has ended', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { maxTasks: 1, window: 1 });
    const first = pool.give({ act: 'gate', gate: gate.shared });
    await first.begun;
    const next = pool.give({ act: 'where' });
    while (pool.crew.stats().benched === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([pool.crew.started, pool.crew.stats().waiting], [1, 1]);
    gate.open();
    await Promise.all([first.done, next.done]);
  });

  it('replaces a thread whose heap has grown above `maxHeap`', async (t) => {
    const pool = new TestCrew(t, { maxHeap: 1 });
    const ids = new Set<unknown>();
    for (let i = 0; i < 3; i++) ids.add(((await pool.give({ act: 'where' }).done) as { threadId: number }).threadId);
    assert.equal(ids.size, 3);
    assert.ok(pool.crew.stats().recycled >= 2);
  });

  it('lets the process end while it is idle', { timeout: 20_000 }, async () => {
    const { stdout } = await run(process.execPath, [fixture('script.ts').pathname]);
    assert.equal(stdout, 'ended 3\n');
  });

  it('passes workerData, argv, env and output streams on', async (t) => {
    const stdout = new PassThrough().setEncoding('utf8');
    const pool = new TestCrew(t, { workerData: { a: 1 }, argv: ['--x'], env: { GIVEN: 'yes' }, stdout });
    const where = (await pool.give({ act: 'where' }).done) as { threadId: number };
    assert.deepEqual(where, { threadId: where.threadId, workerData: { a: 1 }, argv: ['--x'], given: 'yes' });
    const printed = once(stdout, 'data');
    await pool.give({ act: 'print', text: 'from the thread' }).done;
    assert.deepEqual(await printed, ['from the thread\n']);
  });

  it('closes: what it holds fails with STOPPED, what comes later too, and nothing is left', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { threads: 1, window: 2 });
    const started = pool.give({ act: 'gate', gate: gate.shared });
    await started.begun;
    const prefetched = pool.give(1);
    const [first, second] = [pool.crew.close(), pool.crew.close()];
    assert.equal(first, second);
    for (const job of [started, prefetched]) assert.ok(isError(await job.error(), 'STOPPED'));
    await first;
    assert.ok(isError(await pool.give(2).error(), 'STOPPED'));
    await assert.rejects(pool.crew.warm(), (error) => error instanceof MillraceError);
    const { threads, starting, benched, leaving } = pool.crew.stats();
    assert.deepEqual([threads, starting, benched, leaving], [0, 0, 0, 0]);
  });
});
