/** Conformance: jobs that are cancelled while they run. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ending } from '../backend.ts';
import { act, add, claim, counts, failure, job, known, list, type Open, settle } from './support.ts';

const cancel = (reason: string) => ({ kind: 'cancel', reason }) as const;

export function stopping(open: Open): void {
  describe('a running job that is cancelled', () => {
    it('goes on running, and its server finds an order', async (t) => {
      const { backend, other } = await open(t, 2);
      const [id] = await add(backend, [job(), job()]);
      const [one] = await claim(backend);
      await claim(backend, 1, { id: 'b' });
      assert.ok(one);
      assert.deepEqual(await backend.orders('a'), []);
      assert.equal(await act(other, cancel('enough'), { ids: [id as string] }), 1);
      const order = { kind: 'cancel', id, claim: one.claim, reason: 'enough' };
      assert.deepEqual(await backend.orders('a'), [order]);
      assert.deepEqual(await backend.orders('a'), [order], 'an order stands until the job is settled');
      assert.deepEqual(await backend.orders('b'), []);
      assert.equal((await known(other, id)).state, 'running');
      assert.equal(await act(other, cancel('really'), { ids: [id as string] }), 1);
      assert.deepEqual(await backend.orders('a'), [{ ...order, reason: 'really' }]);
    });

    it('ends as its server settles it, and the order is gone', async (t) => {
      const { backend, other } = await open(t, 2);
      const [first, second] = await add(backend, [job(), job()]);
      const [one, two] = await claim(backend);
      assert.ok(one && two);
      assert.equal(await act(other, cancel('enough')), 2);
      await settle(backend, [one], { kind: 'cancelled', error: { ...failure(), message: 'enough' } });
      assert.deepEqual(
        (await backend.orders('a')).map(({ id }) => id),
        [second],
      );
      assert.deepEqual(await settle(backend, [two], { kind: 'completed' }), ['taken']);
      assert.deepEqual(await backend.orders('a'), []);
      const record = await known(other, first);
      assert.deepEqual([record.state, record.errors.map(({ message }) => message)], ['cancelled', ['enough']]);
      assert.deepEqual(await counts(backend), { completed: 1, cancelled: 1 });
    });

    it('does not run again when it failed, wants to wait or is handed back before the order arrived', async (t) => {
      const { backend, advance } = await open(t);
      const endings: Ending[] = [
        { kind: 'failed', error: failure(), retryAt: 0 },
        { kind: 'snoozed', runAt: 0 },
        { kind: 'returned' },
      ];
      const ids = await add(
        backend,
        endings.map(() => job()),
      );
      const held = await claim(backend);
      await act(backend, cancel('enough'));
      await advance(5);
      const outcomes = held.map(({ id, claim }, i) => ({ id, claim, ending: endings[i] as Ending }));
      assert.deepEqual(await backend.settle('a', outcomes), ['taken', 'taken', 'taken']);
      for (const id of ids) {
        const record = await known(backend, id);
        assert.deepEqual([record.state, record.errors.at(-1)?.message], ['cancelled', 'enough']);
        assert.equal(record.endedAt, record.addedAt + 5);
      }
      assert.deepEqual(await backend.orders('a'), []);
      assert.deepEqual(await claim(backend), []);
    });

    it('is cancelled when its server dies or leaves, the reason kept', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      const ids = await add(backend, [job(), job()]);
      await claim(backend, 1);
      await claim(other, 1, { id: 'b' });
      await act(other, cancel('enough'));
      await backend.leave('a');
      await advance(1000);
      assert.equal(await backend.rescue(1000), 1);
      for (const record of await list(other, { ids })) {
        assert.deepEqual([record.state, record.errors.at(-1)?.message], ['cancelled', 'enough']);
        assert.equal(record.server, undefined);
      }
      assert.deepEqual(await counts(other), { cancelled: 2 });
      assert.deepEqual(await claim(backend), []);
      assert.deepEqual(await backend.orders('a'), []);
    });

    it('can be retried, and the old order does not follow it', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()]);
      await settle(backend, await claim(backend), { kind: 'returned' });
      await claim(backend);
      await act(backend, cancel('enough'));
      await backend.leave('a');
      assert.equal(await act(backend, { kind: 'retry' }), 1);
      assert.equal((await claim(backend)).length, 1);
      assert.deepEqual(await backend.orders('a'), []);
    });
  });
}
