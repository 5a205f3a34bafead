import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Heap } from './heap.ts';

const item = (value: number) => ({ value, spot: 0 });
type Item = ReturnType<typeof item>;

function drain(heap: Heap<Item>): number[] {
  const out: number[] = [];
  while (heap.size > 0) out.push((heap.pop() as Item).value);
  return out;
}

const ascending = (a: number, b: number) => a - b;

describe('heap', () => {
  it('gives back in order whatever was pushed in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (values) => {
        const heap = new Heap<Item>((a, b) => a.value < b.value);
        for (const value of values) heap.push(item(value));
        assert.equal(heap.peek()?.value, values.length > 0 ? Math.min(...values) : undefined);
        assert.deepEqual(drain(heap), values.toSorted(ascending));
      }),
    );
  });

  it('stays in order when any of its items are taken out', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer(), fc.boolean())), (values) => {
        const heap = new Heap<Item>((a, b) => a.value < b.value);
        const items = values.map(([value, stays]) => ({ ...item(value), stays }));
        for (const each of items) heap.push(each);
        for (const each of items) if (!each.stays) heap.remove(each);
        const left = items.filter(({ stays }) => stays).map(({ value }) => value);
        assert.deepEqual(drain(heap), left.toSorted(ascending));
      }),
    );
  });

  it('is empty at first', () => {
    const heap = new Heap<Item>(() => false);
    assert.deepEqual([heap.peek(), heap.pop(), heap.size], [undefined, undefined, 0]);
  });
});
