import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import { fixture, Gate, TestCrew } from './fixtures/support.ts';

describe('Crew: aborting', () => {
  it('lets a loop stop by itself, and the thread lives on', async (t) => {
    const pool = new TestCrew(t, { abortGrace: 10_000 });
    const { threadId } = (await pool.give({ act: 'where' }).done) as { threadId: number };
    const job = pool.give({ act: 'spin', polls: true });
    await job.begun;
    assert.equal(pool.abort(job, new Error('enough')), false);
    assert.equal(pool.abort(job, new Error('again')), false);
    assert.equal((await job.error()).message, 'stopped by itself');
    assert.equal(((await pool.give({ act: 'where' }).done) as { threadId: number }).threadId, threadId);
    assert.equal(pool.crew.stats().terminated, 0);
  });

  it('aborts the signal of an asynchronous body; the reason that it throws is the very reason that was given', async (t) => {
    const pool = new TestCrew(t, { abortGrace: 10_000 });
    const job = pool.give({ act: 'wait' });
    await job.begun;
    const reason = Object.assign(new Error('enough'), { hook: () => 'not cloneable' });
    pool.abort(job, reason);
    assert.equal(await job.error(), reason);
  });

  it('ends the thread of a body that does not stop; the job fails with the reason, those behind it run elsewhere', async (t) => {
    const pool = new TestCrew(t, { window: 8 });
    const job = pool.give({ act: 'spin' });
    const others = [1, 2, 3].map((n) => pool.give(n));
    await job.begun;
    const reason = new Error('enough');
    assert.equal(pool.abort(job, reason), false);
    assert.equal(await job.error(), reason);
    assert.deepEqual(await Promise.all(others.map((other) => other.done)), [1, 2, 3]);
    assert.equal(pool.crew.stats().terminated, 1);
  });

  it('fails the other bodies of a thread that was ended with THREAD_DIED', async (t) => {
    const gate = new Gate();
    const pool = new TestCrew(t, { concurrency: 2 });
    const bystander = pool.give({ act: 'gate', gate: gate.shared });
    await bystander.begun;
    const job = pool.give({ act: 'spin' });
    await job.begun;
    pool.abort(job, 'enough');
    assert.equal(await job.error<string>(), 'enough');
    const error = await bystander.error();
    assert.ok(isError(error, 'THREAD_DIED'));
  });

  it('gives the body its grace, measured by the clock', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, abortGrace: 50 });
    const job = pool.give({ act: 'spin' });
    await job.begun;
    pool.abort(job, 'enough');
    await clock.advance(49);
    assert.deepEqual([job.settled, pool.crew.started], [0, 1]);
    await clock.advance(1);
    assert.equal(await job.error<string>(), 'enough');
    await pool.crew.close();
    assert.equal(clock.pending, 0, 'no timer is left');
  });

  it('leaves it to the body when the grace is Infinity', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, abortGrace: Number.POSITIVE_INFINITY });
    const job = pool.give({ act: 'wait' });
    await job.begun;
    pool.abort(job, 'enough');
    assert.equal(clock.pending, 0);
    assert.equal(await job.error<string>(), 'enough');
  });

  it('measures the grace for each body: a slot that has another job by now is left alone', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, abortGrace: 50 });
    const heeds = pool.give({ act: 'wait' });
    await heeds.begun;
    pool.abort(heeds, 'first');
    await heeds.error();
    const ignores = pool.give({ act: 'spin' });
    await ignores.begun;
    await clock.advance(40);
    pool.abort(ignores, 'second');
    await clock.advance(49);
    assert.deepEqual([ignores.settled, pool.crew.stats().terminated], [0, 0]);
    await clock.advance(1);
    assert.equal(await ignores.error<string>(), 'second');
  });

  it('has a thread ready in place of the one to be ended, which takes no job before that has gone', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, abortGrace: 50, window: 1 });
    const job = pool.give({ act: 'spin' });
    await job.begun;
    pool.abort(job, 'enough');
    while (pool.crew.stats().benched === 0) await new Promise((resolve) => setImmediate(resolve));
    const next = pool.give({ act: 'where' });
    const spawned = pool.crew.stats().spawned;
    assert.deepEqual([pool.crew.started, pool.crew.startedAt(next), spawned], [1, undefined, 2]);
    await clock.advance(50);
    await next.done;
    assert.equal(await job.error<string>(), 'enough');
  });

  it('does not wait for ever for a thread that does not end', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'crew-'));
    const path = join(dir, 'pipe');
    execFileSync('mkfifo', [path]);
    t.after(() => rmSync(dir, { recursive: true }));
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, abortGrace: 10, terminateTimeout: 100 });
    const job = pool.give({ act: 'readFile', path });
    const writer = await open(path, 'w'); // opens when the thread has, which then reads until it is closed
    pool.abort(job, 'enough');
    const warned = once(process, 'warning');
    await clock.advance(10);
    await clock.advance(99);
    assert.equal(job.settled, 0);
    await clock.advance(1);
    assert.equal(await job.error<string>(), 'enough');
    assert.match((await warned)[0].message, /did not end within 100 ms/);
    assert.equal(pool.crew.stats().stuck, 1);
    assert.equal(await pool.give(1).done, 1, 'its place is served again');
    await writer.close();
  });
});

