/** Conformance: servers that die with a job, and the job that kills them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { probation } from '../settings.ts';
import type { Bench, Open } from './support.ts';
import { act, add, capable, claim, counts, failure, job, known, server, settle, text } from './support.ts';

/** Every waiting job of `q` is claimed, and its server dies. */
async function crash({ backend, advance }: Bench): Promise<number> {
  await claim(backend);
  await advance(1000);
  return backend.rescue(1000);
}

export function crashing(open: Open): void {
  describe('a crash', () => {
    it('is in the history of the job, with its attempt, and costs none', async (t) => {
      const bench = await open(t, 2);
      const { backend, other } = bench;
      const [id] = await add(backend, [job('', { maxAttempts: 1 })]);
      assert.equal(await crash(bench), 1);
      const record = await known(other, id);
      assert.deepEqual([record.state, record.crashes, record.attempt, record.server], ['available', 1, 1, undefined]);
      const [error] = record.errors;
      assert.deepEqual([error?.attempt, error?.at, error?.code], [1, record.addedAt + 1000, 'MILLRACE_SERVER_DIED']);
      assert.equal(record.errors.length, 1);
    });

    it('that is the last but one allowed puts the job off: whatever else kills servers may be over by then', async (t) => {
      const bench = await open(t, 2);
      const { backend, other, advance } = bench;
      await backend.configure('q', { maxCrashes: 2 });
      const [id] = await add(backend, [job('', { maxAttempts: 1 })]);
      assert.equal(await crash(bench), 1);
      const { state, crashes, attempt, runAt, addedAt, errors } = await known(other, id);
      assert.deepEqual([state, crashes, attempt, runAt], ['retryable', 1, 1, addedAt + 1000 + probation]);
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['MILLRACE_SERVER_DIED'],
      );
      await backend.beat(server());
      assert.deepEqual(await backend.claim({ server: 'a', queues: ['q'], limit: 1 }), { jobs: [], nextAt: runAt });
      await advance(probation);
      assert.equal((await claim(other)).length, 1);
    });

    it('before the last chance of a job holds up its key as a failure does', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend, advance } = bench;
      for (const onFailure of ['block', 'skip'] as const) {
        await backend.configure(onFailure, { maxCrashes: 2, keys: { onFailure } });
        await add(
          backend,
          ['1', '2'].map((text) => job(text, { queue: onFailure, key: 'k' })),
        );
      }
      const next = async () => (await claim(backend, 5, { queues: ['block', 'skip'] })).map(text);
      assert.deepEqual(await next(), ['1', '1']);
      await advance(1000);
      assert.equal(await backend.rescue(1000), 2);
      assert.deepEqual(await next(), ['2'], "with 'skip'");
      await advance(probation);
      assert.deepEqual(await next(), ['1'], "with 'block'");
    });

    it('too many quarantines the job: kept with the reason, given to nobody', async (t) => {
      const bench = await open(t, 2);
      const { backend, other } = bench;
      const [id] = await add(backend, [job()]);
      for (let i = 1; i <= 3; i++) {
        assert.equal((await known(backend, id)).state, i < 3 ? 'available' : 'retryable');
        if (i === 3) await bench.advance(probation);
        assert.equal(await crash(bench), 1);
      }
      const record = await known(other, id);
      assert.deepEqual([record.state, record.crashes, record.attempt], ['quarantined', 3, 1]);
      assert.equal(record.endedAt, record.addedAt + 3000 + probation);
      assert.equal(record.errors.at(-1)?.code, 'MILLRACE_JOB_QUARANTINED');
      assert.deepEqual(await claim(backend), []);
      assert.deepEqual(await counts(other), { quarantined: 1 });
    });

    it('quarantines at the number that the queue was given', async (t) => {
      const bench = await open(t);
      const { backend } = bench;
      await backend.configure('q', { maxCrashes: 1 });
      await backend.configure('r', { maxCrashes: 5 });
      await add(backend, [job()]);
      const [id] = await add(backend, [job('', { queue: 'r' })]);
      await claim(backend, 5, { queues: ['r'] });
      await crash(bench);
      assert.deepEqual(await counts(backend), { quarantined: 1 });
      assert.equal((await known(backend, id)).state, 'available');
    });

    it('counts through retries, apart from attempts', async (t) => {
      const bench = await open(t);
      const { backend, advance } = bench;
      const [id] = await add(backend, [job()]);
      await crash(bench);
      await settle(backend, await claim(backend), { kind: 'failed', error: failure(), retryAt: 0 });
      await crash(bench);
      const record = await known(backend, id);
      assert.deepEqual([record.state, record.crashes, record.attempt], ['retryable', 2, 2]);
      await advance(probation);
      await crash(bench);
      assert.equal((await known(backend, id)).state, 'quarantined');
    });

    it('does not count for a server that leaves with the job in hand', async (t) => {
      const { backend } = await open(t);
      await backend.configure('q', { maxCrashes: 1 });
      const [id] = await add(backend, [job()]);
      await claim(backend);
      await backend.leave('a');
      const record = await known(backend, id);
      assert.deepEqual([record.state, record.crashes, record.errors], ['available', 0, []]);
    });

    it('too many is undone only when that is meant: by the state or the id', async (t) => {
      const bench = await open(t);
      const { backend } = bench;
      await backend.configure('q', { maxCrashes: 1 });
      const [one, two] = await add(backend, [job(), job()]);
      assert.equal(await crash(bench), 2);
      assert.equal(await act(backend, { kind: 'retry' }), 0);
      assert.equal(await act(backend, { kind: 'retry' }, { queue: 'q', name: 'work' }), 0);
      assert.equal(await act(backend, { kind: 'retry' }, { ids: [one as string] }), 1);
      assert.equal(await act(backend, { kind: 'retry' }, { states: ['quarantined'] }), 1);
      const record = await known(backend, two);
      assert.deepEqual([record.state, record.crashes, record.attempt], ['available', 0, 1]);
      assert.equal(record.errors.at(-1)?.code, 'MILLRACE_JOB_QUARANTINED');
      assert.equal((await claim(backend)).length, 2);
    });
  });
}
