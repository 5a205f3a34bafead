import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Aimd, type AimdOptions } from './aimd.ts';
import { fixedLimit } from './limit.ts';
import { type Report, type Store, simulate } from './simulation.ts';

/** A store that serves `knee` at once in `latency` ms each (± 30 %) and refuses what is more, in `refusal` ms. */
function knee(knee: number | ((time: number) => number), latency: number, refusal = 2): Store {
  return ({ inFlight, random, time }) =>
    inFlight > (typeof knee === 'number' ? knee : knee(time))
      ? { outcome: 'overload', rtt: refusal }
      : { outcome: 'ok', rtt: latency * (0.7 + 0.6 * random()) };
}

/** A store that never refuses: beyond `knee` it takes longer, and does no more per second. */
function queueing(knee: number, latency: number): Store {
  return ({ inFlight, random }) => ({
    outcome: 'ok',
    rtt: latency * Math.max(1, inFlight / knee) * (0.9 + 0.2 * random()),
  });
}

function run(store: Store, options: Partial<Parameters<typeof simulate>[0]> = {}, aimd: AimdOptions = {}): Report {
  return simulate({
    store,
    callers: 256,
    from: 10,
    until: 40,
    limit: (clock) => new Aimd({ ...aimd, clock }),
    ...options,
  });
}

describe('Aimd', () => {
  for (const [at, latency, refusal] of [
    [4, 20, 2],
    [16, 20, 2],
    [16, 20, 20],
    [24, 50, 50],
    [32, 20, 2],
    [64, 20, 2],
    [64, 20, 20],
    [64, 200, 20],
    [200, 20, 2],
  ] as const) {
    it(`gets 90 % of what the store can do with under 1 % refused: knee ${at}, ${latency} ms, refusal ${refusal} ms`, () => {
      const report = run(knee(at, latency, refusal));
      const best = run(knee(at, latency, refusal), { limit: () => fixedLimit(at) });
      assert.ok(report.ok >= 0.9 * best.ok, `${report.ok} of ${best.ok}`);
      assert.ok(report.overload < 0.01 * report.ok, `${report.overload} refused, ${report.ok} stored`);
    });
  }

  it('is near the knee within seconds, also where a round trip is long, at the price of few refusals', () => {
    const report = run(knee(64, 200, 20), { from: 0, until: 5 });
    const best = run(knee(64, 200, 20), { from: 0, until: 5, limit: () => fixedLimit(64) });
    assert.ok(report.ok >= 0.6 * best.ok, `${report.ok} of ${best.ok}`);
    assert.ok(report.overload <= 32, `${report.overload} refused`);
  });

  it('notices within seconds that the store became slower, and that it became faster again', () => {
    const store = knee((time) => (time >= 20 && time < 40 ? 8 : 64), 20);
    const slow = run(store, { from: 30, until: 40 });
    const fast = run(store, { from: 60, until: 70 });
    assert.ok(slow.overload < 0.01 * slow.ok, `${slow.overload} refused, ${slow.ok} stored`);
    assert.ok(slow.ok > 0.85 * ((8 / 20) * 1000 * 10), `${slow.ok} stored while slow`);
    assert.ok(fast.ok > 0.85 * ((64 / 20) * 1000 * 10), `${fast.ok} stored when fast again`);
  });

  it('reads latency where the store queues instead of refusing', () => {
    const report = run(queueing(16, 100), { until: 100 });
    const best = run(queueing(16, 100), { until: 100, limit: () => fixedLimit(16) });
    assert.ok(report.ok >= 0.95 * best.ok, `${report.ok} of ${best.ok}`);
    assert.ok(report.inFlight.mean < 64, `${report.inFlight.mean} in flight at the mean`);
  });

  it('takes the whole of a store that is never full, up to the maximum', () => {
    assert.equal(run(knee(1e6, 20)).inFlight.max, 256);
    assert.equal(run(knee(1e6, 20), {}, { max: 40 }).inFlight.max, 40);
  });

  it('steps back once per episode: refusals of attempts begun before the step are its echo', () => {
    const limit = new Aimd({ initial: 100, clock: { ...stopped(), monotonic: () => 50 } });
    for (let i = 0; i < 30; i++) limit.sample({ outcome: 'overload', startedAt: i, inFlight: 100 });
    assert.equal(limit.limit, 70);
  });
});

function stopped() {
  return { now: () => 0, monotonic: () => 0, timer: () => ({ cancel() {} }) };
}
