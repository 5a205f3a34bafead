import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lateLoop } from './lag.ts';

/** A loop that was busy for `share` of the time since the last step. */
function setUp() {
  let now = 0;
  let active = 0;
  let looks = 0;
  const clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const busy = () => {
    looks++;
    return active;
  };
  const pass = (ms: number, share: number) => {
    now += ms;
    active += ms * share;
  };
  return { isLate: lateLoop({ clock, busy }), pass, looks: () => looks };
}

describe('lateLoop', () => {
  it('is late when the loop was busy all the time, and no longer when it is idle again', () => {
    const { isLate, pass } = setUp();
    pass(300, 1);
    assert.equal(isLate(), true);
    pass(300, 0.5);
    assert.equal(isLate(), false);
  });

  it('is not late for working hard', () => {
    const { isLate, pass } = setUp();
    pass(1000, 0.9);
    assert.equal(isLate(), false);
  });

  it('judges by a quarter of a second, however often it is asked', () => {
    const { isLate, pass, looks } = setUp();
    for (let ms = 0; ms < 1000; ms++) {
      pass(1, 1);
      isLate();
    }
    assert.equal(isLate(), true);
    assert.equal(looks(), 1 + 4);
  });

  it('takes one long block of the loop for what it is', () => {
    const { isLate, pass } = setUp();
    pass(200, 0);
    pass(5_000, 1);
    assert.equal(isLate(), true);
  });

  it('measures the loop of this thread when nothing else is given', async () => {
    await new Promise((resolve) => setImmediate(resolve)); // Node measures a loop that has begun to turn
    const isLate = lateLoop();
    const start = performance.now();
    while (performance.now() - start < 260);
    assert.equal(isLate(), true);
  });
});
