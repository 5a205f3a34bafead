import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestJob } from './fixtures/support.ts';
import { NO_SEAT } from './job.ts';
import { Places } from './places.ts';
import { FREE, Slots } from './slots.ts';

/** Jobs 0, 1, 2 … in a table of 8 slots at seat 80. */
function setup() {
  const slots = new Slots(8);
  const places = new Places(slots, 80);
  let order = 0;
  const take = (transfer?: readonly ArrayBuffer[]) => {
    const job = new TestJob(order, transfer);
    return { job, slot: places.take(job, order++) };
  };
  return { slots, places, take };
}

describe('Places', () => {
  it('takes jobs back in the order of their start, whatever slots they are in', () => {
    const { places, take } = setup();
    const first = [take(), take(), take()];
    for (const { slot } of first) places.free(slot);
    const jobs = Array.from({ length: 5 }, () => take());
    assert.notDeepEqual(
      jobs.map(({ slot }) => slot),
      jobs.map(({ slot }) => slot).sort(),
      'slots are not in order here',
    );
    assert.deepEqual(
      places.takeBack(2).map(({ order }) => order),
      [3, 4],
    );
    assert.deepEqual(
      places.takeBack().map(({ order }) => order),
      [5, 6, 7],
    );
    assert.ok(jobs.every(({ job }) => job.seat === NO_SEAT));
    assert.equal(places.held, 0);
  });

  it('takes back nothing that has begun, and nothing whose buffers have moved', () => {
    const { slots, places, take } = setup();
    const begun = take();
    slots.begin(begun.slot, performance.now());
    const moved = take([new ArrayBuffer(1)]);
    const free = take();
    assert.deepEqual(
      places.takeBack().map(({ job }) => job),
      [free.job],
    );
    assert.deepEqual([places.held, places.running, begun.job.seat], [2, 1, 80 + begun.slot]);
    assert.deepEqual(
      places.takeAll().map(({ job }) => job),
      [begun.job, moved.job],
    );
  });

  it('uses a slot that was taken back only after the thread has passed it', () => {
    const { slots, places, take } = setup();
    const taken = Array.from({ length: 8 }, () => take());
    assert.equal(places.hasFree, false);
    places.takeBack();
    assert.equal(places.hasFree, false);
    const passed = taken[5]?.slot as number;
    slots.set(passed, FREE); // as the thread does
    assert.equal(places.hasFree, true);
    assert.equal(take().slot, passed);
    assert.equal(places.hasFree, false);
  });

  it('knows the oldest body that runs', () => {
    const { slots, places, take } = setup();
    assert.equal(places.oldestStart, undefined);
    const [a, b] = [take(), take()];
    slots.begin(b.slot, 500);
    slots.begin(a.slot, 700);
    assert.equal(places.oldestStart, 500);
    slots.end(b.slot, 1);
    assert.equal(places.oldestStart, 700);
  });
});
