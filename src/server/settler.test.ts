import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend, Outcome } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { defineJob } from '../job/job.ts';
import { altered, setup, turn } from './fixtures/support.ts';

/** A server whose backend looks at each outcome of a call before it takes any; and the sizes of the calls. */
async function choosy(look: (outcome: Outcome) => void) {
  const clock = new VirtualClock();
  const memory: Backend = new MemoryBackend({ clock });
  const calls: number[] = [];
  const backend = altered(memory, {
    settle: async (server, outcomes) => {
      calls.push(outcomes.length);
      outcomes.forEach(look);
      return memory.settle(server, outcomes);
    },
  });
  const open = Promise.withResolvers<void>();
  const job = defineJob({
    name: 'a',
    keepFor: 60_000,
    run: async (n: number) => {
      await open.promise;
      return n;
    },
  });
  const house = await setup([job], { backend, clock, workers: 100 });
  await house.server.start();
  /** So many jobs that end in one moment, their payloads and results 0, 1, …; resolves to their ids. */
  const run = async (count: number) => {
    const handles = await house.client.enqueueMany(
      job,
      Array.from({ length: count }, (_, n) => n),
    );
    await house.seen('started', count);
    open.resolve();
    return handles.map(({ id }) => id);
  };
  return { ...house, calls, run };
}

const result = ({ ending }: Outcome) =>
  ending.kind === 'completed' && ending.result ? Number(Buffer.from(ending.result).toString()) : undefined;

describe('an outcome that the backend refuses', () => {
  it('does not hold up the others, and leaves its job discarded, with the reason', async () => {
    const look = (outcome: Outcome) => {
      if (result(outcome) === 7) throw new MillraceError('OPTION_INVALID', { option: 'x', expected: 'y', got: 7 });
    };
    const { backend, run, seen, of, calls, counted, end } = await choosy(look);
    const ids = await run(50);
    await counted('completed', 49);
    const [refused] = await seen('refused');
    assert.deepEqual([refused?.job.id, refused?.kept], [ids[7], true]);
    const record = await backend.get(ids[7] ?? '');
    assert.equal(record?.state, 'discarded');
    assert.deepEqual(
      record?.errors.map(({ attempt, code, message }) => [attempt, code, message]),
      [
        [
          1,
          'MILLRACE_OUTCOME_REFUSED',
          'the backend does not take how the job ended (completed): `x` should be y, got 7 (number)',
        ],
      ],
    );
    assert.deepEqual(of('backend-error'), []);
    assert.equal(of('refused').length, 1);
    assert.ok(calls.length < 20, `halves find it: ${calls}`);
    await end();
  });

  it('is found when there are more of them, and when the refusal is a bug', async () => {
    const bad = [0, 13, 14, 49];
    const look = (outcome: Outcome) => {
      if (bad.includes(result(outcome) ?? -1)) throw new TypeError('a bug');
    };
    const { run, seen, counted, end } = await choosy(look);
    const ids = await run(50);
    await counted('completed', 46);
    assert.deepEqual(
      (await seen('refused', 4)).map(({ job }) => job.id),
      bad.map((n) => ids[n]),
    );
    await counted('discarded', 4);
    await end();
  });

  it('is given up when not even its refusal can be stored: the job is handed back when the server stops', async () => {
    let id: string | undefined;
    const look = (outcome: Outcome) => {
      if (result(outcome) === 1) id = outcome.id;
      if (outcome.id === id) throw new TypeError('a bug');
    };
    const { backend, server, run, seen, of, counts, counted, end } = await choosy(look);
    const ids = await run(3);
    await counted('completed', 2);
    const [refused] = await seen('refused');
    assert.deepEqual([refused?.job.id, refused?.kept], [ids[1], false]);
    assert.equal((await counts()).running, 1);
    await server.stop();
    assert.equal((await backend.get(ids[1] ?? ''))?.state, 'available');
    assert.equal(of('refused').length, 1);
    await end();
  });

  it('is none when the backend is away: it is asked again, for all of them', async () => {
    let failures = 3;
    const look = () => {
      if (failures-- > 0) throw new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'a test' });
    };
    const { clock, run, seen, of, calls, counted, end } = await choosy(look);
    await run(5);
    for (let i = 1; i <= 3; i++) {
      await seen('backend-error', i);
      await clock.advance(1_000);
    }
    await counted('completed', 5);
    assert.deepEqual(calls, [5, 5, 5, 5]);
    assert.deepEqual(of('refused'), []);
    await end();
  });
});

describe('outcomes that come while others are on their way', () => {
  /** A server of two workers, with jobs that end one by one, on a backend that answers a settle when the test lets it. */
  async function slow(hint: Pick<Backend, 'ahead'>) {
    const clock = new VirtualClock();
    const memory: Backend = new MemoryBackend({ clock });
    const calls: { readonly size: number; readonly answer: () => void }[] = [];
    const settle: Backend['settle'] = async (server, outcomes) => {
      const answered = Promise.withResolvers<void>();
      calls.push({ size: outcomes.length, answer: answered.resolve });
      await answered.promise;
      return memory.settle(server, outcomes);
    };
    const ends = Array.from({ length: 6 }, () => Promise.withResolvers<void>());
    const job = defineJob({ name: 'a', run: (n: number) => ends[n]?.promise });
    const house = await setup([job], { backend: altered(memory, { settle, ...hint }), clock, workers: 6 });
    await house.server.start();
    await house.client.enqueueMany(job, [0, 1, 2, 3, 4, 5]);
    await house.seen('started', 6);
    const finish = async (...numbers: number[]) => {
      const before = house.of('completed').length;
      for (const n of numbers) ends[n]?.resolve();
      await house.seen('completed', before + numbers.length);
      await turn();
      await turn();
    };
    const sizes = () => calls.map(({ size }) => size);
    const finishAll = async () => {
      for (let i = 0; i < calls.length; i++) {
        calls[i]?.answer();
        await turn();
        await turn();
      }
      await house.counted('completed', 6);
      await house.end();
    };
    return { finish, finishAll, sizes };
  }

  it('wait for those, unless the backend says from how many on they should not', async () => {
    const plain = await slow({});
    await plain.finish(0);
    await plain.finish(1, 2, 3, 4);
    assert.deepEqual(plain.sizes(), [1]);
    await plain.finish(5);
    await plain.finishAll();
    assert.deepEqual(plain.sizes(), [1, 5]);

    const hasty = await slow({ ahead: { settle: 2 } });
    await hasty.finish(0);
    await hasty.finish(1);
    assert.deepEqual(hasty.sizes(), [1]);
    await hasty.finish(2);
    assert.deepEqual(hasty.sizes(), [1, 2]);
    await hasty.finish(3, 4, 5);
    assert.deepEqual(hasty.sizes(), [1, 2], 'never a third');
    await hasty.finishAll();
    assert.deepEqual(hasty.sizes(), [1, 2, 3]);
  });
});
