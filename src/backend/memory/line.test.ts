import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Line } from './line.ts';

interface Item {
  readonly at: number;
  readonly number: number;
  spot: number;
}

const isBefore = (a: Item, b: Item) => a.at < b.at || (a.at === b.at && a.number < b.number);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('push' as const), at: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('push' as const), at: fc.constant(99) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pop' as const), at: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), at: fc.nat() }) },
);

describe('line', () => {
  it('is in order whatever comes and goes, at its head or from its middle', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const line = new Line<Item>(isBefore);
        let expected: Item[] = [];
        for (const [number, { do: what, at }] of steps.entries()) {
          if (what === 'push') {
            const item = { at, number, spot: 0 };
            line.push(item);
            expected = [...expected, item].sort((a, b) => a.at - b.at || a.number - b.number);
          } else if (what === 'pop') {
            assert.equal(line.pop(), expected.shift());
          } else if (expected.length > 0) {
            const [item] = expected.splice(at % expected.length, 1);
            line.remove(item as Item);
          }
          assert.equal(line.size, expected.length);
          assert.equal(line.peek(), expected[0]);
        }
        assert.deepEqual(new Set(line), new Set(expected));
      }),
    );
  });

  it('keeps its order through thousands that are taken out of its middle', () => {
    const line = new Line<Item>(isBefore);
    const items = Array.from({ length: 5000 }, (_, number): Item => ({ at: 0, number, spot: 0 }));
    for (const item of items) line.push(item);
    for (const item of items) if (item.number % 7 !== 3) line.remove(item);
    for (const item of items.filter(({ number }) => number % 7 === 3)) assert.equal(line.pop(), item);
    assert.equal(line.pop(), undefined);
    line.push(items[0] as Item);
    assert.equal(line.pop(), items[0]);
  });
});