describe('Crew: threads that die', () => {
  it('fails what had begun, delivers what had ended, and runs the rest elsewhere, in order', async (t) => {
    const pool = new TestCrew(t, { window: 16 });
    const before = [1, 2, 3].map((n) => pool.give(n));
    const exits = pool.give({ act: 'exit', code: 7 });
    const after = [4, 5, 6].map((n) => pool.give(n));
    await Promise.all([...before, ...after].map((job) => job.done));
    const error = await exits.error();
    assert.ok(isError(error, 'THREAD_DIED') && error.fields.exitCode === 7);
    assert.deepEqual([pool.crew.stats().died, pool.crew.stats().threads], [1, 1]);
  });

  it('tells what an uncaught error in a timer was', async (t) => {
    const pool = new TestCrew(t);
    const error = await pool.give({ act: 'timerThrows' }).error();
    assert.ok(isError(error, 'THREAD_DIED'));
    assert.equal(error.fields.reason, 'from a timer');
    assert.ok(error.cause instanceof TypeError);
    assert.equal(await pool.give(1).done, 1);
  });

  it('replaces a thread that dies while it has nothing to do', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { clock, min: 1 });
    const id = await pool.give({ act: 'timerThrows', later: true }).done;
    while (pool.crew.stats().died === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(pool.crew.stats().starting, 0, 'not at once: it may be a loop');
    await clock.advance(100);
    const { threadId } = (await pool.give({ act: 'where' }).done) as { threadId: number };
    assert.notEqual(threadId, id);
  });

  it('survives a body that uses up its memory', async (t) => {
    const pool = new TestCrew(t, { resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 } });
    const error = await pool.give({ act: 'leak' }).error();
    assert.ok(isError(error, 'THREAD_DIED'));
    assert.equal((error.cause as { code?: string }).code, 'ERR_WORKER_OUT_OF_MEMORY');
    assert.equal(await pool.give(1).done, 1);
  });

  it('fails a job whose payload kills the threads that read it, and no other', async (t) => {
    const gate = new Gate();
    const limits = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 };
    const pool = new TestCrew(t, { window: 8, resourceLimits: limits });
    await pool.crew.warm();
    const value = Array.from({ length: 300_000 }, (_, i) => ({ i, text: `number ${i}` }));
    const good = [pool.give(1), pool.give(2)];
    const bad = pool.give({ act: 'echo', value });
    const behind = [pool.give(3), pool.give(4)];
    const error = await bad.error();
    assert.ok(isError(error, 'THREAD_DIED'));
    assert.deepEqual(await Promise.all([...good, ...behind].map((job) => job.done)), [1, 2, 3, 4]);
    assert.equal(pool.crew.stats().died, 2);
    gate.open();
  });
});

describe('Crew: threads that do not start', () => {
  for (const [module, reason] of [
    ['missing.ts', /Cannot find module/],
    ['throws.ts', /thrown by the module/],
    ['no-function.ts', /default export should be a function, got "not a function"/],
  ] as const) {
    it(`gives up after three attempts in a row: ${module}`, async (t) => {
      const clock = new VirtualClock();
      const pool = new TestCrew(t, { threads: 2, window: 1, module: fixture(module), clock });
      const jobs = [1, 2, 3].map((n) => pool.give(n));
      const warm = pool.crew.warm();
      warm.catch(() => undefined);
      while (jobs[0]?.settled === 0) {
        const { starting, leaving } = pool.crew.stats();
        if (starting + leaving === 0 && clock.nextAt !== undefined) await clock.advance(clock.nextAt - clock.now());
        await new Promise((resolve) => setImmediate(resolve));
      }
      for (const job of jobs) {
        const error = await job.error();
        assert.ok(isError(error, 'THREAD_START_FAILED'));
        assert.equal(error.fields.attempts, 3);
        assert.match(error.fields.reason, reason);
        assert.ok(error.cause instanceof Error);
      }
      await assert.rejects(warm, { code: 'MILLRACE_THREAD_START_FAILED' });
      assert.ok(isError(await pool.give(4).error(), 'THREAD_START_FAILED'));
      assert.equal(pool.crew.stats().spawned, 4, 'two at first, then one at a time');
    });
  }

  it('tries again after a while, and a thread that starts ends the matter', async (t) => {
    const workerData = new Int32Array(new SharedArrayBuffer(8));
    workerData[1] = 2;
    const pool = new TestCrew(t, { module: fixture('late.ts'), workerData });
    assert.equal(await pool.give(1).done, 1);
    assert.deepEqual([workerData[0], pool.crew.stats().failed], [3, 2]);
  });

  it('tells a wrong option of node like any other failed start', async (t) => {
    const pool = new TestCrew(t, { execArgv: ['--no-such-option'] });
    const error = await pool.give(1).error();
    assert.ok(isError(error, 'THREAD_START_FAILED'));
    assert.match(error.fields.reason, /--no-such-option/);
  });
});

describe('Crew: idle threads', () => {
  it('are ended after `idleTimeout`, but for `min`, with one timer', async (t) => {
    const clock = new VirtualClock();
    const pool = new TestCrew(t, { threads: 3, min: 1, idleTimeout: 1_000, clock });
    await pool.crew.warm();
    assert.equal(clock.pending, 1);
    await clock.advance(999);
    assert.equal(pool.crew.stats().threads, 3);
    await clock.advance(1);
    assert.deepEqual([pool.crew.stats().threads, pool.crew.stats().purged], [1, 2]);
    assert.equal(await pool.give(1).done, 1);
  });
});
