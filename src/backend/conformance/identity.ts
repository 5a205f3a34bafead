/** Conformance: ids of the caller's own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { act, add, claim, counts, failure, job, known, list, type Open, settle, text } from './support.ts';

export function identity(open: Open): void {
  describe('an id of the caller', () => {
    it('is the id of the job everywhere', async (t) => {
      const { backend, other } = await open(t, 2);
      const id = 'order/17 ✉';
      assert.deepEqual(await add(backend, [job('1', { id }), job('2')]).then(([first]) => first), id);
      assert.equal(text(await known(other, id)), '1');
      assert.deepEqual((await list(other, { ids: [id] })).map(text), ['1']);
      const [claimed] = await claim(other);
      assert.equal(claimed?.id, id);
      assert.deepEqual(await settle(backend, [claimed], { kind: 'snoozed', runAt: 4e12 }), ['taken']);
      assert.equal(await act(backend, { kind: 'cancel', reason: 'no' }, { ids: [id] }), 1);
      assert.equal((await known(other, id)).state, 'cancelled');
    });

    it('that is known answers with the job that has it, whatever its state and queue, and stores nothing', async (t) => {
      const { backend, other } = await open(t, 2);
      const id = 'mine';
      const again = async () => {
        const [result] = await other.add([{ jobs: [job('new'), job('again', { id, queue: 'r' })], maxWaiting: 9 }]);
        assert.ok(result?.status === 'stored');
        assert.equal(result.ids[1], id);
        assert.deepEqual(result.existing, [1]);
        assert.equal(await act(backend, { kind: 'remove' }, { ids: [result.ids[0] as string] }), 1);
        assert.equal(text(await known(backend, id)), 'first');
      };
      await add(backend, [job('first', { id, priority: 0 })]);
      await again();
      const claimed = await claim(backend, 1);
      await again();
      await settle(backend, claimed, { kind: 'discarded', error: failure() });
      await again();
      assert.deepEqual(await counts(backend, 'r'), {});
    });

    it('that is given twice in one group makes one job', async (t) => {
      const { backend } = await open(t);
      const [result] = await backend.add([{ jobs: [job('1', { id: 'x' }), job('2', { id: 'x' })], maxWaiting: 1 }]);
      assert.deepEqual(result, { status: 'stored', ids: ['x', 'x'], existing: [1] });
      assert.deepEqual((await list(backend)).map(text), ['1']);
    });

    it('is free again when its job is not known any more', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1', { id: 'x' })]);
      await settle(backend, await claim(backend), { kind: 'completed' });
      const [result] = await backend.add([{ jobs: [job('2', { id: 'x' })] }]);
      assert.deepEqual(result, { status: 'stored', ids: ['x'] });
      await act(backend, { kind: 'remove' }, { ids: ['x'] });
      assert.equal(await backend.get('x'), undefined);
      assert.deepEqual(await add(backend, [job('3', { id: 'x' })]), ['x']);
      assert.equal(text(await known(backend, 'x')), '3');
    });

    it('does not count for `maxWaiting` when it is known, and does when it is not', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1', { id: 'x' })]);
      const group = { jobs: [job('', { id: 'x' })], maxWaiting: 1 };
      assert.deepEqual(await backend.add([group]), [{ status: 'stored', ids: ['x'], existing: [0] }]);
      const full = { jobs: [job('', { id: 'x' }), job('', { id: 'y' })], maxWaiting: 1 };
      assert.deepEqual(await backend.add([full]), [{ status: 'full', queue: 'q', waiting: 1, limit: 1 }]);
      assert.equal(await backend.get('y'), undefined);
    });

    it('must not look like one that the backend gives', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const call = backend.add([{ jobs: [job(), job('', { id: id as string })] }]);
      await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' });
      assert.deepEqual(await counts(backend), { available: 1 });
    });
  });
}
