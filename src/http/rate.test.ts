import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { TokenBucket } from './rate.ts';

describe('TokenBucket', () => {
  it('gives a second of tokens at once, then says how long to wait', async () => {
    const clock = new VirtualClock();
    const bucket = new TokenBucket(4, clock);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => bucket.take()),
      [0, 0, 0, 0],
    );
    assert.equal(bucket.take(), 0.25);
    await clock.advance(250);
    assert.equal(bucket.take(), 0);
  });

  it('gives one at a time when the rate is below one per second', async () => {
    const clock = new VirtualClock();
    const bucket = new TokenBucket(0.5, clock);
    assert.equal(bucket.take(), 0);
    assert.equal(bucket.take(), 2);
    await clock.advance(2000);
    assert.equal(bucket.take(), 0);
  });

  it('never gives more than the rate and one second of burst, whenever it is asked', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.nat(500), { maxLength: 50 }),
        async (rate, pauses) => {
          const clock = new VirtualClock();
          const bucket = new TokenBucket(rate, clock);
          let given = 0;
          for (const pause of pauses) {
            await clock.advance(pause);
            for (let i = 0; i < 5; i++) if (bucket.take() === 0) given++;
            assert.ok(given <= rate + (clock.monotonic() / 1000) * rate + 1e-6);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});
