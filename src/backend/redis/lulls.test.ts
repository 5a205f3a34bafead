import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { Lulls } from './lulls.ts';

function setup() {
  const clock = new VirtualClock();
  const lulls = new Lulls(clock);
  const call = async (ms: number, outcome: 'answered' | 'givenUp' = 'answered') => {
    const madeAt = lulls.now();
    await clock.advance(ms);
    lulls[outcome](madeAt);
  };
  return { clock, lulls, call };
}

describe('a lull', () => {
  it('is not one while calls are answered soon', async () => {
    const { lulls, call } = setup();
    await call(5);
    assert.equal(lulls.fair(1_000), 1_000);
  });

  it('is added to the lease, for one lease', async () => {
    const { clock, lulls, call } = setup();
    await call(3_000);
    assert.equal(lulls.fair(1_000), 4_000);
    await clock.advance(999);
    assert.equal(lulls.fair(1_000), 4_000);
    await clock.advance(1);
    assert.equal(lulls.fair(1_000), 1_000);
    assert.equal(lulls.fair(10_000), 13_000);
  });

  it('lasts from the first call that was not answered to the next that was', async () => {
    const { clock, lulls, call } = setup();
    await call(300, 'givenUp');
    await clock.advance(500);
    await call(300, 'givenUp');
    await call(100);
    assert.equal(lulls.fair(1_000), 2_200);
  });

  it('is not hidden by a shorter one after it', async () => {
    const { lulls, call } = setup();
    await call(5_000);
    await call(200);
    assert.equal(lulls.fair(1_000), 6_000);
    assert.equal(lulls.fair(150), 350);
  });
});
