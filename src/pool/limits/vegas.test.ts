import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Vegas, type VegasOptions } from './vegas.ts';

/** A limit told in whole rounds: `round` ends when one attempt that filled it is back after `rtt` ms. */
function setUp(options: VegasOptions) {
  let now = 0;
  const clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const limit = new Vegas({ random: () => 1, ...options, clock });
  const round = (rtt: number, outcome: 'ok' | 'overload' = 'ok') => {
    const startedAt = now;
    now += rtt;
    limit.sample({ outcome, startedAt, inFlight: limit.limit, rtt });
    return limit.limit;
  };
  return { limit, round };
}

describe('Vegas', () => {
  it('grows fast without a queue, slowly with a short one, holds, and shrinks when it is long', () => {
    const { round } = setUp({ initial: 20 });
    assert.equal(round(100), 20, 'learns the latency without load');
    assert.equal(round(100), 26, 'no queue');
    assert.equal(round(107), 27, 'a queue of 2 of 26');
    assert.equal(round(120), 27, 'a queue of 5 of 27');
    assert.equal(round(140), 26, 'a queue of 8 of 27');
  });

  it('counts in larger steps the larger it is', () => {
    const { round } = setUp({ initial: 200 });
    round(100);
    assert.equal(round(100), 212);
    assert.equal(round(104), 212, 'a queue of 9 of 212');
    assert.equal(round(110), 210, 'a queue of 20 of 212');
  });

  it('takes each overload for one attempt too many', () => {
    const { round } = setUp({ initial: 20 });
    for (let i = 0; i < 5; i++) round(100, 'overload');
    assert.equal(round(100, 'overload'), 14);
  });

  it('learns the latency without load anew after so many answers', () => {
    const { round, limit } = setUp({ initial: 5, max: 5, probe: 3 });
    for (let i = 0; i < 14; i++) round(100);
    assert.equal(round(400), 5, 'the fifteenth, 3 times the limit, becomes the measure');
    for (let i = 0; i < 5; i++) round(400);
    assert.equal(limit.limit, 5);
  });

  it('goes a part of the way when it is smoothed', () => {
    const { round } = setUp({ initial: 20, smoothing: 0.5 });
    round(100);
    assert.equal(round(100), 23);
  });
});
