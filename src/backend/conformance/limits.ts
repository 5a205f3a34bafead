/** Conformance: what a queue is told to do, by anybody, for all servers at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import { changed, defaultSettings, type SettingsChange } from '../settings.ts';
import { add, capable, claim, counts, failure, job, type Open, server, settle, text } from './support.ts';

const jobs = (count: number, rest = {}) => Array.from({ length: count }, (_, i) => job(`${i + 1}`, rest));

const ask = async (backend: Backend, id = 'a', limit = 100, queues = ['q']) => {
  await backend.beat(server(id));
  const result = await backend.claim({ server: id, queues, limit });
  return { ...result, texts: result.jobs.map(text).join(' ') };
};

export function limits(open: Open): void {
  describe('settings', () => {
    it('are the defaults until somebody changes them, and a change leaves the rest as it was', async (t) => {
      const { backend, other } = await open(t, 2);
      assert.deepEqual(await backend.configure('q', {}), defaultSettings);
      const first: SettingsChange = { paused: true, retention: { discarded: { age: 5 } } };
      const second: SettingsChange = { maxCrashes: 5, retention: { cancelled: { count: 2 } } };
      await backend.configure('q', first);
      const expected = changed(changed(defaultSettings, first), second);
      assert.deepEqual(await other.configure('q', second), expected);
      assert.deepEqual(
        (await backend.counts()).map(({ queue, settings }) => [queue, settings]),
        [['q', expected]],
      );
    });

    it('that make no sense change nothing', async (t) => {
      const { backend } = await open(t);
      const wrong = [
        { paused: 1 },
        { concurrency: 0 },
        { keys: { onFailure: 'stop' } },
        { rate: { limit: 0, per: 1 } },
      ];
      for (const change of wrong) {
        const call = backend.configure('q', { maxCrashes: 9, ...change } as SettingsChange);
        await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' }, JSON.stringify(change));
      }
      const unknown = backend.configure('q', { speed: 1 } as SettingsChange);
      await assert.rejects(unknown, { code: 'MILLRACE_OPTION_UNKNOWN' });
      await assert.rejects(backend.configure('', {}), { code: 'MILLRACE_OPTION_INVALID' });
      assert.deepEqual(await backend.configure('q', {}), defaultSettings);
    });
  });

  describe('the limits of a queue', () => {
    it('bound how many of its jobs run at once, over all servers', async (t) => {
      const bench = await capable(open, t, 'limits', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.configure('q', { concurrency: 3 });
      await add(backend, jobs(6));
      const held = (await ask(backend, 'a', 2)).jobs;
      assert.equal((await ask(other, 'b')).texts, '3');
      assert.deepEqual(await ask(other, 'b'), { jobs: [], texts: '' });
      await settle(backend, held.slice(0, 1), { kind: 'completed' });
      await settle(backend, held.slice(1), { kind: 'failed', error: failure(), retryAt: 4e12 });
      assert.equal((await ask(other, 'b')).texts, '4 5');
      assert.deepEqual(await counts(backend), { available: 1, running: 3, retryable: 1, completed: 1 });
    });

    it('hold at once when they are changed, also below what runs', async (t) => {
      const bench = await capable(open, t, 'limits', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await add(backend, jobs(6));
      const held = await claim(backend, 3);
      await other.configure('q', { concurrency: 2 });
      assert.equal((await ask(backend)).texts, '');
      await settle(backend, held.slice(0, 2), { kind: 'completed' });
      assert.equal((await ask(backend)).texts, '4');
      await other.configure('q', { concurrency: null });
      assert.equal((await ask(backend)).texts, '5 6');
    });

    it('leave room for the queues behind it', async (t) => {
      const bench = await capable(open, t, 'limits');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { concurrency: 1 });
      await add(backend, [...jobs(3), job('r', { queue: 'r' })]);
      assert.equal((await ask(backend, 'a', 5, ['q', 'r'])).texts, '1 r');
    });

    it('bound its starts, and a claim says when the next is allowed', async (t) => {
      const bench = await capable(open, t, 'limits', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      await backend.configure('q', { rate: { limit: 10, per: 1000, burst: 3 } });
      await add(backend, jobs(9));
      const first = await ask(backend, 'a', 2);
      const start = first.jobs[0]?.addedAt as number;
      const second = await ask(other, 'b');
      assert.deepEqual([second.texts, second.nextAt], ['3', start + 100]);
      await advance(99);
      assert.deepEqual(await ask(other, 'b'), { jobs: [], texts: '', nextAt: start + 100 });
      await advance(1);
      assert.equal((await ask(other, 'b')).texts, '4');
      await advance(10_000);
      assert.equal((await ask(backend)).texts, '5 6 7');
    });

    it('count what was started before the rate is changed, and let all go without one', async (t) => {
      const bench = await capable(open, t, 'limits');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { rate: { limit: 1, per: 60_000 } });
      await add(backend, jobs(4));
      assert.equal((await ask(backend)).texts, '1');
      await backend.configure('q', { concurrency: 10 });
      assert.equal((await ask(backend)).texts, '');
      await backend.configure('q', { rate: null });
      assert.equal((await ask(backend)).texts, '2 3 4');
    });

    it('say nothing of a moment while nothing waits, and the later one while a job is not due', async (t) => {
      const bench = await capable(open, t, 'limits');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { rate: { limit: 1, per: 60_000 } });
      await add(backend, jobs(1));
      const { jobs: held, nextAt } = await ask(backend);
      assert.equal(nextAt, undefined);
      const start = held[0]?.addedAt as number;
      await add(backend, [job('later', { runAt: start + 90_000 })]);
      assert.equal((await ask(backend)).nextAt, start + 90_000);
      await add(backend, [job('soon', { runAt: start + 30_000 })]);
      assert.equal((await ask(backend)).nextAt, start + 60_000);
    });

    it('bound queue and keys together', async (t) => {
      const bench = (await capable(open, t, 'keys')) && (await capable(open, t, 'limits'));
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { concurrency: 3, keys: { concurrency: 2 } });
      await add(backend, [...jobs(4, { key: 'a' }), ...jobs(4, { key: 'b' })]);
      const held = await claim(backend);
      assert.deepEqual(held.map(({ key }) => key).toSorted(), ['a', 'a', 'b']);
    });
  });
}
