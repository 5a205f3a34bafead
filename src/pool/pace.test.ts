import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../clock.ts';
import { slidingWindow, tokenBucket } from './limits/rate.ts';
import { Pace } from './pace.ts';

function make(rate?: (clock: VirtualClock) => ReturnType<typeof tokenBucket>) {
  const clock = new VirtualClock();
  const woken: number[] = [];
  const pace = new Pace(clock, rate?.(clock), () => woken.push(clock.monotonic()));
  return { clock, pace, woken };
}

describe('Pace', () => {
  it('says yes as often as the rate allows, and wakes when it is worth asking again', async () => {
    const { clock, pace, woken } = make((clock) => tokenBucket({ limit: 10, burst: 2, clock }));
    assert.deepEqual([pace.admits(1), pace.admits(1), pace.admits(1)], [true, true, false]);
    assert.equal(clock.pending, 1);
    await clock.advance(99);
    assert.deepEqual(woken, []);
    await clock.advance(1);
    assert.deepEqual(woken, [100]);
    assert.deepEqual([pace.admits(1), pace.admits(1)], [true, false]);
    pace.stop();
    assert.equal(clock.pending, 0);
  });

  it('has one timer at most, however often it is asked', async () => {
    const { clock, pace, woken } = make((clock) => slidingWindow({ limit: 1, clock }));
    assert.equal(pace.admits(1), true);
    for (let n = 0; n < 10; n++) assert.equal(pace.admits(1), false);
    assert.equal(clock.pending, 1);
    await clock.advance(1_000);
    assert.equal(woken.length, 1);
  });

  it('says no during a pause, takes no permit then, and a shorter pause ends no longer one', async () => {
    let taken = 0;
    const { clock, pace, woken } = make(() => ({
      take: () => {
        taken++;
        return 0;
      },
    }));
    pace.pause(500);
    pace.pause(100);
    assert.equal(pace.admits(1), false);
    await clock.advance(100);
    assert.deepEqual([pace.admits(1), taken], [false, 0]);
    await clock.advance(400);
    assert.deepEqual([woken, pace.admits(1), taken], [[500], true, 1]);
    assert.equal(clock.pending, 0);
  });

  it('asks for nothing with a pause that is no time', () => {
    for (const ms of [Number.NaN, -1, 0]) {
      const { pace } = make();
      pace.pause(ms);
      assert.equal(pace.admits(1), true);
    }
    const { pace, clock } = make();
    pace.pause(Number.NaN);
    pace.pause(10);
    assert.equal(pace.admits(1), false, 'and does not undo a later one');
    pace.stop();
    assert.equal(clock.pending, 0);
  });

  it('owns no timer while nobody was told no', () => {
    const { pace, clock } = make((clock) => tokenBucket({ limit: 1, clock }));
    pace.pause(0);
    assert.equal(pace.admits(1), true);
    assert.equal(clock.pending, 0);
    pace.stop();
  });
});
