import assert from 'node:assert/strict';
import { it } from 'node:test';
import { slotOf } from './slot.ts';

it('a key has the slot that the specification of the cluster gives it', () => {
  assert.equal(slotOf('123456789'), 0x31c3);
  assert.equal(slotOf('foo'), 12_182);
  assert.equal(slotOf('{user1000}.following'), slotOf('{user1000}.followers'));
  assert.equal(slotOf('x{user1000}y'), slotOf('user1000'));
  // Empty braces hash as they stand, and only the first pair counts.
  assert.notEqual(slotOf('foo{}{bar}'), slotOf('bar'));
  assert.equal(slotOf('foo{{bar}}zap'), slotOf('{bar'));
});
