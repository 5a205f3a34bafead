import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matches } from './match.ts';

describe('matches', () => {
  it('asks only for the members that are named, at any depth', () => {
    const actual = { to: 'ada', by: { name: 'bob', ids: [1, 2] }, at: null };
    for (const expected of [{}, { to: 'ada' }, { by: { name: 'bob' } }, { by: { ids: [1, 2] } }, { at: null }]) {
      assert.ok(matches(actual, expected));
    }
    for (const expected of [
      { to: 'bob' },
      { by: { name: 'ada' } },
      { by: { ids: [1] } },
      { at: {} },
      { to: {} },
      { no: 1 },
    ]) {
      assert.ok(!matches(actual, expected), JSON.stringify(expected));
    }
  });

  it('takes values that are no plain objects as a whole', () => {
    assert.ok(matches({ at: new Date(0) }, { at: new Date(0) }));
    assert.ok(!matches({ at: new Date(0) }, { at: new Date(1) }));
    assert.ok(matches(2n ** 64n, 2n ** 64n) && !matches(1, 1n) && !matches(null, {}));
  });
});
