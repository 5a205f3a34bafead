import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { onAbort } from './on-abort.ts';

describe('onAbort', () => {
  it('calls everybody once, in the order in which they came', () => {
    const over = new AbortController();
    const called: number[] = [];
    for (const n of [1, 2, 3]) onAbort(over.signal, () => called.push(n));
    over.abort();
    over.abort();
    assert.deepEqual(called, [1, 2, 3]);
    assert.equal(getEventListeners(over.signal, 'abort').length, 0);
  });

  it('does not call those who left, also when another one made them leave', () => {
    const over = new AbortController();
    const called: number[] = [];
    onAbort(over.signal, () => called.push(1))();
    onAbort(over.signal, () => {
      called.push(2);
      leave();
    });
    const leave = onAbort(over.signal, () => called.push(3));
    over.abort();
    assert.deepEqual(called, [2]);
  });

  it('keeps one listener until the last one leaves, and can begin again', () => {
    const { signal } = new AbortController();
    const same = () => undefined;
    for (let round = 0; round < 2; round++) {
      const [first, second] = [onAbort(signal, same), onAbort(signal, same)];
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      first();
      first();
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      second();
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }
  });
});
