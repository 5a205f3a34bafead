import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { Alarm } from './alarm.ts';

describe('Alarm', () => {
  it('rings once, at the earliest time it was asked for, with one timer', async () => {
    const clock = new VirtualClock();
    const rung: number[] = [];
    const alarm = new Alarm(clock, () => rung.push(clock.monotonic()));
    for (const at of [50, 20, 30, Number.POSITIVE_INFINITY]) alarm.at(at);
    assert.equal(clock.pending, 1);
    await clock.advance(100);
    assert.deepEqual(rung, [20]);
    alarm.at(10);
    await clock.advance(0);
    assert.deepEqual(rung, [20, 100], 'what is past rings at once');
  });

  it('does not ring after `cancel`, and can be asked again', async () => {
    const clock = new VirtualClock();
    let rung = 0;
    const alarm = new Alarm(clock, () => rung++);
    alarm.at(10);
    alarm.cancel();
    await clock.advance(20);
    assert.equal(rung, 0);
    alarm.at(30);
    await clock.advance(20);
    assert.equal(rung, 1);
  });
});
