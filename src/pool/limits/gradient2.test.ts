import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Gradient2, type Gradient2Options } from './gradient2.ts';

/** A limit told in whole rounds: `round` ends when one attempt that filled it is back after `rtt` ms. */
function setUp(options: Gradient2Options = {}) {
  let now = 0;
  const clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const limit = new Gradient2({ initial: 100, ...options, clock });
  const round = (rtt: number, outcome: 'ok' | 'overload' = 'ok', startedAt = now) => {
    now = startedAt + rtt;
    limit.sample({ outcome, startedAt, inFlight: limit.limit, rtt });
    return limit.limit;
  };
  const rounds = (count: number, rtt: number) => {
    for (let i = 0; i < count; i++) round(rtt);
    return limit.limit;
  };
  return { limit, round, rounds };
}

describe('Gradient2', () => {
  it('grows by a share of its queue per round while latency is what it was', () => {
    assert.equal(setUp().rounds(11, 100), 108);
    assert.equal(setUp({ smoothing: 0.25 }).rounds(10, 100), 110);
    assert.equal(setUp({ smoothing: 1, queue: 10 }).rounds(10, 100), 200);
  });

  it('bears half as much latency again, or what its tolerance says', () => {
    const { limit, rounds } = setUp();
    rounds(50, 100);
    const before = limit.limit;
    assert.ok(rounds(5, 149) >= before);
    const strict = setUp({ tolerance: 1 });
    strict.rounds(50, 100);
    const strictBefore = strict.limit.limit;
    assert.ok(strict.rounds(5, 149) < strictBefore);
  });

  it('shrinks by at most a tenth per round, and not below twice its queue', () => {
    const { limit, round, rounds } = setUp({ window: 100_000 });
    rounds(20, 100);
    let before = limit.limit;
    for (let i = 0; i < 100; i++) {
      const after = round(100_000);
      assert.ok(after >= Math.floor(0.9 * before), `${before} → ${after}`);
      before = after;
    }
    assert.equal(before, 8);
  });

  it('takes a lasting latency for the new normal', () => {
    const { limit, rounds } = setUp();
    rounds(20, 100);
    rounds(20, 300);
    const low = limit.limit;
    assert.ok(low < 90, `${low}`);
    assert.ok(rounds(600, 300) > low + 100);
  });

  it('forgets a high latency within some ten rounds once it is gone', () => {
    const { limit, rounds } = setUp();
    rounds(20, 1000);
    rounds(60, 100);
    const before = limit.limit;
    assert.ok(rounds(3, 400) < before);
  });

  it('steps back once per burst of overload', () => {
    const { round } = setUp();
    assert.equal(round(100, 'overload', 0), 90);
    for (let i = 0; i < 10; i++) assert.equal(round(100, 'overload', i), 90);
    assert.equal(round(100, 'overload', 101), 81);
  });
});
