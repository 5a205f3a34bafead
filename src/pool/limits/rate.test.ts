import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../errors.ts';
import { type RateLimit, type RateOptions, slidingWindow, tokenBucket } from './rate.ts';

const rates = { tokenBucket, slidingWindow };

/** A rate limit of 4 per second unless said otherwise, and the time it lives in. */
function setUp(make: (options: RateOptions) => RateLimit, options: Partial<RateOptions> & { burst?: number } = {}) {
  const time = { now: 0 };
  const clock = { now: () => time.now, monotonic: () => time.now, timer: () => ({ cancel() {} }) };
  const rate = make({ limit: 4, clock, ...options });
  const takeMany = (count: number) => Array.from({ length: count }, () => rate.take());
  return { time, rate, takeMany };
}

describe('tokenBucket', () => {
  it('gives an interval of tokens at once, then says how long to wait', () => {
    const { time, rate, takeMany } = setUp(tokenBucket);
    assert.deepEqual(takeMany(5), [0, 0, 0, 0, 250]);
    time.now = 249;
    assert.equal(rate.take(), 1);
    time.now = 250;
    assert.equal(rate.take(), 0);
  });

  it('gives one at a time when the rate is below one per interval', () => {
    const { time, takeMany } = setUp(tokenBucket, { limit: 0.5 });
    assert.deepEqual(takeMany(2), [0, 2000]);
    time.now = 2000;
    assert.deepEqual(takeMany(2), [0, 2000]);
  });

  it('gives at once what `burst` says, and saves no more than that', () => {
    const { time, takeMany } = setUp(tokenBucket, { burst: 2 });
    assert.deepEqual(takeMany(3), [0, 0, 250]);
    time.now = 60_000;
    assert.deepEqual(takeMany(3), [0, 0, 250]);
  });

  it('starts a weight above the burst when the bucket is full, and those behind it pay', () => {
    const { time, rate } = setUp(tokenBucket);
    rate.take(1);
    assert.equal(rate.take(10), 250);
    time.now = 250;
    assert.equal(rate.take(10), 0);
    assert.equal(rate.take(), (6 + 1) * 250);
  });
});

describe('slidingWindow', () => {
  it('gives the limit at once, then nothing until the first of them is an interval old', () => {
    const { time, rate, takeMany } = setUp(slidingWindow);
    assert.deepEqual(takeMany(5), [0, 0, 0, 0, 1000]);
    time.now = 999;
    assert.equal(rate.take(), 1);
    time.now = 1000;
    assert.deepEqual(takeMany(5), [0, 0, 0, 0, 1000]);
  });

  it('lets each permit come back when its own interval is over', () => {
    const { time, rate } = setUp(slidingWindow, { limit: 2 });
    for (const now of [0, 400]) {
      time.now = now;
      assert.equal(rate.take(), 0);
    }
    assert.equal(rate.take(), 600);
    time.now = 1000;
    assert.equal(rate.take(), 0);
    assert.equal(rate.take(), 400);
  });

  it('errs to the strict side where it counts two starts as one', () => {
    const { time, rate } = setUp(slidingWindow, { limit: 2 });
    rate.take();
    time.now = 0.5;
    rate.take();
    time.now = 1000;
    assert.equal(rate.take(), 0.5);
    time.now = 1000.5;
    assert.equal(rate.take(), 0);
  });

  it('starts a weight above the limit when the window is empty, and stays shut for the intervals it fills', () => {
    const { time, rate } = setUp(slidingWindow);
    rate.take(1);
    assert.equal(rate.take(9), 1000);
    time.now = 1000;
    assert.equal(rate.take(9), 0);
    assert.equal(rate.take(), 3000);
    time.now = 4000;
    assert.equal(rate.take(), 0);
  });

  it('never has more than the limit in any interval', () => {
    const pause = fc.oneof(...[1, 400].map((max) => fc.double({ min: 0, max, noNaN: true })));
    const schedule = fc.array(fc.record({ pause, weight: fc.nat(4) }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), schedule, (limit, steps) => {
        const { time, rate } = setUp(slidingWindow, { limit });
        const starts: { at: number; weight: number }[] = [];
        for (const { pause, weight } of steps) {
          time.now += pause;
          const asked = Math.min(weight + 1, limit);
          if (rate.take(asked) === 0) starts.push({ at: time.now, weight: asked });
          const window = starts.filter(({ at }) => time.now - at < 1000);
          assert.ok(window.reduce((sum, start) => sum + start.weight, 0) <= limit);
        }
      }),
    );
  });
});

for (const [name, make] of Object.entries(rates)) {
  describe(name, () => {
    it('gives to whoever waits as long as it was told, on the average as much as the limit says', () => {
      const options = { limit: fc.integer({ min: 1, max: 40 }), interval: fc.integer({ min: 1, max: 5000 }) };
      fc.assert(
        fc.property(fc.record(options), fc.integer({ min: 1, max: 90 }), ({ limit, interval }, weight) => {
          const { time, rate } = setUp(make, { limit, interval });
          let refusals = 0;
          for (let given = 0; given < 100; refusals++) {
            const wait = rate.take(weight);
            if (wait === 0) given++;
            assert.ok(wait === 0 || wait >= 0.001, `${wait} ms`);
            time.now += wait;
          }
          const fair = (100 * weight * interval) / limit;
          assert.ok(time.now >= fair - interval * (1 + weight / limit), `${time.now} ms for ${fair} ms of permits`);
          assert.ok(time.now <= 2 * fair, `${time.now} ms for ${fair} ms of permits`);
          assert.ok(refusals <= 300, `${refusals} questions`);
        }),
      );
    });

    it('asks for sense in its options and weights, by name', () => {
      const invalid = (option: string) => (error: unknown) =>
        isError(error, 'OPTION_INVALID') && error.fields.option === option;
      for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.throws(() => make({ limit: bad }), invalid('limit'));
        assert.throws(() => make({ limit: 1, interval: bad }), invalid('interval'));
        assert.throws(() => make({ limit: 1 }).take(bad), invalid('weight'));
      }
      assert.throws(() => tokenBucket({ limit: 4, burst: 0.5 }), invalid('burst'));
      assert.throws(() => slidingWindow({ limit: 1.5 }), invalid('limit'));
    });
  });
}
