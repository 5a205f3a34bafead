/** Conformance: how running jobs end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { maxErrors } from '../backend.ts';
import { add, claim, counts, failure, job, list, type Open, settle, text } from './support.ts';

export function settling(open: Open): void {
  describe('settle', () => {
    it('removes a completed job and counts it', async (t) => {
      const { backend, other } = await open(t, 2);
      const [id] = await add(backend, [job('1'), job('2')]);
      assert.deepEqual(await settle(backend, await claim(backend, 1), { kind: 'completed' }), ['taken']);
      assert.equal(await backend.get(id as string), undefined);
      assert.deepEqual(await counts(other), { available: 1, completed: 1 });
    });

    it('lets a failed job wait until its retry, with the next attempt and its error kept', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job()]);
      const [first] = await claim(backend);
      assert.ok(first);
      const retryAt = first.addedAt + 50.5;
      assert.deepEqual(await settle(backend, [first], { kind: 'failed', error: failure(), retryAt }), ['taken']);
      const record = await backend.get(first.id);
      assert.equal(record?.state, 'retryable');
      assert.equal(record.attempt, 2);
      assert.equal(record.runAt, first.addedAt + 51);
      assert.equal(record.server, undefined);
      assert.deepEqual(record.errors, [failure()]);
      await advance(50);
      assert.deepEqual(await claim(backend), []);
      await advance(1);
      const [second] = await claim(backend);
      assert.equal(second?.attempt, 2);
      assert.ok(second.claim > first.claim);
    });

    it('discards a job that failed for the last time, with the history of all its errors', async (t) => {
      const { backend, advance } = await open(t);
      const [id] = await add(backend, [job()]);
      await settle(backend, await claim(backend), { kind: 'failed', error: failure(1), retryAt: 0 });
      await advance(7);
      const claimed = await claim(backend);
      await settle(backend, claimed, { kind: 'failed', error: { attempt: 2, at: 2000, message: 'ünd “this”' } });
      const record = await backend.get(id as string);
      assert.equal(record?.state, 'discarded');
      assert.equal(record.attempt, 2);
      assert.equal(record.endedAt, record.addedAt + 7);
      assert.deepEqual(record.errors, [failure(1), { attempt: 2, at: 2000, message: 'ünd “this”' }]);
      assert.deepEqual(await claim(backend), []);
    });

    it('ends a discarded and a cancelled job at once, whatever attempts are left', async (t) => {
      const { backend } = await open(t);
      const ids = await add(backend, [job('1'), job('2')]);
      const [one, two] = await claim(backend);
      assert.ok(one && two);
      await backend.settle('a', [
        { id: one.id, claim: one.claim, ending: { kind: 'discarded', error: failure() } },
        { id: two.id, claim: two.claim, ending: { kind: 'cancelled', error: failure() } },
      ]);
      const records = await list(backend, { ids });
      assert.deepEqual(
        records.map(({ state, attempt, errors }) => ({ state, attempt, errors })),
        [
          { state: 'discarded', attempt: 1, errors: [failure()] },
          { state: 'cancelled', attempt: 1, errors: [failure()] },
        ],
      );
      assert.deepEqual(await counts(backend), { discarded: 1, cancelled: 1 });
    });

    it('brings a snoozed job back at its moment; it costs no attempt', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job()]);
      const [first] = await claim(backend);
      assert.ok(first);
      await settle(backend, [first], { kind: 'snoozed', runAt: first.addedAt + 100 });
      assert.deepEqual(await counts(backend), { scheduled: 1 });
      await advance(99);
      assert.deepEqual(await claim(backend), []);
      await advance(1);
      const [second] = await claim(backend);
      assert.equal(second?.attempt, 1);
      assert.equal(second.crashes, 0);
    });

    it('puts a returned job back into its old place; it costs no attempt', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job('1'), job('2'), job('3')]);
      const held = await claim(backend, 2);
      await advance(10);
      await settle(backend, held, { kind: 'returned' });
      const again = await claim(backend);
      assert.deepEqual(again.map(text), ['1', '2', '3']);
      assert.deepEqual(
        again.map(({ attempt, crashes }) => attempt + crashes),
        [1, 1, 1],
      );
    });

    it('takes endings of every kind in one call, each for its own job', async (t) => {
      const { backend } = await open(t);
      await add(
        backend,
        Array.from({ length: 7 }, (_, i) => job(String(i))),
      );
      const jobs = await claim(backend, 6);
      const endings = [
        { kind: 'completed' },
        { kind: 'failed', error: failure(), retryAt: 4e12 },
        { kind: 'snoozed', runAt: 4e12 },
        { kind: 'returned' },
        { kind: 'discarded', error: failure() },
        { kind: 'cancelled', error: failure() },
      ] as const;
      const outcomes = jobs.map(({ id, claim }, i) => ({ id, claim, ending: endings[i] as (typeof endings)[number] }));
      assert.deepEqual(
        await backend.settle('a', outcomes),
        outcomes.map(() => 'taken'),
      );
      const expected = { completed: 1, retryable: 1, scheduled: 1, available: 2, discarded: 1, cancelled: 1 };
      assert.deepEqual(await counts(backend), expected);
    });

    it('is stale the second time, for a job of another server, and for one nobody knows', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1'), job('2')]);
      const [one] = await claim(backend, 1);
      const [two] = await claim(backend, 1, { id: 'b' });
      assert.ok(one && two);
      const done = { kind: 'completed' } as const;
      assert.deepEqual(await settle(backend, [one, two, one], done), ['taken', 'stale', 'stale']);
      assert.deepEqual(await settle(backend, [one], { kind: 'returned' }), ['stale']);
      assert.deepEqual(await settle(backend, [{ ...one, id: 'no such id' }], done), ['stale']);
      assert.deepEqual(await settle(backend, [two], done, 'no such server'), ['stale']);
      assert.deepEqual(await counts(backend), { running: 1, completed: 1 });
    });

    it('is stale with the token of an earlier claim, also by the same server', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()]);
      const [first] = await claim(backend);
      assert.ok(first);
      await settle(backend, [first], { kind: 'returned' });
      const [second] = await claim(backend);
      assert.ok(second);
      assert.deepEqual(await settle(backend, [first], { kind: 'completed' }), ['stale']);
      assert.deepEqual(await settle(backend, [second], { kind: 'completed' }), ['taken']);
    });

    it(`keeps the last ${maxErrors} errors of a job`, async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job('', { maxAttempts: 1000 })]);
      for (let attempt = 1; attempt <= maxErrors + 1; attempt++) {
        await settle(backend, await claim(backend), { kind: 'failed', error: failure(attempt), retryAt: 0 });
      }
      const errors = (await backend.get(id as string))?.errors ?? [];
      assert.equal(errors.length, maxErrors);
      assert.equal(errors[0]?.attempt, 2);
      assert.equal(errors.at(-1)?.attempt, maxErrors + 1);
    });

    it('refuses a call with a moment that is none whole', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1'), job('2')]);
      const [one, two] = await claim(backend);
      assert.ok(one && two);
      const call = backend.settle('a', [
        { id: one.id, claim: one.claim, ending: { kind: 'completed' } },
        { id: two.id, claim: two.claim, ending: { kind: 'snoozed', runAt: Number.NaN } },
      ]);
      await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' });
      assert.deepEqual(await counts(backend), { running: 2 });
    });
  });
}
