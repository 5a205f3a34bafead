import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { collect, gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { Pool } from './pool.ts';

const timedOut = (phase: 'queued' | 'running', timeout: number) => (error: unknown) =>
  isError(error, 'TASK_TIMEOUT') && error.fields.phase === phase && error.fields.timeout === timeout;

/** What was submitted starts before time passes. */
async function pass(clock: VirtualClock, ms: number) {
  await turn();
  await clock.advance(ms);
}

const never = () => assert.fail('must not start');

describe('queueTimeout', () => {
  it('ends a submission that no worker has taken in time, and gives its place to the next caller', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 1 }, clock });
    const running = gate();
    pool.submit(running.body);
    const queued = pool.submit(never, { queueTimeout: 50 });
    const blocked = pool.submit(() => 'its place');
    await pass(clock, 49);
    assert.equal(pool.stats().blocked, 1);
    await pass(clock, 1);
    await assert.rejects(queued.done, timedOut('queued', 50));
    await blocked.accepted;
    running.resolve();
    assert.equal(await blocked.done, 'its place');
    await pool.drain();
    const { timedOut: late, rejected } = pool.stats();
    assert.deepEqual({ late, rejected, pending: clock.pending }, { late: 1, rejected: 1, pending: 0 });
  });

  it('covers the wait for a place too', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 0 }, clock, queueTimeout: 20 });
    const running = gate();
    pool.submit(running.body);
    const blocked = pool.submit(never);
    const { accepted } = blocked;
    await pass(clock, 20);
    await assert.rejects(accepted, timedOut('queued', 20));
    await assert.rejects(blocked.accepted, timedOut('queued', 20));
    await assert.rejects(blocked.done, timedOut('queued', 20));
    await blocked.ended;
    assert.equal(pool.stats().blocked, 0);
    running.resolve();
    await pool.drain();
  });

  it('ends with the start of the body, also of one that waited for its key', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 2, clock });
    const [first, second] = [gate(), gate()];
    pool.submit(first.body, { key: 'k' });
    const parked = pool.submit(never, { key: 'k', queueTimeout: 10 });
    const started = pool.submit(second.body, { key: 'k', queueTimeout: 20 });
    await pass(clock, 10);
    await assert.rejects(parked.done, timedOut('queued', 10));
    first.resolve();
    await turn();
    assert.equal(second.started, true);
    await pass(clock, 100);
    second.resolve();
    await started.done;
    assert.equal(clock.pending, 0);
  });

  it('counts from the call, not from the place', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 1 }, clock });
    const [first, second] = [gate(), gate()];
    pool.submit(first.body);
    pool.submit(second.body);
    const late = pool.submit(never, { queueTimeout: 100 });
    await pass(clock, 60);
    first.resolve();
    await turn();
    await late.accepted;
    await pass(clock, 39);
    assert.equal(pool.stats().waiting, 1);
    await pass(clock, 1);
    await assert.rejects(late.done, timedOut('queued', 100));
    second.resolve();
    await pool.drain();
  });
});

