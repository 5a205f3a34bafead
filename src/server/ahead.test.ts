import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ahead } from './ahead.ts';

describe('the number of jobs claimed ahead', () => {
  it('is one per worker at first, and doubles while claims find workers idle, up to a bound', () => {
    const ahead = new Ahead(10);
    const sizes = Array.from({ length: 6 }, () => {
      const { size } = ahead;
      ahead.came(10, 0);
      return size;
    });
    assert.deepEqual(sizes, [10, 20, 40, 80, 160, 160]);
    const many = new Ahead(400);
    for (let i = 0; i < 10; i++) many.came(400, 0);
    assert.deepEqual([many.size, many.most], [1_000, 1_000]);
    assert.equal(new Ahead(5_000).most, 5_000);
  });

  it('shrinks again while claims find that jobs wait, down to one per worker', () => {
    const ahead = new Ahead(10);
    for (let i = 0; i < 10; i++) ahead.came(10, 0);
    ahead.came(0, 100);
    assert.equal(ahead.size, 120);
    ahead.came(0, 50);
    assert.equal(ahead.size, 120, 'neither late nor early');
    for (let i = 0; i < 20; i++) ahead.came(0, 1_000);
    assert.equal(ahead.size, 10);
  });

  it('stays what it was told to be', () => {
    for (const fixed of [0, 3]) {
      const ahead = new Ahead(10, fixed);
      ahead.came(10, 0);
      ahead.came(0, 10);
      assert.deepEqual([ahead.size, ahead.most], [fixed, fixed]);
    }
  });
});
