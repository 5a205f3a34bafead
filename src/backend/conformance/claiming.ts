/** Conformance: handing jobs out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, claim, counts, job, type Open, server, settle, text } from './support.ts';

export function claiming(open: Open): void {
  describe('claim', () => {
    it('serves by priority, then by time, then by arrival', async (t) => {
      const { backend } = await open(t);
      await add(backend, [
        job('5 late', { runAt: 2000 }),
        job('5 early', { runAt: 1000 }),
        job('9', { priority: 9, runAt: 0 }),
        job('0', { priority: 0, runAt: 3000 }),
        job('5 late again', { runAt: 2000 }),
      ]);
      assert.deepEqual((await claim(backend)).map(text), ['0', '5 early', '5 late', '5 late again', '9']);
    });

    it('serves its queues in their order, the next only when those before are empty', async (t) => {
      const { backend } = await open(t);
      await add(backend, [
        job('b1', { queue: 'b', priority: 0 }),
        job('a1', { queue: 'a' }),
        job('a2', { queue: 'a' }),
        job('c1', { queue: 'c' }),
      ]);
      assert.deepEqual((await claim(backend, 1, { queues: ['a', 'b'] })).map(text), ['a1']);
      assert.deepEqual((await claim(backend, 5, { queues: ['a', 'b', 'none'] })).map(text), ['a2', 'b1']);
      assert.deepEqual(await claim(backend, 5, { queues: ['a', 'b'] }), []);
    });

    it('gives at most `limit` jobs, and each only once', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1'), job('2'), job('3')]);
      assert.deepEqual(await claim(backend, 0), []);
      assert.deepEqual((await claim(backend, 2)).map(text), ['1', '2']);
      assert.deepEqual((await claim(backend, 2)).map(text), ['3']);
      assert.deepEqual(await counts(backend), { running: 3 });
      for (const limit of [-1, 0.5, Number.POSITIVE_INFINITY]) {
        await assert.rejects(claim(backend, limit), { code: 'MILLRACE_OPTION_INVALID' });
      }
    });

    it('never gives a job to two servers that claim at the same time', async (t) => {
      const { backend, other } = await open(t, 2);
      const ids = await add(
        backend,
        Array.from({ length: 500 }, (_, i) => job(String(i))),
      );
      await backend.beat(server('a'));
      await other.beat(server('b'));
      const claims = Array.from({ length: 40 }, (_, i) => {
        const [view, id] = i % 2 === 0 ? [backend, 'a'] : [other, 'b'];
        return view.claim({ server: id, queues: ['q'], limit: 20 });
      });
      const claimed = (await Promise.all(claims)).flatMap(({ jobs }) => jobs.map(({ id }) => id));
      assert.deepEqual(claimed.toSorted(), ids);
    });

    it('gives nothing of a paused queue, whoever paused it, until it is resumed', async (t) => {
      const { backend, other } = await open(t, 2);
      await add(backend, [job('1'), job('later', { runAt: 4e12 }), job('x', { queue: 'r' })]);
      await other.configure('q', { paused: true });
      await backend.beat(server());
      const result = await backend.claim({ server: 'a', queues: ['q', 'r'], limit: 5 });
      assert.deepEqual(result.jobs.map(text), ['x']);
      assert.equal(result.nextAt, undefined);
      assert.equal((await backend.counts()).find(({ queue }) => queue === 'q')?.settings.paused, true);
      await backend.configure('q', { paused: false });
      assert.deepEqual((await claim(other)).map(text), ['1']);
    });

    it('takes jobs into a paused queue', async (t) => {
      const { backend } = await open(t);
      await backend.configure('q', { paused: true });
      await add(backend, [job()]);
      assert.deepEqual(await counts(backend), { available: 1 });
    });

    it('makes a scheduled job available at its moment, in the order of its priority', async (t) => {
      const { backend, advance } = await open(t);
      const [first] = await add(backend, [job('now')]);
      const now = (await backend.get(first as string))?.addedAt as number;
      await add(backend, [job('soon', { runAt: now + 100, priority: 0 }), job('later', { runAt: now + 101 })]);
      await advance(99);
      assert.deepEqual((await claim(backend, 1)).map(text), ['now']);
      assert.deepEqual(await claim(backend), []);
      await add(backend, [job('between')]);
      await advance(1);
      assert.deepEqual((await claim(backend)).map(text), ['soon', 'between']);
    });

    it('says when the next job is due if it gave less than asked for', async (t) => {
      const { backend } = await open(t);
      await add(backend, [
        job('1'),
        job('2', { runAt: 4e12 + 1 }),
        job('3', { runAt: 4e12 }),
        job('x', { queue: 'r', runAt: 3e12 }),
      ]);
      await backend.beat(server());
      const ask = (limit: number, queues = ['q']) => backend.claim({ server: 'a', queues, limit });
      assert.equal((await ask(1, ['r', 'q'])).nextAt, undefined);
      assert.equal((await ask(1)).nextAt, 4e12);
      assert.equal((await ask(1, ['q', 'r'])).nextAt, 3e12);
      assert.equal((await ask(1, ['none'])).nextAt, undefined);
    });

    it('names a retryable job as the next one due', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()]);
      const error = { attempt: 1, at: 0, message: 'no' };
      await settle(backend, await claim(backend), { kind: 'failed', error, retryAt: 4e12 });
      assert.equal((await backend.claim({ server: 'a', queues: ['q'], limit: 1 })).nextAt, 4e12);
    });

    it('is refused to a server that is not registered', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()]);
      const ask = () => backend.claim({ server: 'a', queues: ['q'], limit: 1 });
      await assert.rejects(ask, { code: 'MILLRACE_SERVER_UNKNOWN' });
      await backend.beat(server());
      await backend.leave('a');
      await assert.rejects(ask, { code: 'MILLRACE_SERVER_UNKNOWN' });
      assert.deepEqual(await counts(backend), { available: 1 });
    });
  });
}
