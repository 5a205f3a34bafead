import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Prefetch } from './prefetch.ts';

describe('Prefetch', () => {
  it('starts without prefetching, and then goes by the run time', () => {
    const table: [runTime: number, window: number][] = [
      [0.0001, 256],
      [0.02, 64],
      [0.1, 16],
      [0.5, 4],
      [1.5, 1],
      [9, 1],
      [10, 0],
      [500, 0],
    ];
    for (const [runTime, window] of table) {
      const prefetch = new Prefetch('auto');
      assert.equal(prefetch.window, 0);
      assert.equal(prefetch.note(runTime, 1), window !== 0);
      assert.equal(prefetch.window, window, `${runTime} ms`);
    }
  });

  it('follows a change, and forgets one surprise', () => {
    const prefetch = new Prefetch('auto');
    prefetch.note(0.01 * 1_000, 1_000);
    assert.equal(prefetch.window, 128);
    prefetch.note(30 * 20, 20);
    assert.equal(prefetch.window, 1);
    for (let i = 0; i < 10; i++) prefetch.note(0.01 * 100, 100);
    assert.equal(prefetch.window, 128);
  });

  it('does not swing between two windows when the mean lies between them', () => {
    const prefetch = new Prefetch('auto');
    prefetch.note(1, 10);
    const changes = Array.from({ length: 50 }, (_, i) => prefetch.note((i % 2 ? 0.127 : 0.123) * 64, 64)).filter(
      Boolean,
    );
    assert.ok(changes.length <= 1, `${changes.length} changes`);
  });

  it('keeps a fixed window, and ignores an empty report', () => {
    const prefetch = new Prefetch(3);
    assert.equal(prefetch.note(100, 1), false);
    assert.deepEqual([prefetch.window, prefetch.most, prefetch.mean], [3, 3, 100]);
    const auto = new Prefetch('auto');
    assert.equal(auto.note(0, 0), false);
    assert.equal(auto.mean, undefined);
  });
});
