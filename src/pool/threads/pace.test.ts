import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pace } from './pace.ts';

describe('Pace', () => {
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
      const pace = new Pace('auto');
      assert.equal(pace.window, 0);
      assert.equal(pace.note(runTime, 1), window !== 0);
      assert.equal(pace.window, window, `${runTime} ms`);
    }
  });

  it('follows a change, and forgets one surprise', () => {
    const pace = new Pace('auto');
    pace.note(0.01 * 1_000, 1_000);
    assert.equal(pace.window, 128);
    pace.note(30 * 20, 20);
    assert.equal(pace.window, 1);
    for (let i = 0; i < 10; i++) pace.note(0.01 * 100, 100);
    assert.equal(pace.window, 128);
  });

  it('does not swing between two windows when the mean lies between them', () => {
    const pace = new Pace('auto');
    pace.note(1, 10);
    const changes = Array.from({ length: 50 }, (_, i) => pace.note((i % 2 ? 0.127 : 0.123) * 64, 64)).filter(Boolean);
    assert.ok(changes.length <= 1, `${changes.length} changes`);
  });

  it('keeps a fixed window, and ignores an empty report', () => {
    const pace = new Pace(3);
    assert.equal(pace.note(100, 1), false);
    assert.deepEqual([pace.window, pace.most, pace.mean], [3, 3, 100]);
    const auto = new Pace('auto');
    assert.equal(auto.note(0, 0), false);
    assert.equal(auto.mean, undefined);
  });
});
