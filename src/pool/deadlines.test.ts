import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { type Deadline, Deadlines } from './deadlines.ts';

describe('Deadlines', () => {
  it('fires each entry once, at its own moment, with one timer for all', async () => {
    const clock = new VirtualClock();
    const deadlines = new Deadlines(clock);
    const fired: string[] = [];
    for (const ms of [30, 10, 20, 10]) deadlines.add(ms, () => fired.push(`${ms} at ${clock.monotonic()}`));
    assert.equal(clock.pending, 1);
    await clock.advance(100);
    assert.deepEqual(fired, ['10 at 10', '10 at 10', '20 at 20', '30 at 30']);
    assert.deepEqual([deadlines.size, clock.pending], [0, 0]);
  });

  it('leaves no timer when the last one has left, and does not fire what has', async () => {
    const clock = new VirtualClock();
    const deadlines = new Deadlines(clock);
    const first = deadlines.add(5, () => assert.fail('has left'));
    const second = deadlines.add(6, () => assert.fail('has left'));
    deadlines.delete(first);
    deadlines.delete(first);
    assert.equal(clock.pending, 1);
    deadlines.delete(second);
    assert.equal(clock.pending, 0);
    await clock.advance(10);
  });

  it('lets an entry add others and delete others while it fires', async () => {
    const clock = new VirtualClock();
    const deadlines = new Deadlines(clock);
    const fired: string[] = [];
    deadlines.add(5, () => {
      fired.push('first');
      deadlines.delete(second);
      deadlines.add(5, () => fired.push(`added at ${clock.monotonic()}`));
    });
    const second = deadlines.add(7, () => assert.fail('has left'));
    await clock.advance(20);
    assert.deepEqual(fired, ['first', 'added at 10']);
    assert.equal(clock.pending, 0);
  });

  it('does not fire early where a timer does', () => {
    let now = 0;
    let due: (() => void) | undefined;
    let delay = 0;
    const clock = {
      now: () => now,
      monotonic: () => now,
      timer(ms: number, fire: () => void) {
        due = fire;
        delay = ms;
        return { cancel() {} };
      },
    };
    const deadlines = new Deadlines(clock);
    let fired = 0;
    deadlines.add(10.5, () => fired++);
    assert.equal(delay, 11);
    now = 10.4;
    due?.();
    assert.deepEqual([fired, delay], [0, 1], 'armed again');
    now = 11.4;
    due?.();
    assert.equal(fired, 1);
  });

  it('does what a sorted list does, whatever is added, deleted and waited for', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 0, max: 40 }).map((add) => ({ add })) },
      { weight: 3, arbitrary: fc.nat(20).map((leave) => ({ leave })) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 15 }).map((advance) => ({ advance })) },
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
      const clock = new VirtualClock();
      const deadlines = new Deadlines(clock);
      const pending: Deadline[] = [];
      const add = (ms: number) => {
        const deadline = deadlines.add(ms, () => {
          assert.equal(clock.monotonic(), deadline.at, 'at its moment');
          assert.equal(deadline.at, Math.min(...pending.map(({ at }) => at)), 'none was due before');
          assert.equal(deadline.place, -1);
          pending.splice(pending.indexOf(deadline), 1);
        });
        pending.push(deadline);
      };
      for (const call of steps) {
        if ('add' in call) add(call.add);
        else if ('leave' in call) {
          const [deadline] = pending.splice(call.leave, 1);
          if (deadline) deadlines.delete(deadline);
        } else await clock.advance(call.advance);
        assert.equal(deadlines.size, pending.length);
        assert.equal(clock.pending, pending.length > 0 ? 1 : 0, 'one timer, or none');
        if (pending.length > 0)
          assert.ok((clock.nextAt ?? 0) - clock.now() + clock.monotonic() <= Math.min(...pending.map(({ at }) => at)));
      }
      await clock.advance(100);
      assert.deepEqual([pending.length, deadlines.size, clock.pending], [0, 0, 0]);
    });
    await fc.assert(property, { numRuns: 60 });
  });
});
