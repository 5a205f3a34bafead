/** Conformance: changing a job that waits. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobChange } from '../backend.ts';
import { act, add, capable, claim, counts, failure, job, known, type Open, settle, text } from './support.ts';

export function updating(open: Open): void {
  describe('update', () => {
    it('changes what is named of a waiting job, and nothing else', async (t) => {
      const bench = await capable(open, t, 'update', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const [id] = await add(backend, [job('1', { tags: ['a'], headers: { h: '1' }, runAt: 4e12 })]);
      const before = await known(backend, id);
      assert.deepEqual(await other.update([{ id: id as string, payload: Buffer.from('2') }]), ['changed']);
      assert.deepEqual(await known(backend, id), { ...before, payload: (await known(backend, id)).payload });
      assert.equal(text(await known(backend, id)), '2');
      const change = { id: id as string, priority: 1, maxAttempts: 9, runAt: 4e12 + 0.5, tags: ['b'] };
      assert.deepEqual(await other.update([change]), ['changed']);
      const after = await known(backend, id);
      const expected = { ...before, priority: 1, maxAttempts: 9, runAt: 4e12 + 1, tags: ['b'] };
      assert.deepEqual({ ...after, payload: 0 }, { ...expected, payload: 0 });
    });

    it('moves a job in time, and gives it its new place', async (t) => {
      const bench = await capable(open, t, 'update');
      if (!bench) return;
      const { backend, advance } = bench;
      const [one, two, three] = await add(backend, [job('1'), job('2', { runAt: 4e12 }), job('3')]);
      const now = (await known(backend, one)).addedAt;
      const changes: JobChange[] = [
        { id: one as string, runAt: now + 100 },
        { id: two as string, runAt: 0 },
        { id: three as string, priority: 0 },
      ];
      assert.deepEqual(await backend.update(changes), ['changed', 'changed', 'changed']);
      assert.deepEqual(await counts(backend), { scheduled: 1, available: 2 });
      assert.deepEqual((await claim(backend)).map(text), ['3', '2']);
      await advance(100);
      assert.deepEqual((await claim(backend)).map(text), ['1']);
    });

    it('moves a retry too, which keeps its attempt', async (t) => {
      const bench = await capable(open, t, 'update');
      if (!bench) return;
      const { backend } = bench;
      const [id] = await add(backend, [job()]);
      await settle(backend, await claim(backend), { kind: 'failed', error: failure(), retryAt: 4e12 });
      await backend.update([{ id: id as string, runAt: 4e12 + 5 }]);
      assert.deepEqual(await counts(backend), { retryable: 1 });
      await backend.update([{ id: id as string, runAt: 0 }]);
      assert.equal((await claim(backend))[0]?.attempt, 2);
    });

    it('leaves alone what runs, has ended or is not known', async (t) => {
      const bench = await capable(open, t, 'update');
      if (!bench) return;
      const { backend } = bench;
      const ids = await add(backend, [job('1'), job('2')]);
      const [, two] = await claim(backend);
      assert.ok(two);
      await settle(backend, [two], { kind: 'discarded', error: failure() });
      const changes = [...ids, 'nobody'].map((id) => ({ id, payload: Buffer.from('x'), priority: 0 }));
      assert.deepEqual(await backend.update(changes), ['busy', 'busy', 'unknown']);
      for (const [i, id] of ids.entries()) assert.equal(text(await known(backend, id)), `${i + 1}`);
    });

    it('changes nothing of a call that has something wrong in it', async (t) => {
      const bench = await capable(open, t, 'update');
      if (!bench) return;
      const { backend } = bench;
      const [one, two] = await add(backend, [job('1'), job('2')]);
      for (const wrong of [{ priority: 10 }, { maxAttempts: 0 }, { runAt: Number.NaN }, { tags: [''] }]) {
        const call = backend.update([
          { id: one as string, priority: 0 },
          { id: two as string, ...wrong },
        ]);
        await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' });
      }
      assert.equal((await known(backend, one)).priority, 5);
    });

    it('moves the jobs of a key within their line', async (t) => {
      const bench = (await capable(open, t, 'keys')) && (await capable(open, t, 'update'));
      if (!bench) return;
      const { backend } = bench;
      const ids = await add(
        backend,
        ['1', '2', '3'].map((name) => job(name, { key: 'k' })),
      );
      await backend.update([
        { id: ids[0] as string, runAt: 4e12 },
        { id: ids[2] as string, priority: 0 },
      ]);
      const served: string[] = [];
      for (let held = await claim(backend); held.length > 0; held = await claim(backend)) {
        served.push(...held.map(text));
        await settle(backend, held, { kind: 'completed' });
      }
      assert.deepEqual(served, ['3', '2']);
      await act(backend, { kind: 'retry' });
      assert.deepEqual((await claim(backend)).map(text), ['1']);
    });
  });
}
