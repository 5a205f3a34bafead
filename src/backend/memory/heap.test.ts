import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Heap } from './heap.ts';

function drain(heap: Heap<number>): number[] {
  const out: number[] = [];
  while (heap.size > 0) out.push(heap.pop() as number);
  return out;
}

describe('heap', () => {
  it('gives back in order whatever was pushed in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (items) => {
        const heap = new Heap<number>((a, b) => a < b);
        for (const item of items) heap.push(item);
        assert.equal(heap.peek(), items.length > 0 ? Math.min(...items) : undefined);
        assert.deepEqual(
          drain(heap),
          items.toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it('stays in order when filtered', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (items) => {
        const heap = new Heap<number>((a, b) => a < b);
        for (const item of items) heap.push(item);
        heap.filter((item) => item % 2 === 0);
        assert.deepEqual(
          drain(heap),
          items.filter((item) => item % 2 === 0).toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it('gives nothing when empty', () => {
    assert.equal(new Heap<number>((a, b) => a < b).pop(), undefined);
  });
});
