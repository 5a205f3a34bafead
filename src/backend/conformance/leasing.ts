/** Conformance: servers that hold jobs, and what happens when they are gone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, claim, counts, job, type Open, server, settle, text } from './support.ts';

export function leasing(open: Open): void {
  describe('a lease', () => {
    it('that ran out makes the jobs of its server available again, one crash more, no attempt less', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      await add(backend, [job('1'), job('2'), job('3')]);
      const held = await claim(backend, 2);
      await advance(999);
      assert.equal(await other.rescue(1000), 0);
      await advance(1);
      assert.equal(await other.rescue(1000), 2);
      assert.deepEqual(await counts(backend), { available: 3 });
      const again = await claim(other, 5, { id: 'b' });
      assert.deepEqual(again.map(text), ['1', '2', '3']);
      assert.deepEqual(
        again.map(({ attempt, crashes }) => [attempt, crashes]),
        [
          [1, 1],
          [1, 1],
          [1, 0],
        ],
      );
      assert.deepEqual(await settle(backend, held, { kind: 'completed' }), ['stale', 'stale']);
    });

    it('is renewed for all that a server holds by one beat', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job('1'), job('2')]);
      const held = await claim(backend);
      for (let i = 0; i < 3; i++) {
        await advance(600);
        await backend.beat(server());
        assert.equal(await backend.rescue(1000), 0);
      }
      assert.deepEqual(await settle(backend, held, { kind: 'completed' }), ['taken', 'taken']);
    });

    it('that ran out costs only the server that did not beat', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job('1'), job('2')]);
      await claim(backend, 1);
      const [kept] = await claim(backend, 1, { id: 'b' });
      await advance(1000);
      await backend.beat(server('b'));
      assert.equal(await backend.rescue(1000), 1);
      assert.deepEqual(
        (await backend.servers()).map(({ id, running }) => [id, running]),
        [['b', 1]],
      );
      assert.ok(kept);
      assert.deepEqual(await settle(backend, [kept], { kind: 'completed' }, 'b'), ['taken']);
    });

    it('that ran out is not brought back by a late beat: the server starts anew, holding nothing', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job()]);
      const [held] = await claim(backend);
      assert.ok(held);
      await advance(1000);
      assert.equal(await backend.rescue(1000), 1);
      await backend.beat(server());
      assert.deepEqual(await settle(backend, [held], { kind: 'completed' }), ['stale']);
      assert.deepEqual(await counts(backend), { available: 1 });
      assert.equal((await claim(backend)).length, 1);
    });

    it('is given up by leaving: what is held is available again, in its place, with attempts and crashes as before', async (t) => {
      const { backend, other } = await open(t, 2);
      await add(backend, [job('1'), job('2')]);
      const held = await claim(backend, 1);
      await backend.leave('a');
      await backend.leave('a');
      assert.deepEqual(await backend.servers(), []);
      const again = await claim(other, 5, { id: 'b' });
      assert.deepEqual(again.map(text), ['1', '2']);
      assert.deepEqual([again[0]?.attempt, again[0]?.crashes], [1, 0]);
      assert.deepEqual(await settle(backend, held, { kind: 'completed' }), ['stale']);
    });

    it('shows its server with what it said of itself, its last beat and how much it holds', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      const ids = await add(backend, [job('1'), job('2'), job('3')]);
      const now = (await backend.get(ids[0] as string))?.addedAt as number;
      await claim(backend, 2);
      await advance(10);
      await backend.beat({ ...server(), queues: ['q', 'r'], concurrency: 8 });
      const expected = { ...server(), queues: ['q', 'r'], concurrency: 8, beatAt: now + 10, running: 2 };
      assert.deepEqual(await other.servers(), [expected]);
    });
  });
}
