/** Conformance: looking at jobs, and acting on them from outside. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import type { JobFilter, Page } from '../filter.ts';
import { act, add, claim, counts, failure, job, list, type Open, settle, text } from './support.ts';

/** One job in every state that is kept, the state being its payload. */
async function oneOfEach(backend: Backend): Promise<Record<string, string>> {
  const names = ['discarded', 'cancelled', 'retryable', 'running'];
  const ids = await add(
    backend,
    names.map((name) => job(name)),
  );
  const [discarded, cancelled, retryable] = await claim(backend);
  assert.ok(discarded && cancelled && retryable);
  await settle(backend, [discarded], { kind: 'discarded', error: failure() });
  await settle(backend, [cancelled], { kind: 'cancelled', error: failure() });
  await settle(backend, [retryable], { kind: 'failed', error: failure(), retryAt: 4e12 });
  const more = await add(backend, [job('scheduled', { runAt: 4e12 }), job('available')]);
  const all = [...ids, ...more];
  return Object.fromEntries([...names, 'scheduled', 'available'].map((name, i) => [name, all[i] as string]));
}

const waiting = ['scheduled', 'available', 'retryable'] as const;
const one = { scheduled: 1, available: 1, running: 1, retryable: 1, discarded: 1, cancelled: 1 };

export function managing(open: Open): void {
  describe('seen from outside', () => {
    it('every job is in the state that it is in, and the counts are exact', async (t) => {
      const { backend, other } = await open(t, 2);
      const ids = await oneOfEach(backend);
      for (const [state, id] of Object.entries(ids)) assert.equal((await other.get(id))?.state, state);
      assert.deepEqual(await counts(backend), one);
      assert.deepEqual(await counts(other), one);
      assert.equal((await other.get(ids.running as string))?.server, 'a');
    });

    it('a job that does not exist is undefined', async (t) => {
      const { backend } = await open(t);
      assert.equal(await backend.get('no such id'), undefined);
      assert.equal(await backend.get(''), undefined);
    });

    it('list gives what matches all of the filter, oldest first, up to its limit', async (t) => {
      const { backend } = await open(t);
      const ids = await add(backend, [
        job('1', { name: 'x' }),
        job('2', { name: 'y', priority: 0 }),
        job('3', { name: 'x', queue: 'r' }),
        job('4', { name: 'x', runAt: 4e12 }),
      ]);
      const found = async (filter: JobFilter, page?: Page) => (await list(backend, filter, page)).map(text).join('');
      assert.equal(await found({}), '1234');
      assert.equal(await found({}, { limit: 2 }), '12');
      assert.equal(await found({ queue: 'q' }), '124');
      assert.equal(await found({ name: 'x' }), '134');
      assert.equal(await found({ name: 'x', queue: 'q', states: ['available'] }), '1');
      assert.equal(await found({ states: ['scheduled', 'running'] }), '4');
      assert.equal(await found({ ids: [ids[2] as string, ids[0] as string, 'no such id'] }), '13');
      assert.equal((await found({ ids: [] })) + (await found({ states: [] })) + (await found({ queue: 'none' })), '');
    });

    it('list gives 100 jobs when it is not told how many', async (t) => {
      const { backend } = await open(t);
      await add(
        backend,
        Array.from({ length: 101 }, () => job()),
      );
      assert.equal((await list(backend)).length, 100);
    });

    it('retry makes waiting and ended jobs available now; ended ones start over', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      const ids = await oneOfEach(backend);
      await advance(10);
      assert.equal(await act(other, { kind: 'retry' }), 4);
      assert.deepEqual(await counts(backend), { available: 5, running: 1 });
      const retried = await backend.get(ids.discarded as string);
      assert.deepEqual([retried?.attempt, retried?.crashes, retried?.endedAt], [1, 0, undefined]);
      assert.equal(retried?.runAt, (retried?.addedAt ?? 0) + 10);
      assert.deepEqual(retried?.errors, [failure()]);
      assert.equal((await backend.get(ids.retryable as string))?.attempt, 2);
      assert.equal((await claim(other, 10, { id: 'b' })).length, 5);
    });

    it('cancel ends waiting jobs with its reason, and leaves the others alone', async (t) => {
      const { backend, other, advance } = await open(t, 2);
      const ids = await oneOfEach(backend);
      await advance(10);
      assert.equal(await act(other, { kind: 'cancel', reason: 'not needed' }, { states: waiting }), 3);
      assert.deepEqual(await counts(backend), { running: 1, discarded: 1, cancelled: 4 });
      const cancelled = await backend.get(ids.available as string);
      assert.deepEqual(
        cancelled?.errors.map(({ message }) => message),
        ['not needed'],
      );
      assert.equal(cancelled?.endedAt, (cancelled?.addedAt ?? 0) + 10);
      assert.deepEqual(await claim(backend), []);
    });

    it('remove takes away what is not running', async (t) => {
      const { backend, other } = await open(t, 2);
      const ids = await oneOfEach(backend);
      assert.equal(await act(other, { kind: 'remove' }, { states: ['discarded', 'running'] }), 1);
      assert.equal(await backend.get(ids.discarded as string), undefined);
      assert.equal(await act(other, { kind: 'remove' }), 4);
      assert.deepEqual(await counts(backend), { running: 1 });
      assert.deepEqual(await claim(backend), []);
    });

    it('retry, cancel and remove touch only what matches', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job('1', { name: 'x' }), job('2'), job('3', { queue: 'r' })]);
      assert.equal(await act(backend, { kind: 'cancel', reason: '' }, { name: 'x' }), 1);
      assert.equal(await act(backend, { kind: 'remove' }, { queue: 'r' }), 1);
      assert.equal(await act(backend, { kind: 'cancel', reason: '' }, { ids: [] }), 0);
      assert.equal(await act(backend, { kind: 'retry' }, { ids: [id as string], queue: 'q' }), 1);
      assert.deepEqual((await claim(backend)).map(text), ['2', '1'].toSorted());
    });

    it('the job ids of another store are nobody here', async (t) => {
      const { backend } = await open(t);
      const elsewhere = await open(t);
      const [id] = await add(elsewhere.backend, [job()]);
      await add(backend, [job()]);
      assert.equal(await backend.get(id as string), undefined);
      assert.equal(await act(backend, { kind: 'remove' }, { ids: [id as string] }), 0);
    });
  });
}
