import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Arc, type ArcOptions } from './arc.ts';

/** A limit told in whole intervals: each sample ends one. */
function setUp(options: ArcOptions = {}) {
  let now = 0;
  const clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const limit = new Arc({ ...options, clock });
  const tell = (rtt: number, took = rtt + 1000, outcome: 'ok' | 'overload' = 'ok') => {
    const startedAt = now;
    now += took;
    limit.sample({ outcome, startedAt, inFlight: limit.limit, rtt });
    return limit.limit;
  };
  return { limit, tell };
}

describe('Arc', () => {
  it('grows by one per interval while the mean latency is no longer than it was', () => {
    const { tell } = setUp();
    assert.deepEqual([tell(100), tell(100), tell(100), tell(90)], [1, 2, 3, 4]);
  });

  it('lets an interval last as long as the mean latency', () => {
    const { tell } = setUp();
    tell(100);
    for (let ms = 1; ms < 100; ms++) assert.equal(tell(100, 1), 1);
    assert.equal(tell(100, 1), 2);
  });

  it('steps back by a tenth, rounded down, when latency strays far from what it was', () => {
    const { tell } = setUp({ initial: 15 });
    for (let i = 0; i < 4; i++) tell(100);
    assert.equal(tell(200), 16, 'a tenth of 18');
    assert.equal(tell(1000), 14, 'a tenth of 16');
  });

  it('allows a jittery store its jitter', () => {
    const { limit, tell } = setUp({ initial: 20, alpha: 0.1 });
    for (let i = 0; i < 100; i++) tell(i % 2 ? 100 : 200);
    assert.ok(limit.limit > 60, `${limit.limit}`);
  });

  it('never takes a latency equal to the past for too long, be it constant to the microsecond', () => {
    const { limit, tell } = setUp({ initial: 20 });
    for (let i = 0; i < 20; i++) tell(100 + (i % 3) * 1e-7);
    assert.equal(limit.limit, 39);
  });

  it('steps back once per interval, however many were refused', () => {
    const { limit, tell } = setUp({ initial: 100 });
    tell(100);
    for (let i = 0; i < 60; i++) tell(100, 1, 'overload');
    assert.equal(limit.limit, 100);
    tell(100, 40, 'overload');
    assert.equal(limit.limit, 90);
    for (let i = 0; i < 60; i++) tell(100, 1, 'overload');
    assert.equal(limit.limit, 90);
  });

  it('shrinks on overload before it has seen any latency', () => {
    const { limit, tell } = setUp({ initial: 100 });
    for (let i = 0; i < 3; i++) tell(100, 100, 'overload');
    assert.equal(limit.limit, 72);
  });
});
