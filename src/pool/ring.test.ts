import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { Ring } from './ring.ts';

describe('Ring', () => {
  it('behaves like an array, through growth and wrapping round', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant('push' as const) },
      { weight: 4, arbitrary: fc.constant('shift' as const) },
      { weight: 2, arbitrary: fc.nat(60) },
      { weight: 1, arbitrary: fc.constant('takeAll' as const) },
    );
    const property = fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const ring = new Ring<number>();
      let model: number[] = [];
      let n = 0;
      for (const what of steps) {
        if (what === 'push') {
          ring.push(n);
          model.push(n++);
        } else if (what === 'shift') assert.equal(ring.shift(), model.shift());
        else if (what === 'takeAll') {
          assert.deepEqual(ring.takeAll(), model);
          model = [];
        } else {
          const at = model.indexOf(n - what);
          assert.equal(ring.delete(n - what), at >= 0);
          if (at >= 0) model.splice(at, 1);
        }
        assert.equal(ring.size, model.length);
      }
      assert.deepEqual(ring.takeAll(), model);
    });
    fc.assert(property, { numRuns: 200 });
  });

  it('does not keep alive what was taken', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const ring = new Ring<object>();
    const taken = (() => {
      const values = [{}, {}, {}];
      for (const value of values) ring.push(value);
      ring.shift();
      ring.delete(values[2] as object);
      ring.takeAll();
      return values.map((value) => new WeakRef(value));
    })();
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    assert.deepEqual(
      taken.map((ref) => ref.deref()),
      [undefined, undefined, undefined],
    );
    assert.equal(ring.size, 0);
  });
});
