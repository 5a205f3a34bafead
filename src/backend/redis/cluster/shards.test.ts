import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeLink } from '../link/link.ts';
import { slotOf } from '../link/slot.ts';
import { ServerClock } from '../server-clock.ts';
import { Shards, tagsOf } from './shards.ts';

describe('the shards of a cluster', () => {
  it('have their slots in equal steps, so that each node gets its share', () => {
    for (const count of [1, 3, 16, 256]) {
      const slots = tagsOf('millrace', count).map((tag) => slotOf(`{${tag}}`));
      for (const [i, slot] of slots.entries()) assert.equal(Math.floor((slot * count) / 16_384), i);
    }
  });

  it('stay where they are: a name is in the same shard for ever', async (t) => {
    const link = makeLink('redis+cluster://127.0.0.1:1');
    t.after(() => link.close());
    const shards = new Shards(link, 'millrace', 16, undefined, new ServerClock());
    assert.deepEqual(
      ['', 'default', 'mail', 'reports', '✉'].map((name) => shards.of(name)),
      [5, 14, 14, 8, 6],
    );
    assert.equal(shards.at(1).prefix, '{millrace:1}:');
    assert.equal(shards.at(15).prefix, '{millrace:15.62}:');
    const numbered = Array.from({ length: 10 }, (_, n) => shards.of(`mail-${n}`));
    assert.equal(new Set(numbered).size, 10);
  });
});
