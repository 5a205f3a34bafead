/** Conformance: acting on jobs from outside, beyond what `managing` says of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../filter.ts';
import { act, add, claim, counts, failure, job, known, type Open, settle, text } from './support.ts';

export function acting(open: Open): void {
  describe('act', () => {
    it('retries at a moment, and one after the other', async (t) => {
      const { backend, advance } = await open(t);
      const ids = await add(backend, [job('1'), job('2'), job('3'), job('4', { runAt: 4e12 })]);
      const now = (await known(backend, ids[0])).addedAt;
      await settle(backend, await claim(backend, 2), { kind: 'discarded', error: failure() });
      assert.equal(await act(backend, { kind: 'retry', at: now + 50.5, every: 100 }), 3);
      const records = await Promise.all(ids.map((id) => known(backend, id)));
      assert.deepEqual(
        records.map(({ state, runAt }) => [state, runAt - now]),
        [
          ['scheduled', 51],
          ['scheduled', 151],
          ['available', 0],
          ['scheduled', 251],
        ],
      );
      assert.equal(records[0]?.endedAt, undefined);
      await advance(151);
      assert.deepEqual((await claim(backend)).map(text), ['3', '1', '2']);
    });

    it('makes the first of many available now when no moment is given', async (t) => {
      const { backend } = await open(t);
      const ids = await add(backend, [job('1', { runAt: 4e12 }), job('2', { runAt: 4e12 })]);
      assert.equal(await act(backend, { kind: 'retry', every: 1000 }), 2);
      const [one, two] = await Promise.all(ids.map((id) => known(backend, id)));
      assert.equal(one?.runAt, one?.addedAt);
      assert.deepEqual([one?.state, two?.state], ['available', 'scheduled']);
      assert.equal((two?.runAt ?? 0) - (one?.runAt ?? 0), 1000);
    });

    it('discards what waits, with the reason, and leaves alone what runs or has ended', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      const ids = await add(backend, [job('ended'), job('runs'), job('1'), job('2', { runAt: 4e12 })]);
      const [ended] = await claim(backend, 2);
      assert.ok(ended);
      await settle(backend, [ended], { kind: 'cancelled', error: failure() });
      await advance(10);
      assert.equal(await act(other, { kind: 'discard', reason: 'no use' }), 2);
      assert.deepEqual(await counts(backend), { running: 1, cancelled: 1, discarded: 2 });
      const record = await known(backend, ids[3]);
      assert.deepEqual([record.state, record.endedAt], ['discarded', record.addedAt + 10]);
      assert.deepEqual(
        record.errors.map(({ attempt, message }) => [attempt, message]),
        [[1, 'no use']],
      );
      assert.deepEqual(await backend.orders('a'), []);
    });

    it('leaves alone what has no use for it, and says how many were acted on', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('ended'), job('runs'), job('waits')]);
      const [ended] = await claim(backend, 2);
      assert.ok(ended);
      await settle(backend, [ended], { kind: 'discarded', error: failure() });
      const actions: [Action, number][] = [
        [{ kind: 'retry' }, 1],
        [{ kind: 'retry' }, 0],
        [{ kind: 'cancel', reason: '' }, 3],
        [{ kind: 'cancel', reason: '' }, 1],
        [{ kind: 'discard', reason: '' }, 0],
        [{ kind: 'remove' }, 2],
        [{ kind: 'remove' }, 0],
      ];
      for (const [action, expected] of actions) assert.equal(await act(backend, action), expected, action.kind);
      assert.deepEqual(await counts(backend), { running: 1 });
    });

    it('acts on a page at a time, 1,000 jobs when it is not told how many', async (t) => {
      const { backend } = await open(t);
      await add(
        backend,
        Array.from({ length: 1200 }, () => job()),
      );
      const cancel = { kind: 'cancel', reason: '' } as const;
      const few = await backend.act(cancel, {}, { limit: 7 });
      assert.ok(few.count === 7 && few.next !== undefined);
      const many = await backend.act(cancel, {}, { after: few.next });
      assert.ok(many.count === 1000 && many.next !== undefined);
      assert.deepEqual(await backend.act(cancel, {}, { after: many.next }), { count: 193 });
      assert.deepEqual(await counts(backend), { cancelled: 1200 });
    });

    it('takes jobs out of the middle of a long line, and leaves the others in order', async (t) => {
      const { backend } = await open(t);
      const ids = await add(
        backend,
        Array.from({ length: 300 }, (_, i) => job(`${i}`)),
      );
      const some = ids.filter((_, i) => i % 3 !== 0);
      assert.equal(await act(backend, { kind: 'cancel', reason: '' }, { ids: some }), 200);
      const back = some.slice(0, 2);
      assert.equal(await act(backend, { kind: 'retry', at: 0 }, { ids: back }), 2);
      const expected = ['1', '2', ...Array.from({ length: 100 }, (_, i) => `${i * 3}`)];
      assert.deepEqual((await claim(backend, 500)).map(text), expected);
    });

    it('refuses an action that makes no sense', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()]);
      const wrong = [
        { kind: 'forget' },
        { kind: 'cancel' },
        { kind: 'discard', reason: 7 },
        { kind: 'retry', at: Number.NaN },
        { kind: 'retry', every: -1 },
      ];
      for (const action of wrong) {
        const call = backend.act(action as Action, {});
        await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' }, JSON.stringify(action));
      }
      assert.deepEqual(await counts(backend), { available: 1 });
    });
  });
}
