/** Conformance: results, and how long what has ended is kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import { act, add, capable, claim, counts, failure, job, known, list, type Open, settle, text } from './support.ts';

const completed = (result?: string) =>
  ({ kind: 'completed', ...(result !== undefined && { result: Buffer.from(result) }) }) as const;

/** Calls tidy until there is nothing left to do; how many were removed. */
async function tidied(backend: Backend): Promise<number> {
  let all = 0;
  for (let count = await backend.tidy(); count > 0; count = await backend.tidy()) all += count;
  return all;
}

export function keeping(open: Open): void {
  describe('a result', () => {
    it('is kept with the job that asked for it, for as long as it asked', async (t) => {
      const bench = await capable(open, t, 'results', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      const [id] = await add(backend, [job('1', { keepFor: 1000 })]);
      const held = await claim(other);
      assert.equal(held[0]?.keepFor, 1000);
      await advance(10);
      await settle(other, held, completed('{"ünd": 1}'));
      const record = await known(backend, id);
      assert.deepEqual([record.state, record.endedAt, record.keepFor], ['completed', record.addedAt + 10, 1000]);
      assert.deepEqual([text(record), Buffer.from(record.result ?? []).toString()], ['1', '{"ünd": 1}']);
      assert.deepEqual(await counts(backend), { completed: 1 });
      await advance(999);
      assert.equal(await backend.tidy(), 0);
      await known(other, id);
      await advance(1);
      assert.equal(await backend.tidy(), 1);
      assert.equal(await other.get(id as string), undefined);
      assert.deepEqual(await counts(backend), { completed: 1 });
    });

    it('is not kept for a job that did not ask', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      await settle(backend, await claim(backend), completed('1'));
      assert.equal(await backend.get(id as string), undefined);
      assert.deepEqual(await counts(backend), { completed: 1 });
    });

    it('may be nothing at all', async (t) => {
      const bench = await capable(open, t, 'results');
      if (!bench) return;
      const { backend } = bench;
      const [id] = await add(backend, [job('', { keepFor: 1000 })]);
      await settle(backend, await claim(backend), completed());
      assert.equal((await known(backend, id)).result, undefined);
    });

    it('is kept no longer than the queue allows, the last ones only', async (t) => {
      const bench = await capable(open, t, 'results');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { retention: { completed: { count: 2, age: 500 } } });
      const ids = await add(
        backend,
        ['1', '2', '3'].map((name) => job(name, { keepFor: 9000 })),
      );
      // They end in another order than they came.
      for (const one of (await claim(backend)).toReversed()) {
        await settle(backend, [one], completed(text(one)));
        await advance(1);
      }
      assert.equal(await tidied(backend), 1);
      assert.deepEqual((await list(backend)).map(text), ['1', '2']);
      await advance(498);
      assert.equal(await tidied(backend), 1);
      assert.deepEqual((await list(backend)).map(text), ['1']);
      await advance(1);
      assert.equal(await tidied(backend), 1);
      assert.equal(await backend.get(ids[0] as string), undefined);
    });

    it('is gone when its job is run again, which is done only when that is meant', async (t) => {
      const bench = await capable(open, t, 'results');
      if (!bench) return;
      const { backend } = bench;
      const [id] = await add(backend, [job('1', { keepFor: 1000 })]);
      await settle(backend, await claim(backend), completed('1'));
      assert.equal(await act(backend, { kind: 'retry' }), 0);
      assert.equal(await act(backend, { kind: 'retry' }, { states: ['completed'] }), 1);
      const record = await known(backend, id);
      assert.deepEqual([record.state, record.result, record.endedAt], ['available', undefined, undefined]);
      await settle(backend, await claim(backend), completed('2'));
      assert.equal(Buffer.from((await known(backend, id)).result ?? []).toString(), '2');
      assert.deepEqual(await counts(backend), { completed: 2 });
    });
  });

  describe('what has ended', () => {
    for (const state of ['discarded', 'cancelled'] as const) {
      it(`is kept for the age and the number that the queue says when it is ${state}`, async (t) => {
        const { backend, other, advance } = await open(t, 2);
        await backend.configure('q', { retention: { [state]: { count: 3, age: 1000 } } });
        const names = ['1', '2', '3', '4', '5'];
        await add(
          backend,
          names.map((name) => job(name)),
        );
        for (const one of await claim(backend)) {
          await settle(backend, [one], { kind: state, error: failure() });
          await advance(100);
        }
        assert.equal((await counts(backend))[state], 5);
        assert.equal(await tidied(other), 2);
        assert.deepEqual((await list(backend)).map(text), ['3', '4', '5']);
        // 3 ended at 200, now it is 500.
        await advance(699);
        assert.equal(await tidied(backend), 0);
        await advance(1);
        assert.equal(await tidied(backend), 1);
        assert.deepEqual((await list(backend)).map(text), ['4', '5']);
        assert.deepEqual(await counts(other), { [state]: 2 });
        await backend.configure('q', { retention: { [state]: { count: 0 } } });
        assert.equal(await tidied(backend), 2);
        assert.deepEqual(await counts(backend), {});
      });
    }

    it('is kept apart for each queue and state', async (t) => {
      const { backend } = await open(t);
      await backend.configure('q', { retention: { discarded: { count: 0 } } });
      await add(backend, [job('1'), job('2'), job('3', { queue: 'r' })]);
      const [one, two, three] = await claim(backend, 5, { queues: ['q', 'r'] });
      assert.ok(one && two && three);
      await settle(backend, [one, three], { kind: 'discarded', error: failure() });
      await settle(backend, [two], { kind: 'cancelled', error: failure() });
      assert.equal(await tidied(backend), 1);
      assert.deepEqual((await list(backend)).map(text), ['2', '3']);
    });

    it('is not removed when it was retried in time, and its time begins anew when it ends again', async (t) => {
      const { backend, advance } = await open(t);
      await backend.configure('q', { retention: { discarded: { age: 1000 } } });
      const [id] = await add(backend, [job()]);
      const discarded = { kind: 'discarded', error: failure() } as const;
      await settle(backend, await claim(backend), discarded);
      await advance(900);
      await act(backend, { kind: 'retry' });
      await advance(200);
      assert.equal(await tidied(backend), 0);
      await settle(backend, await claim(backend), discarded);
      await advance(999);
      assert.equal(await tidied(backend), 0);
      await known(backend, id);
      await advance(1);
      assert.equal(await tidied(backend), 1);
    });

    it('waits for somebody to tidy, and a tidy that finds nothing answers 0', async (t) => {
      const { backend, advance } = await open(t);
      assert.equal(await backend.tidy(), 0);
      await backend.configure('q', { retention: { discarded: { age: 1 } } });
      const [id] = await add(backend, [job(), job('waits')]);
      await settle(backend, await claim(backend, 1), { kind: 'discarded', error: failure() });
      await advance(1000);
      await known(backend, id);
      assert.equal(await tidied(backend), 1);
      assert.deepEqual((await list(backend)).map(text), ['waits']);
    });

    it('is removed a bounded number at a time', async (t) => {
      const { backend } = await open(t);
      await add(
        backend,
        Array.from({ length: 1500 }, () => job()),
      );
      assert.equal(await act(backend, { kind: 'discard', reason: 'no' }), 1500);
      await backend.configure('q', { retention: { discarded: { count: 0 } } });
      const first = await backend.tidy();
      assert.ok(first > 0 && first <= 1200, `${first}`);
      assert.equal(await tidied(backend), 1500 - first);
      assert.deepEqual(await counts(backend), {});
    });
  });
}
