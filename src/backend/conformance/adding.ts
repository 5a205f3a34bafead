/** Conformance: storing jobs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NewJob } from '../backend.ts';
import { add, claim, counts, job, list, type Open, settle, text } from './support.ts';

export function adding(open: Open): void {
  describe('add', () => {
    it('answers every group with the ids of its jobs, in order of arrival', async (t) => {
      const { backend } = await open(t);
      const results = await backend.add([{ jobs: [job('1'), job('2')] }, { jobs: [] }, { jobs: [job('3')] }]);
      const ids = results.map((result) => (result.status === 'stored' ? result.ids : assert.fail(result.status)));
      assert.deepEqual(
        ids.map((list) => list.length),
        [2, 0, 1],
      );
      assert.deepEqual(ids.flat(), ids.flat().toSorted());
      assert.deepEqual((await list(backend)).map(text), ['1', '2', '3']);
      assert.deepEqual(
        (await list(backend)).map(({ id }) => id),
        ids.flat(),
      );
    });

    it('keeps every payload byte for byte', async (t) => {
      const { backend, other } = await open(t, 2);
      const every = Uint8Array.from({ length: 256 }, (_, i) => i);
      const part = Buffer.from('a view into a larger buffer').subarray(2, 6);
      const payloads = [every, new Uint8Array(0), Buffer.from([0xff, 0xfe, 0]), Buffer.alloc(1 << 20, 'é\0x'), part];
      const ids = await add(
        backend,
        payloads.map((payload) => job('', { payload })),
      );
      const claimed = await claim(other);
      assert.deepEqual(
        claimed.map(({ payload }) => Buffer.from(payload)),
        payloads.map((payload) => Buffer.from(payload)),
      );
      for (const [i, id] of ids.entries()) {
        assert.deepEqual(Buffer.from((await backend.get(id))?.payload ?? []), Buffer.from(payloads[i] ?? []));
      }
    });

    it('keeps every field of a job', async (t) => {
      const { backend, advance } = await open(t);
      const given = { queue: 'mail ✉', name: 'send', priority: 9, maxAttempts: 7 };
      const [id] = await add(backend, [job('{"to":1}', given)]);
      await advance(5);
      const [claimed] = await claim(backend, 1, { queues: ['mail ✉'] });
      assert.ok(claimed);
      const { addedAt, runAt, claim: token, payload, ...rest } = claimed;
      assert.deepEqual(rest, { id, ...given, attempt: 1, crashes: 0 });
      assert.equal(runAt, addedAt);
      assert.ok(token > 0 && text({ payload }) === '{"to":1}');
    });

    it('keeps a job with a moment to come scheduled, and one with a past moment available', async (t) => {
      const { backend, advance } = await open(t);
      const [first] = await add(backend, [job()]);
      const now = (await backend.get(first as string))?.addedAt as number;
      await advance(10);
      const ids = await add(backend, [
        job('a', { runAt: now + 100 }),
        job('b', { runAt: now }),
        job('c', { runAt: 0 }),
      ]);
      const states = await Promise.all(ids.map(async (id) => (await backend.get(id))?.state));
      assert.deepEqual(states, ['scheduled', 'available', 'available']);
    });

    it('refuses a group that would fill its queue beyond `maxWaiting`, and stores the others', async (t) => {
      const { backend, other } = await open(t, 2);
      const three = { jobs: [job('1'), job('2'), job('3')], maxWaiting: 4 };
      const elsewhere = { jobs: [job('x', { queue: 'roomy' })], maxWaiting: 1 };
      assert.deepEqual(
        (await backend.add([three, three, elsewhere])).map(({ status }) => status),
        ['stored', 'full', 'stored'],
      );
      assert.deepEqual(await other.add([three]), [{ status: 'full', queue: 'q', waiting: 3, limit: 4 }]);
      assert.equal((await other.add([{ jobs: [job('4')], maxWaiting: 4 }]))[0]?.status, 'stored');
      assert.deepEqual(await counts(backend), { available: 4 });
    });

    it('stores nothing of a group when one of its queues is full', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job(), job()]);
      const jobs = [job('x', { queue: 'roomy' }), job('y')];
      assert.equal((await backend.add([{ jobs, maxWaiting: 2 }]))[0]?.status, 'full');
      assert.deepEqual(await counts(backend, 'roomy'), {});
      assert.deepEqual(await counts(backend), { available: 2 });
    });

    it('counts scheduled and retryable jobs as waiting, running and ended ones not', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job('1'), job('2'), job('later', { runAt: Number.MAX_SAFE_INTEGER / 2 })]);
      const [one, two] = await claim(backend);
      const group = { jobs: [job()], maxWaiting: 2 };
      assert.ok(one && two);
      const retry = { kind: 'failed', error: { attempt: 1, at: 0, message: '' }, retryAt: 4e12 } as const;
      await settle(backend, [one], retry);
      assert.deepEqual(await backend.add([group]), [{ status: 'full', queue: 'q', waiting: 2, limit: 2 }]);
      await settle(backend, [two], { kind: 'completed' });
      await backend.act({ kind: 'cancel', reason: 'room' }, { ids: [one.id] });
      assert.equal((await backend.add([group]))[0]?.status, 'stored');
    });

    it('answers the repeat of a key with the first ids, and stores nothing', async (t) => {
      const { backend, other } = await open(t, 2);
      const once = { key: 'k', fingerprint: 'f', ttl: 1000 };
      const group = { jobs: [job('1'), job('2')], once, maxWaiting: 2 };
      const [first, again] = await backend.add([group, group]);
      assert.deepEqual(again, { ...first, status: 'repeated' });
      assert.deepEqual(await other.add([group]), [again]);
      await settle(backend, await claim(backend), { kind: 'completed' });
      assert.deepEqual(await other.add([group]), [again]);
      assert.deepEqual(await counts(backend), { completed: 2 });
    });

    it('answers another content under a key with a mismatch, and stores nothing', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job()], { once: { key: 'k', fingerprint: 'f', ttl: 1000 } });
      const other = { jobs: [job()], once: { key: 'k', fingerprint: 'g', ttl: 1000 } };
      assert.deepEqual(await backend.add([other]), [{ status: 'mismatch' }]);
      assert.deepEqual(await counts(backend), { available: 1 });
    });

    it('forgets a key after its time', async (t) => {
      const { backend, advance } = await open(t);
      const once = { key: 'k', fingerprint: 'f', ttl: 1000 };
      await add(backend, [job()], { once });
      await advance(999);
      assert.equal((await backend.add([{ jobs: [job()], once }]))[0]?.status, 'repeated');
      await advance(1);
      await add(backend, [job()], { once: { ...once, fingerprint: 'g' } });
      assert.equal((await backend.add([{ jobs: [job()], once }]))[0]?.status, 'mismatch');
    });

    it('does not remember the key of a group that was refused', async (t) => {
      const { backend } = await open(t);
      const once = { key: 'k', fingerprint: 'f', ttl: 1000 };
      assert.equal((await backend.add([{ jobs: [job()], maxWaiting: 0, once }]))[0]?.status, 'full');
      await add(backend, [job()], { once });
    });

    it('refuses a call with bad input whole', async (t) => {
      const { backend } = await open(t);
      const bad: Partial<Record<keyof NewJob, unknown>>[] = [
        { queue: '' },
        { name: 7 },
        { priority: 10 },
        { priority: 1.5 },
        { maxAttempts: 0 },
        { payload: 'text' },
        { runAt: Number.NaN },
        { queue: 'half a \ud83d' },
        { key: '' },
        { key: 'half a \ud83d' },
        { key: 'k'.repeat(256) },
        { tags: 'one' },
        { tags: [''] },
        { tags: Array.from({ length: 65 }, String) },
        { headers: { a: 1 } },
        { headers: { a: 'x'.repeat(16_384) } },
        { keepFor: 0 },
        { id: '' },
        { unique: { key: 'u', mode: 'sometimes', states: ['available'] } },
        { unique: { key: 'u', mode: 'keep', states: ['asleep'] } },
      ];
      for (const part of bad) {
        const wrong = job('', part as Partial<NewJob>);
        const call = backend.add([{ jobs: [job()] }, { jobs: [job(), wrong] }]);
        await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' }, JSON.stringify(part));
      }
      const jobs = [job()];
      const once = { key: 'k', fingerprint: 'f', ttl: 1 };
      for (const part of [{ maxWaiting: -1 }, { once: { ...once, key: '' } }, { once: { ...once, ttl: Number.NaN } }]) {
        await assert.rejects(
          backend.add([{ jobs, ...part }]),
          { code: 'MILLRACE_OPTION_INVALID' },
          JSON.stringify(part),
        );
      }
      assert.deepEqual(await list(backend), []);
    });
  });
}
