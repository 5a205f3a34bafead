import assert from 'node:assert/strict';
import { it } from 'node:test';
import { delayAfter, longestDelay } from './reconnect.ts';

it('waits anything from nothing to a bound that doubles up to the longest', () => {
  const bounds = [1, 2, 3, 4, 5, 6, 100].map((failures) => delayAfter(failures, 2_000, () => 0.999_999) + 1);
  assert.deepEqual(bounds, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
  assert.equal(
    delayAfter(5, 2_000, () => 0),
    0,
  );
});

it('tries several times within a timeout', () => {
  assert.equal(longestDelay(10_000), 2_000);
  assert.equal(longestDelay(400), 100);
  assert.equal(longestDelay(1), 1);
});