describe('timeout', () => {
  it('counts from the start of the body, not from the call', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, timeout: 100 });
    const first = gate<string>();
    const second = pool.submit(first.body, { timeout: 1_000 });
    const late = pool.submit(untilAborted);
    await pass(clock, 500);
    first.resolve('in time');
    assert.equal(await second.done, 'in time');
    await pass(clock, 99);
    assert.equal(pool.stats().running, 1);
    await pass(clock, 1);
    await assert.rejects(late.done, timedOut('running', 100));
    await late.ended;
    assert.deepEqual([pool.stats().running, clock.pending], [0, 0]);
  });

  it('aborts the body with the timeout as the reason', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock });
    let reason: unknown;
    const { done } = pool.submit((context) => untilAborted(context).catch((why) => (reason = why)), { timeout: 5 });
    await pass(clock, 5);
    const error = await done.catch((thrown) => thrown);
    assert.ok(timedOut('running', 5)(error));
    assert.equal(reason, error);
  });

  it('with hold keeps the worker until the body has really ended', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock });
    const deaf = gate({ deaf: true });
    const over = new AbortController();
    const first = pool.submit(deaf.body, { timeout: 10, signal: over.signal });
    const next = gate();
    pool.submit(next.body);
    await pass(clock, 10);
    await assert.rejects(first.done, timedOut('running', 10));
    assert.equal(next.started, false, 'two bodies in a pool of one');
    const { running, detached } = pool.stats();
    assert.deepEqual({ running, detached }, { running: 1, detached: 0 });
    let ended = false;
    void first.ended.then(() => {
      ended = true;
    });
    await turn();
    assert.equal(ended, false);
    deaf.resolve();
    await first.ended;
    await turn();
    assert.equal(next.started, true);
    next.resolve();
    await pool.drain();
    const { submitted, fulfilled, rejected, timedOut: late } = pool.stats();
    assert.deepEqual({ submitted, fulfilled, rejected, late }, { submitted: 2, fulfilled: 1, rejected: 1, late: 1 });
    assert.equal(getEventListeners(over.signal, 'abort').length, 0);
  });

  it('with release gives the worker back at once and counts the body as detached until it ends', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, onTimeout: 'release' });
    const deaf = gate({ deaf: true });
    const first = pool.submit(deaf.body, { timeout: 10 });
    const next = pool.submit(() => 'next');
    await pass(clock, 10);
    await assert.rejects(first.done, timedOut('running', 10));
    assert.equal(await next.done, 'next');
    const { running, detached } = pool.stats();
    assert.deepEqual({ running, detached }, { running: 0, detached: 1 });
    await pool.drain(); // does not wait for what was given up
    deaf.resolve();
    await first.ended;
    assert.equal(pool.stats().detached, 0);
  });

  it('with release keeps the key until the body has really ended, and then starts the next of it', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 2, clock, onTimeout: 'release', timeout: 10 });
    const deaf = gate({ deaf: true });
    pool.submit(deaf.body, { key: 'k' });
    const next = pool.submit(() => 'next', { key: 'k' });
    await pass(clock, 10);
    assert.deepEqual([pool.stats().waiting, pool.stats().detached], [1, 1], 'two bodies of a key at once');
    deaf.resolve();
    assert.equal(await next.done, 'next');
  });

  it('with release leaves a body that runs in its caller out of the count of what runs', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({
      workers: 1,
      queue: { size: 0, whenFull: 'caller-runs' },
      clock,
      onTimeout: 'release',
    });
    const [running, deaf] = [gate(), gate({ deaf: true })];
    pool.submit(running.body);
    const inCaller = pool.submit(deaf.body, { timeout: 10 });
    const { accepted } = inCaller;
    await pass(clock, 10);
    await assert.rejects(inCaller.done, timedOut('running', 10));
    await accepted;
    assert.equal(pool.stats().detached, 1);
    deaf.resolve();
    await inCaller.ended;
    let drained = false;
    void pool.drain().then(() => {
      drained = true;
    });
    await turn();
    assert.equal(drained, false, 'the other one still runs');
    running.resolve();
    await pool.drain();
  });

  it('with hold keeps a caller that runs the body itself waiting until it has really ended', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 0, whenFull: 'caller-runs' }, clock });
    const [running, deaf] = [gate(), gate({ deaf: true })];
    pool.submit(running.body);
    const inCaller = pool.submit(deaf.body, { timeout: 10 });
    let accepted = false;
    void inCaller.accepted.then(() => {
      accepted = true;
    });
    await pass(clock, 10);
    await assert.rejects(inCaller.done, timedOut('running', 10));
    assert.equal(accepted, false);
    deaf.resolve();
    await inCaller.accepted;
    running.resolve();
    await pool.drain();
  });

  it('gives one timed out result in a run, with the times of the job', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, timeout: 30 });
    const reading = collect(pool.run([0, 1], (n, context) => (n === 0 ? untilAborted(context) : n), { ordered: true }));
    await pass(clock, 30);
    const { all, error } = await reading;
    assert.equal(error, undefined);
    const [first, second] = all;
    assert.ok(first?.status === 'rejected' && timedOut('running', 30)(first.error));
    assert.deepEqual(
      [first.waited, first.took, second?.status, second?.waited, second?.took],
      [0, 30, 'fulfilled', 30, 0],
    );
  });

  it('refuses delays that are none', () => {
    const pool = new Pool({ workers: 1 });
    for (const ms of [0, -1, Number.NaN, '5']) {
      for (const option of ['timeout', 'queueTimeout']) {
        const invalid = (error: unknown) => isError(error, 'OPTION_INVALID') && error.fields.option === option;
        assert.throws(() => pool.submit(() => 0, { [option]: ms }), invalid);
        assert.throws(() => new Pool({ workers: 1, [option]: ms as number }), invalid);
      }
    }
  });
});

describe('close, with bodies that outlived their timeout', () => {
  it('leaves no timer and no listener, also of a body that was given up', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, onTimeout: 'release', timeout: 10, stuckAfter: 60_000 });
    const over = new AbortController();
    const deaf = gate({ deaf: true });
    const { ended } = pool.submit(deaf.body, { signal: over.signal });
    await pass(clock, 10);
    assert.deepEqual(await pool.close(), { finished: 0, aborted: 0, abandoned: 0 });
    assert.equal(clock.pending, 0);
    assert.equal(getEventListeners(over.signal, 'abort').length, 0);
    deaf.resolve();
    await ended;
  });

  it('waits for a held body until the deadline, and does not count its outcome twice', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, timeout: 10 });
    const deaf = gate({ deaf: true });
    pool.submit(deaf.body);
    await pass(clock, 10);
    const closing = pool.close({ deadline: 100 });
    await pass(clock, 100);
    await pass(clock, 1_000);
    assert.deepEqual(await closing, { finished: 0, aborted: 0, abandoned: 0 });
    const { rejected, cancelled, running } = pool.stats();
    assert.deepEqual({ rejected, cancelled, running }, { rejected: 1, cancelled: 0, running: 1 });
    deaf.resolve();
    await pool.drain();
    assert.equal(clock.pending, 0);
  });
});
