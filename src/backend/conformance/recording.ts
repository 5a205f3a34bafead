/** Conformance: what happened, for those who ask for it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import { probation } from '../settings.ts';
import { act, add, capable, claim, failure, job, type Open, settle } from './support.ts';

/** The kinds of the events behind `after`, and where to go on. */
async function kinds(backend: Backend, after?: number) {
  const { events, last } = await backend.events(after);
  return { kinds: events.map(({ kind }) => kind).join(' '), last };
}

const none = (count: number) => Array.from({ length: count }, () => job());

export function recording(open: Open): void {
  describe('events', () => {
    it('are recorded only of queues that ask for them', async (t) => {
      const bench = await capable(open, t, 'events', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await add(backend, none(1));
      const { last } = await backend.events();
      assert.deepEqual(await backend.events(), { events: [], last, missed: false });
      await other.configure('q', { events: 10 });
      await add(backend, [job(), job('', { queue: 'r' })]);
      assert.equal((await kinds(other)).kinds, 'added');
      await other.configure('q', { events: 0 });
      assert.equal((await kinds(backend)).kinds, '');
      await add(backend, none(1));
      assert.equal((await kinds(other)).kinds, '');
    });

    it('tell what happens to a job, with its attempt and the error', async (t) => {
      const bench = await capable(open, t, 'events', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      await backend.configure('q', { events: 100 });
      const [id] = await add(backend, [job('', { name: 'mail' })]);
      const [first] = await claim(backend);
      assert.ok(first);
      await advance(5);
      await backend.report('a', [{ id: first.id, claim: first.claim, progress: '50' }]);
      await settle(backend, [first], { kind: 'failed', error: failure(1, 'no ✉'), retryAt: 0 });
      await settle(backend, await claim(backend), { kind: 'completed' });
      const { events, last, missed } = await other.events();
      assert.deepEqual(
        events.map(({ kind, attempt, text }) => [kind, attempt, text]),
        [
          ['added', 1, undefined],
          ['started', 1, undefined],
          ['progress', 1, '50'],
          ['failed', 1, 'no ✉'],
          ['started', 2, undefined],
          ['completed', 2, undefined],
        ],
      );
      assert.deepEqual([last, missed], [events.at(-1)?.number, false]);
      for (const event of events) assert.deepEqual([event.queue, event.name, event.job], ['q', 'mail', id]);
      assert.deepEqual([events[1]?.at, events[3]?.at], [first.addedAt, first.addedAt + 5]);
      for (const [i, { number }] of events.entries()) assert.equal(number, (events[0]?.number ?? 0) + i);
    });

    it('have a kind for each way that a job can go', async (t) => {
      const bench = await capable(open, t, 'events');
      if (!bench) return;
      const { backend, advance } = bench;
      await backend.configure('q', { events: 100, maxCrashes: 2 });
      const [id] = await add(backend, [job('', { maxAttempts: 1 })]);
      let { last } = await backend.events();
      const expect = async (expected: string) => {
        const news = await kinds(backend, last);
        assert.equal(news.kinds, expected);
        last = news.last;
      };
      await settle(backend, await claim(backend), { kind: 'snoozed', runAt: 0 });
      await expect('started snoozed');
      await settle(backend, await claim(backend), { kind: 'returned' });
      await expect('started returned');
      await settle(backend, await claim(backend), { kind: 'discarded', error: failure() });
      await expect('started discarded');
      await act(backend, { kind: 'retry' }, { ids: [id as string] });
      await expect('retried');
      await settle(backend, await claim(backend), { kind: 'failed', error: failure() });
      await expect('started discarded');
      await act(backend, { kind: 'retry' });
      await act(backend, { kind: 'cancel', reason: 'enough' });
      assert.equal((await backend.events(last)).events.at(-1)?.text, 'enough');
      await expect('retried cancelled');
      await act(backend, { kind: 'retry' });
      await act(backend, { kind: 'discard', reason: 'no' });
      await expect('retried discarded');
      await act(backend, { kind: 'retry' });
      await claim(backend);
      await backend.leave('a');
      await expect('retried started returned');
      await claim(backend);
      await advance(1000);
      await backend.rescue(1000);
      await expect('started rescued');
      await advance(probation);
      await claim(backend);
      await advance(1000);
      await backend.rescue(1000);
      await expect('started quarantined');
      await act(backend, { kind: 'retry' }, { states: ['quarantined'] });
      await claim(backend);
      await act(backend, { kind: 'cancel', reason: 'enough' });
      await expect('retried started');
      await backend.leave('a');
      await expect('cancelled');
      await act(backend, { kind: 'remove' });
      await expect('');
    });

    it('are read on from any number, a page at a time, by any number of readers', async (t) => {
      const bench = await capable(open, t, 'events', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.configure('q', { events: 100 });
      await add(backend, none(10));
      const { events, last } = await backend.events();
      const numbers = events.map(({ number }) => number);
      assert.equal(numbers.length, 10);
      const middle = numbers[4] as number;
      const rest = await other.events(middle);
      assert.deepEqual(
        rest.events.map(({ number }) => number),
        numbers.slice(5),
      );
      const page = await other.events(middle, 2);
      assert.deepEqual([page.events.length, page.last, page.missed], [2, numbers[6], false]);
      assert.deepEqual(await other.events(last), { events: [], last, missed: false });
      assert.deepEqual(
        (await other.events(undefined, 3)).events.map(({ number }) => number),
        numbers.slice(7),
      );
      await add(backend, none(1));
      assert.equal((await kinds(other, last)).kinds, 'added');
    });

    it('older than those that are kept are dropped, and a reader who was too slow is told', async (t) => {
      const bench = await capable(open, t, 'events', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.configure('q', { events: 3 });
      await add(backend, none(1));
      const { last } = await backend.events();
      await add(backend, none(3));
      const inTime = await other.events(last);
      assert.deepEqual([inTime.events.length, inTime.missed], [3, false]);
      await add(backend, none(1));
      const late = await other.events(last);
      assert.deepEqual([late.events.length, late.missed], [3, true]);
      assert.deepEqual(await other.events(late.last), { events: [], last: late.last, missed: false });
      assert.equal((await other.events()).events.length, 3);
    });

    it('are kept by queue: a busy one does not push out those of another', async (t) => {
      const bench = await capable(open, t, 'events');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { events: 2 });
      await backend.configure('r', { events: 5 });
      await add(backend, [job('', { queue: 'r' })]);
      await add(backend, none(20));
      const { events } = await backend.events();
      assert.deepEqual(
        events.map(({ queue }) => queue),
        ['r', 'q', 'q'],
      );
    });

    it('are trimmed when the number is lowered', async (t) => {
      const bench = await capable(open, t, 'events');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { events: 10 });
      await add(backend, none(10));
      await backend.configure('q', { events: 4 });
      assert.equal((await backend.events()).events.length, 4);
    });
  });
}
