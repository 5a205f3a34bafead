/** Conformance: whose turn it is among keys. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend, NewJob } from '../backend.ts';
import { add, capable, claim, counts, job, type Open, settle, text } from './support.ts';

const many = (key: string, count: number, rest: Partial<NewJob> = {}) =>
  Array.from({ length: count }, () => job(key, { ...(key !== '-' && { key }), ...rest }));

/** The keys of the next jobs in the order in which they are handed out, `step` at a time. */
async function turns(backend: Backend, limit: number, step = limit): Promise<string> {
  let keys = '';
  while (keys.length < limit) keys += (await claim(backend, step)).map(text).join('');
  return keys;
}

export function fairness(open: Open): void {
  describe('keys', () => {
    for (const step of [1, 12]) {
      it(`take turns, however many jobs one of them has, claimed ${step} at a time`, async (t) => {
        const bench = await capable(open, t, 'keys');
        if (!bench) return;
        const { backend } = bench;
        await backend.configure('q', { keys: { concurrency: null } });
        await add(backend, [...many('a', 8), ...many('b', 2), ...many('c', 2)]);
        assert.equal(await turns(backend, 12, step), 'abcabcaaaaaa');
      });
    }

    it('take turns by weight', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: null, weights: { a: 2 } } });
      await add(backend, [...many('a', 20), ...many('b', 20)]);
      const keys = await turns(backend, 18);
      assert.equal(keys.replaceAll('b', '').length, 12, keys);
      // No key waits longer than its share asks for.
      assert.ok(!keys.includes('aaa') && !keys.includes('bb'), keys);
    });

    it('take turns with the jobs that have none, which keep their own order', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: null } });
      await add(backend, [...many('a', 4), ...many('-', 3), ...many('b', 3)]);
      const keys = await turns(backend, 9, 1);
      for (const round of [0, 3, 6]) assert.deepEqual([...keys.slice(round, round + 3)].toSorted(), ['-', 'a', 'b']);
    });

    it('give those without one a share by the weight of the empty name', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: null, weights: { '': 3 } } });
      await add(backend, [...many('a', 20), ...many('-', 20)]);
      assert.equal((await turns(backend, 16)).replaceAll('a', '').length, 12);
    });

    it('that come late are served soon, and do not catch up on the turns they were not there for', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: null } });
      await add(backend, many('a', 50));
      await claim(backend, 30);
      await add(backend, many('b', 20));
      const keys = await turns(backend, 10);
      assert.ok(keys.slice(0, 2).includes('b'), keys);
      assert.equal(keys.replaceAll('b', '').length, 5, keys);
    });

    it('take turns when they run one job at a time too', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [...many('a', 6), ...many('b', 3), ...many('c', 3)]);
      let keys = '';
      for (let held = await claim(backend, 1); held.length > 0; held = await claim(backend, 1)) {
        keys += held.map(text).join('');
        await settle(backend, held, { kind: 'completed' });
      }
      assert.deepEqual([...keys.slice(0, 3)].toSorted(), ['a', 'b', 'c'], keys);
      assert.deepEqual([...keys.slice(0, 9)].toSorted(), [...'aaabbbccc'], keys);
      assert.equal(keys.length, 12);
    });

    it('do not cost those of a better priority their place', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: null } });
      await add(backend, [...many('a', 2), ...many('b', 3, { priority: 1 })]);
      assert.equal(await turns(backend, 5), 'bbbaa');
    });

    it('that are busy are passed by at no cost to others', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [...many('busy', 50), ...many('-', 1), ...many('b', 1)]);
      assert.deepEqual((await claim(backend, 10)).map(text), ['busy', '-', 'b']);
      assert.deepEqual(await counts(backend), { running: 3, available: 49 });
    });

    it('that are idle leave nothing: one that comes back is as good as new', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { keys: { rate: { limit: 1, per: 1000 } } });
      for (let round = 0; round < 2; round++) {
        await add(backend, [...many('a', 1), ...many('b', 1)]);
        const held = await claim(backend);
        assert.equal(held.length, 2);
        await settle(backend, held, { kind: 'completed' });
        await advance(1000);
        while ((await backend.tidy()) > 0);
        assert.equal(await backend.tidy(), 0);
      }
    });
  });
}
