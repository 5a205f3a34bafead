import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Ids, newStoreId } from './ids.ts';

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

describe('ids', () => {
  it('come back as the number they were made of', () => {
    const ids = new Ids(newStoreId());
    fc.assert(fc.property(number, (n) => ids.parse(ids.format(n)) === n));
  });

  it('sort by arrival', () => {
    const ids = new Ids(newStoreId());
    fc.assert(fc.property(number, number, (a, b) => a < b === ids.format(a) < ids.format(b)));
  });

  it('of another store, or of nothing, are not found', () => {
    const ids = new Ids(newStoreId());
    assert.equal(ids.parse(new Ids(newStoreId()).format(1)), -1);
    fc.assert(fc.property(fc.string(), (text) => ids.parse(text) === -1));
    assert.equal(ids.parse(ids.format(7).toUpperCase().replace(/.$/, 'Z')), -1);
    assert.equal(ids.parse(ids.format(0).replace(/0{13}$/, 'v'.repeat(13))), -1);
  });
});
