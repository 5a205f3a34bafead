import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TestJob } from './fixtures/support.ts';
import { IN_LINE, NO_SEAT } from './job.ts';
import type { Placed } from './places.ts';
import { Unassigned } from './unassigned.ts';

describe('Unassigned', () => {
  it('keeps jobs in the order of their start, also those that are put back or taken out', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('push' as const) },
      { weight: 3, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.constant('back' as const) },
      { weight: 1, arbitrary: fc.nat(20) },
    );
    const property = fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const line = new Unassigned();
      let model: Placed[] = [];
      let gone: Placed[] = [];
      let order = 0;
      for (const what of steps) {
        if (what === 'push') {
          const placed = { job: new TestJob(order), order: order++ };
          line.push(placed.job, placed.order);
          model.push(placed);
        } else if (what === 'shift') {
          const placed = line.shift();
          assert.deepEqual(placed, model[0]);
          const first = model.shift();
          if (first) gone.push(first);
          if (first) assert.equal(first.job.seat, NO_SEAT);
        } else if (what === 'back') {
          line.putBack(gone);
          model = [...model, ...gone].sort((a, b) => a.order - b.order);
          gone = [];
        } else {
          const [taken] = model.splice(what, 1);
          if (taken) line.delete(taken.job);
          if (taken) assert.equal(taken.job.seat, NO_SEAT);
        }
        assert.equal(line.size, model.length);
        assert.equal(line.first?.order, model[0]?.order);
        assert.ok(model.every(({ job }) => job.seat === IN_LINE));
      }
      assert.deepEqual(
        line.takeAll(),
        model.map(({ job }) => job),
      );
    });
    fc.assert(property, { numRuns: 200 });
  });
});
