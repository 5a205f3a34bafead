/** Conformance: jobs of one key, in order and bounded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import type { KeyFailure } from '../settings.ts';
import { act, add, capable, claim, failure, job, known, type Open, settle, text } from './support.ts';

/** `count` jobs of key `key`, named key1, key2, … */
const line = (key: string, count: number) => Array.from({ length: count }, (_, i) => job(`${key}${i + 1}`, { key }));

const done = { kind: 'completed' } as const;
const failed = (retryAt?: number) =>
  ({ kind: 'failed', error: failure(), ...(retryAt !== undefined && { retryAt }) }) as const;

async function next(backend: Backend, limit = 100, id = 'a') {
  return (await claim(backend, limit, { id })).map(text).join(' ');
}

export function ordering(open: Open): void {
  describe('a key', () => {
    it('runs one job at a time in order of arrival, over all servers, beside other keys', async (t) => {
      const bench = await capable(open, t, 'keys', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await add(backend, [...line('a', 3), ...line('b', 2)]);
      const held = await claim(backend);
      assert.deepEqual(held.map(text), ['a1', 'b1']);
      assert.equal(await next(other, 100, 'z'), '');
      await settle(backend, held.slice(0, 1), done);
      assert.equal(await next(other, 100, 'z'), 'a2');
      await settle(backend, held.slice(1), done);
      assert.equal(await next(other, 100, 'z'), 'b2');
    });

    it('is shown with its jobs', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const [id] = await add(bench.backend, [job('', { key: 'tenant ✉' })]);
      assert.equal((await known(bench.backend, id)).key, 'tenant ✉');
      assert.equal((await claim(bench.backend))[0]?.key, 'tenant ✉');
    });

    it('serves the lowest priority number first, then arrival', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      const jobs = [5, 5, 1, 3].map((priority, i) => job(`${i + 1}`, { key: 'k', priority }));
      await add(backend, jobs);
      const served: string[] = [];
      for (let held = await claim(backend); held.length > 0; held = await claim(backend)) {
        served.push(...held.map(text));
        await settle(backend, held, done);
      }
      assert.deepEqual(served, ['3', '4', '1', '2']);
    });

    it('stands in the queue by the priority of its next job', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [
        job('a', { key: 'a', priority: 5 }),
        job('b', { key: 'b', priority: 1 }),
        job('free', { priority: 3 }),
        job('c', { key: 'c', priority: 0 }),
      ]);
      assert.equal(await next(backend), 'c b free a');
    });

    for (const onFailure of ['block', 'park'] satisfies KeyFailure[]) {
      it(`keeps its order through retries with '${onFailure}'`, async (t) => {
        const bench = await capable(open, t, 'keys');
        if (!bench) return;
        const { backend, advance } = bench;
        await backend.configure('q', { keys: { onFailure } });
        await add(backend, [...line('a', 2), ...line('b', 1)]);
        const [a1] = await claim(backend);
        assert.ok(a1);
        await settle(backend, [a1], failed(a1.addedAt + 100));
        assert.equal(await next(backend), '');
        await advance(99);
        assert.equal(await next(backend), '');
        await advance(1);
        const again = await claim(backend);
        assert.deepEqual(again.map(text), ['a1']);
        await settle(backend, again, done);
        assert.equal(await next(backend), 'a2');
      });

      it(`waits for a snoozed job with '${onFailure}'`, async (t) => {
        const bench = await capable(open, t, 'keys');
        if (!bench) return;
        const { backend, advance } = bench;
        await backend.configure('q', { keys: { onFailure } });
        await add(backend, line('a', 2));
        const [a1] = await claim(backend);
        assert.ok(a1);
        await settle(backend, [a1], { kind: 'snoozed', runAt: a1.addedAt + 100 });
        assert.equal(await next(backend), '');
        await advance(100);
        assert.equal(await next(backend), 'a1');
      });
    }

    it("goes on with 'skip', and the retry takes its turn when it is due", async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { keys: { onFailure: 'skip' } });
      await add(backend, line('a', 3));
      const [a1] = await claim(backend);
      assert.ok(a1);
      await settle(backend, [a1], failed(a1.addedAt + 100));
      const a2 = await claim(backend);
      assert.deepEqual(a2.map(text), ['a2']);
      await advance(100);
      assert.equal(await next(backend), '');
      await settle(backend, a2, { kind: 'snoozed', runAt: 4e12 });
      const again = await claim(backend);
      assert.deepEqual(again.map(text), ['a1']);
      await settle(backend, again, done);
      assert.equal(await next(backend), 'a3');
    });

    it("goes on after a discarded job with 'block'", async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, line('a', 3));
      await settle(backend, await claim(backend), failed());
      const a2 = await claim(backend);
      assert.deepEqual(a2.map(text), ['a2']);
      await settle(backend, a2, { kind: 'discarded', error: failure() });
      assert.equal(await next(backend), 'a3');
    });

    for (const kind of ['retry', 'remove'] as const) {
      it(`stands still after a discarded job with 'park' until somebody says ${kind}`, async (t) => {
        const bench = await capable(open, t, 'keys');
        if (!bench) return;
        const { backend } = bench;
        await backend.configure('q', { keys: { onFailure: 'park' } });
        const [id] = await add(backend, [...line('a', 2), ...line('b', 1)]);
        const [a1] = await claim(backend, 1);
        assert.ok(a1);
        await settle(backend, [a1], failed());
        assert.equal(await next(backend), 'b1');
        assert.equal(await act(backend, { kind }, { ids: [id as string] }), 1);
        assert.equal(await next(backend), kind === 'retry' ? 'a1' : 'a2');
      });
    }

    it("goes on with 'park' after a job was cancelled, or discarded from outside", async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { onFailure: 'park' } });
      const [, second] = await add(backend, line('a', 3));
      await settle(backend, await claim(backend), { kind: 'cancelled', error: failure() });
      assert.equal(await act(backend, { kind: 'discard', reason: 'no' }, { ids: [second as string] }), 1);
      assert.equal(await next(backend), 'a3');
    });

    it('goes on when the failed job that holds it up is cancelled, discarded or removed', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      const ids = await add(backend, line('a', 4));
      const actions = [{ kind: 'cancel', reason: '' }, { kind: 'discard', reason: '' }, { kind: 'remove' }] as const;
      for (const [i, action] of actions.entries()) {
        const held = await claim(backend);
        assert.deepEqual(held.map(text), [`a${i + 1}`]);
        await settle(backend, held, failed(4e12));
        assert.equal(await next(backend), '');
        assert.equal(await act(backend, action, { ids: [ids[i] as string] }), 1);
      }
      assert.equal(await next(backend), 'a4');
    });

    it('gives a retried job its old place', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      const [id] = await add(backend, line('a', 2));
      await settle(backend, await claim(backend), failed(4e12));
      assert.equal(await act(backend, { kind: 'retry' }, { ids: [id as string] }), 1);
      assert.equal(await next(backend), 'a1');
    });

    it('gives its slot back with a job that is handed back or rescued, which is its next one again', async (t) => {
      const bench = await capable(open, t, 'keys', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      await add(backend, line('a', 2));
      await settle(backend, await claim(backend), { kind: 'returned' });
      assert.equal(await next(other), 'a1');
      await other.leave('a');
      assert.equal(await next(backend, 100, 'b'), 'a1');
      await advance(1000);
      assert.equal(await other.rescue(1000), 1);
      const held = await claim(other, 100, { id: 'c' });
      assert.deepEqual(held.map(text), ['a1']);
      await settle(other, held, done, 'c');
      assert.equal(await next(other, 100, 'c'), 'a2');
    });

    it('is not held up by a job whose first time has not come', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      const [id] = await add(backend, [job('now', { key: 'k' })]);
      const runAt = (await known(backend, id)).addedAt + 100;
      await add(backend, [job('later', { key: 'k', runAt }), job('behind', { key: 'k' })]);
      await settle(backend, await claim(backend), done);
      await advance(100);
      assert.equal(await next(backend), 'later');
    });

    it('runs as many jobs as its concurrency says, and all with none', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { concurrency: 2 } });
      await add(backend, line('a', 6));
      const held = await claim(backend);
      assert.deepEqual(held.map(text), ['a1', 'a2']);
      const [a1, a2] = held;
      assert.ok(a1 && a2);
      await settle(backend, [a1], failed(4e12));
      assert.equal(await next(backend), '', 'a failed job holds its slot');
      await settle(backend, [a2], done);
      assert.equal(await next(backend), 'a3');
      await backend.configure('q', { keys: { concurrency: 3 } });
      assert.equal(await next(backend), 'a4');
      await backend.configure('q', { keys: { concurrency: null } });
      assert.equal(await next(backend), 'a5 a6');
    });

    it('lets a job that is due again run in the slot it holds', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { keys: { concurrency: 2 } });
      await add(backend, line('a', 4));
      const [a1, a2] = await claim(backend);
      assert.ok(a1 && a2);
      await settle(backend, [a1], failed(a1.addedAt + 10));
      await advance(10);
      assert.equal(await next(backend), 'a1');
      assert.equal(await next(backend), '');
    });

    it('takes a change of `onFailure` with the next claim', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, line('a', 3));
      await settle(backend, await claim(backend), failed(4e12));
      assert.equal(await next(backend), '');
      await backend.configure('q', { keys: { onFailure: 'skip' } });
      assert.equal(await next(backend), 'a2');
    });

    it('starts no more jobs than its rate allows, and the claim says when the next one may', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { keys: { concurrency: null, rate: { limit: 2, per: 1000 } } });
      await add(backend, [...line('a', 5), ...line('b', 1)]);
      const held = await claim(backend);
      assert.deepEqual(held.map(text).toSorted(), ['a1', 'a2', 'b1']);
      const start = held[0]?.addedAt as number;
      const ask = () => backend.claim({ server: 'a', queues: ['q'], limit: 10 });
      assert.deepEqual(await ask(), { jobs: [], nextAt: start + 500 });
      await advance(499);
      assert.equal((await ask()).jobs.length, 0);
      await advance(1);
      const more = await ask();
      assert.deepEqual([more.jobs.map(text), more.nextAt], [['a3'], start + 1000]);
      await advance(5000);
      assert.deepEqual((await ask()).jobs.map(text), ['a4', 'a5']);
    });

    it('takes a retry out of its rate too', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { rate: { limit: 1, per: 1000 } } });
      await add(backend, line('a', 1));
      const [a1] = await claim(backend);
      assert.ok(a1);
      await settle(backend, [a1], failed(0));
      const result = await backend.claim({ server: 'a', queues: ['q'], limit: 1 });
      assert.deepEqual(result, { jobs: [], nextAt: a1.addedAt + 1000 });
    });

    it('goes on after its job was cancelled while it ran, and after it was quarantined', async (t) => {
      const bench = await capable(open, t, 'keys', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      await backend.configure('q', { maxCrashes: 1 });
      const [first] = await add(backend, line('a', 3));
      await claim(backend);
      await act(other, { kind: 'cancel', reason: '' }, { ids: [first as string] });
      assert.equal(await next(other, 9, 'b'), '', 'it runs until its server says otherwise');
      await backend.leave('a');
      assert.equal(await next(other, 9, 'b'), 'a2');
      await advance(1000);
      await backend.rescue(1000);
      assert.equal(await next(other, 9, 'c'), 'a3');
    });

    it("stands still after a quarantined job with 'park'", async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { maxCrashes: 1, keys: { onFailure: 'park' } });
      const [first] = await add(backend, line('a', 2));
      await claim(backend);
      await advance(1000);
      await backend.rescue(1000);
      assert.equal(await next(backend), '');
      assert.equal(await act(backend, { kind: 'retry' }, { ids: [first as string] }), 1);
      assert.equal(await next(backend), 'a1');
    });
  });
}
