/** Conformance: one job for many adds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JobState, jobStates } from '../../job/state.ts';
import type { Backend, NewJob, Unique } from '../backend.ts';
import { act, add, capable, claim, counts, failure, job, known, list, type Open, settle, text } from './support.ts';

const alive: readonly JobState[] = ['scheduled', 'available', 'running', 'retryable'];

const unique = (rest: Partial<Unique> = {}): Unique => ({ key: 'u', mode: 'keep', states: alive, ...rest });

/** Adds one unique job; whether it is a new one, and the id that was answered. */
async function one(backend: Backend, payload: string, rule: Partial<Unique> = {}, rest: Partial<NewJob> = {}) {
  const [result] = await backend.add([{ jobs: [job(payload, { unique: unique(rule), ...rest })] }]);
  assert.ok(result?.status === 'stored');
  return { id: result.ids[0] as string, isNew: result.existing === undefined };
}

export function uniqueness(open: Open): void {
  describe('unique', () => {
    it('keeps the job that is there, and answers with it', async (t) => {
      const bench = await capable(open, t, 'unique', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const first = await one(backend, '1');
      assert.deepEqual(await one(other, '2', {}, { priority: 0 }), { id: first.id, isNew: false });
      assert.deepEqual(
        (await list(other)).map((record) => [text(record), record.priority]),
        [['1', 5]],
      );
    });

    it('compares within the queue, and by the key alone', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      await one(backend, '1');
      assert.equal((await one(backend, '2', {}, { queue: 'r' })).isNew, true);
      assert.equal((await one(backend, '3', { key: 'v' })).isNew, true);
      assert.equal((await add(backend, [job('4')])).length, 1);
      assert.deepEqual((await list(backend)).map(text), ['1', '2', '3', '4']);
    });

    it('makes one job of many in one group, and of many calls at the same time', async (t) => {
      const bench = await capable(open, t, 'unique', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const same = job('', { unique: unique() });
      const [group] = await backend.add([{ jobs: [job('x'), same, same], maxWaiting: 2 }]);
      assert.ok(group?.status === 'stored');
      assert.deepEqual(group.existing, [2]);
      assert.equal(group.ids[1], group.ids[2]);
      const calls = Array.from({ length: 20 }, (_, i) => one(i % 2 === 0 ? backend : other, '', { key: 'many' }));
      const ids = new Set((await Promise.all(calls)).map(({ id }) => id));
      assert.equal(ids.size, 1);
    });

    it('does not count a job that is there for `maxWaiting`', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      const { id } = await one(backend, '1');
      const group = { jobs: [job('2', { unique: unique() })], maxWaiting: 1 };
      assert.deepEqual(await backend.add([group]), [{ status: 'stored', ids: [id], existing: [0] }]);
    });

    it('is in the way in the states that are named, and in no others', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      const makers: Record<Exclude<JobState, 'completed' | 'quarantined'>, (key: string) => Promise<unknown>> = {
        scheduled: (key) => one(backend, '', { key }, { runAt: 4e12 }),
        available: (key) => one(backend, '', { key }, { priority: 9 }),
        running: (key) => one(backend, '', { key }).then(() => claim(backend, 1)),
        retryable: async (key) => {
          await one(backend, '', { key });
          return settle(backend, await claim(backend, 1), { kind: 'failed', error: failure(), retryAt: 4e12 });
        },
        discarded: async (key) => {
          await one(backend, '', { key });
          return settle(backend, await claim(backend, 1), { kind: 'discarded', error: failure() });
        },
        cancelled: async (key) => {
          await one(backend, '', { key });
          return settle(backend, await claim(backend, 1), { kind: 'cancelled', error: failure() });
        },
      };
      for (const [state, make] of Object.entries(makers)) {
        await make(state);
        const others = jobStates.filter((each) => each !== state);
        assert.equal((await one(backend, '', { key: state, states: [state as JobState] })).isNew, false, state);
        assert.equal((await one(backend, '', { key: state, states: others }, { runAt: 4e12 })).isNew, true, state);
        await act(backend, { kind: 'remove' }, { states: ['available', 'scheduled'] });
      }
    });

    it('is over when the job completed, was removed, or ended in a state that is not named', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      await one(backend, '1');
      await settle(backend, await claim(backend), { kind: 'completed' });
      const second = await one(backend, '2');
      assert.equal(second.isNew, true);
      await act(backend, { kind: 'remove' }, { ids: [second.id] });
      const third = await one(backend, '3');
      assert.equal(third.isNew, true);
      await act(backend, { kind: 'cancel', reason: 'no' }, { ids: [third.id] });
      assert.equal((await one(backend, '4')).isNew, true);
    });

    it('counts a completed job whose record is kept, where that state is named', async (t) => {
      const bench = (await capable(open, t, 'unique')) && (await capable(open, t, 'results'));
      if (!bench) return;
      const { backend } = bench;
      const { id } = await one(backend, '1', {}, { keepFor: 1000 });
      await settle(backend, await claim(backend), { kind: 'completed' });
      assert.deepEqual(await one(backend, '2', { states: ['completed'] }), { id, isNew: false });
      assert.equal((await one(backend, '3')).isNew, true);
    });

    it('holds for its period from the add on, whatever became of the job', async (t) => {
      const bench = await capable(open, t, 'unique', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      const rule = { states: [], period: 1000 };
      const { id } = await one(backend, '1', rule);
      await advance(500);
      assert.deepEqual(await one(other, '2', rule), { id, isNew: false });
      await settle(backend, await claim(backend), { kind: 'completed' });
      assert.equal(await backend.get(id), undefined);
      await advance(499);
      assert.deepEqual(await one(other, '3', rule), { id, isNew: false });
      await advance(1);
      const next = await one(other, '4', rule);
      assert.equal(next.isNew, true);
      // Removing leaves no trace, so there is nothing to hold a period.
      assert.equal(await act(backend, { kind: 'remove' }, { ids: [next.id] }), 1);
      assert.equal((await one(other, '5', rule)).isNew, true);
    });

    it('holds no longer than the state when the period is over before, and tidying changes nothing of it', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend, advance } = bench;
      const rule = { period: 1000 };
      const { id } = await one(backend, '1', rule);
      await advance(5000);
      while ((await backend.tidy()) > 0);
      assert.deepEqual(await one(backend, '2', rule), { id, isNew: false });
      await settle(backend, await claim(backend), { kind: 'completed' });
      assert.equal((await one(backend, '3', rule)).isNew, true);
    });

    it('replaces what waits: payload, priority, tags and headers are new, its id, time and place are not', async (t) => {
      const bench = await capable(open, t, 'unique', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const replace = { mode: 'replace' } as const;
      const first = await one(backend, '1', replace, { runAt: 4e12, tags: ['a'], headers: { a: '1' } });
      const rest = { runAt: 0, priority: 2, tags: ['b', 'c'], headers: { b: '2' } };
      assert.deepEqual(await one(other, '2', replace, rest), { id: first.id, isNew: false });
      const record = await known(backend, first.id);
      assert.equal(text(record), '2');
      assert.deepEqual([record.state, record.runAt, record.priority], ['scheduled', 4e12, 2]);
      assert.deepEqual([record.tags, record.headers], [['b', 'c'], { b: '2' }]);
      await one(other, '3', replace);
      assert.deepEqual([(await known(backend, first.id)).tags, (await list(backend)).length], [undefined, 1]);
    });

    it('replaces a job that is available, which is then served by its new priority', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [job('other')]);
      await one(backend, '1', { mode: 'replace' }, { priority: 9 });
      await one(backend, '2', { mode: 'replace' }, { priority: 0 });
      assert.deepEqual((await claim(backend)).map(text), ['2', 'other']);
    });

    it('debounces what waits: its time is that of the new one too', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend, advance } = bench;
      const debounce = { mode: 'debounce' } as const;
      const first = await one(backend, '1', debounce);
      const start = (await known(backend, first.id)).addedAt;
      for (const [payload, runAt] of [
        ['2', start + 100],
        ['3', start + 200],
      ] as const) {
        assert.deepEqual(await one(backend, payload, debounce, { runAt }), { id: first.id, isNew: false });
        const record = await known(backend, first.id);
        assert.deepEqual([text(record), record.state, record.runAt], [payload, 'scheduled', runAt]);
      }
      await advance(199);
      assert.deepEqual(await claim(backend), []);
      await one(backend, '4', debounce);
      assert.deepEqual((await claim(backend)).map(text), ['4']);
      assert.equal((await known(backend, first.id)).addedAt, start);
    });

    it('leaves a job alone that runs, whatever the mode', async (t) => {
      const bench = await capable(open, t, 'unique');
      if (!bench) return;
      const { backend } = bench;
      const { id } = await one(backend, '1');
      await claim(backend);
      for (const mode of ['keep', 'replace', 'debounce'] as const) {
        assert.deepEqual(await one(backend, '2', { mode }, { runAt: 4e12 }), { id, isNew: false });
        const record = await known(backend, id);
        assert.deepEqual([text(record), record.state], ['1', 'running']);
      }
    });

    it('is not lost and does not stay when servers die: it follows the job', async (t) => {
      const bench = await capable(open, t, 'unique', 2);
      if (!bench) return;
      const { backend, other, advance } = bench;
      const { id } = await one(backend, '1');
      await claim(backend);
      await advance(1000);
      assert.equal(await other.rescue(1000), 1);
      assert.deepEqual(await one(other, '2'), { id, isNew: false });
      await settle(other, await claim(other, 1, { id: 'b' }), { kind: 'completed' }, 'b');
      assert.equal((await one(other, '3')).isNew, true);
      assert.deepEqual(await counts(other), { available: 1, completed: 1 });
    });
  });
}
