import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sleep, systemClock, VirtualClock } from './clock.ts';

describe('systemClock', () => {
  it('tells the time and never goes back', () => {
    assert.ok(Math.abs(systemClock.now() - Date.now()) < 1000);
    const first = systemClock.monotonic();
    assert.ok(systemClock.monotonic() >= first);
  });

  it('fires once, and not after it was cancelled', async () => {
    const fired: string[] = [];
    systemClock.timer(0, () => fired.push('cancelled')).cancel();
    await new Promise<void>((resolve) => {
      const timer = systemClock.timer(0, () => {
        fired.push('kept');
        timer.cancel();
        resolve();
      });
    });
    assert.deepEqual(fired, ['kept']);
  });

  it('waits longer than setTimeout can', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let fired = 0;
    const month = 30 * 24 * 3_600_000;
    systemClock.timer(month, () => fired++);
    const cancelled = systemClock.timer(month, () => assert.fail('it was cancelled'));
    t.mock.timers.tick(2 ** 31 - 1);
    t.mock.timers.tick(month - 2 ** 31);
    assert.equal(fired, 0);
    cancelled.cancel();
    t.mock.timers.tick(1);
    assert.equal(fired, 1);
  });

  it('lets the process end when it is unref’d', () => {
    systemClock.timer(3_600_000, () => assert.fail('an hour has not passed'), { unref: true });
    assert.ok(!process.getActiveResourcesInfo().includes('Timeout'));
  });
});

describe('sleep', () => {
  it('resolves when its time has come, and leaves no listener', async () => {
    const clock = new VirtualClock();
    const { signal } = new AbortController();
    const slept = sleep(clock, 1000, signal).then(() => clock.monotonic());
    await clock.advance(999);
    assert.equal(clock.pending, 1);
    await clock.advance(1);
    assert.equal(await slept, 1000);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('rejects with the reason as soon as the signal aborts, and leaves no timer', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const slept = sleep(clock, 1000, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(slept, { message: 'enough' });
    assert.equal(clock.pending, 0);
  });

  it('does not begin when the signal has aborted before', async () => {
    const clock = new VirtualClock();
    await assert.rejects(sleep(clock, 1000, AbortSignal.abort(new Error('never'))), { message: 'never' });
    assert.equal(clock.pending, 0);
  });
});

describe('VirtualClock', () => {
  it('stands still until it is told to move', async () => {
    const clock = new VirtualClock(1000);
    assert.equal(clock.now(), 1000);
    assert.equal(clock.monotonic(), 0);
    await clock.advance(250);
    assert.equal(clock.now(), 1250);
    assert.equal(clock.monotonic(), 250);
  });

  it('fires every timer once, at its own moment, in the order of time and then of making', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(50), { maxLength: 20 }),
        fc.array(fc.nat(30), { minLength: 1, maxLength: 10 }),
        async (delays, steps) => {
          const clock = new VirtualClock(0);
          const fired: { at: number; index: number }[] = [];
          delays.forEach((delay, index) => {
            clock.timer(delay, () => fired.push({ at: clock.now(), index }));
          });
          for (const step of steps) await clock.advance(step);
          const end = steps.reduce((sum, step) => sum + step, 0);
          const due = delays.map((at, index) => ({ at, index })).filter(({ at }) => at <= end);
          assert.deepEqual(
            fired,
            due.sort((a, b) => a.at - b.at || a.index - b.index),
          );
          assert.equal(clock.pending, delays.length - due.length);
          assert.equal(clock.now(), end);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('fires what a timer starts, when it falls into the same advance', async () => {
    const clock = new VirtualClock(0);
    const at: number[] = [];
    const loop = async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(clock, 10);
        at.push(clock.now());
      }
    };
    const done = loop();
    await clock.advance(30);
    await done;
    assert.deepEqual(at, [10, 20, 30]);
  });

  it('tells when the next timer is due', async () => {
    const clock = new VirtualClock(0);
    assert.equal(clock.nextAt, undefined);
    clock.timer(20, () => {});
    const first = clock.timer(10, () => {});
    assert.equal(clock.nextAt, 10);
    first.cancel();
    assert.equal(clock.nextAt, 20);
  });
});
