import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Latency, type LatencySign } from './latency.ts';

/** Feeds `count` samples of `rtt` ms, `every` ms apart; returns each sign that was seen. */
function feed(latency: Latency, from: number, count: number, rtt: number, every: number, bytes = 0): Set<LatencySign> {
  const seen = new Set<LatencySign>();
  for (let i = 1; i <= count; i++) seen.add(latency.observe(rtt, bytes, false, from + i * every));
  return seen;
}

describe('Latency', () => {
  it('is low while answers take as long as the best, or the slack more', () => {
    const latency = new Latency(50);
    assert.deepEqual([...feed(latency, 0, 100, 20, 1)], ['low']);
    assert.deepEqual([...feed(latency, 100, 5_000, 75, 1)], ['low']);
  });

  it('is raised at once, and high only after a second of it', () => {
    const latency = new Latency(0);
    feed(latency, 0, 100, 20, 1);
    assert.deepEqual([...feed(latency, 100, 40, 100, 1)], ['low', 'raised']);
    assert.ok(feed(latency, 140, 3_000, 100, 1).has('high'));
  });

  it('takes a pause that delays a hundred answers for one event', () => {
    const latency = new Latency(0);
    feed(latency, 0, 1_000, 20, 1);
    assert.ok(!feed(latency, 1_200, 100, 200, 0).has('high'));
  });

  it('says high once, then waits a while for the effect', () => {
    const latency = new Latency(0);
    feed(latency, 0, 100, 20, 1);
    let high = 0;
    for (let now = 100; now < 5_100; now++) if (latency.observe(100, 0, false, now) === 'high') high++;
    assert.ok(high >= 2 && high <= 8, `${high} times in five seconds`);
  });

  it('lets no single answer of a minute weigh like many', () => {
    const latency = new Latency(0);
    feed(latency, 0, 100, 20, 1);
    assert.notEqual(latency.observe(60_000, 0, false, 60_000), 'high');
    assert.ok(!feed(latency, 60_000, 20, 20, 1).has('high'));
  });

  it('compares bodies with those of their own size', () => {
    const latency = new Latency(0);
    feed(latency, 0, 100, 20, 1, 1024);
    assert.deepEqual([...feed(latency, 100, 5_000, 400, 1, 8_000_000)], ['low']);
  });

  it('learns a longer path when an attempt is alone, and everything anew after a reset', () => {
    const latency = new Latency(0);
    feed(latency, 0, 100, 20, 1);
    assert.equal(latency.observe(200, 0, true, 101), 'low');
    assert.deepEqual([...feed(latency, 101, 5_000, 200, 1)], ['low']);
    latency.reset();
    assert.deepEqual([...feed(latency, 6_000, 5_000, 900, 1)], ['low']);
  });
});
