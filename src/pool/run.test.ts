import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { collect, gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { Pool, type TaskContext } from './pool.ts';

const failure = new Error('the first');

describe('Pool.run with failFast', () => {
  it('stops the intake, cancels the rest with the first error, gives every result, and throws the error', async () => {
    const pool = new Pool({ workers: 2 });
    let pulled = 0;
    const source = (function* () {
      for (;;) yield pulled++;
    })();
    const handler = (n: number, context: TaskContext) =>
      n === 0 ? turn().then(() => Promise.reject(failure)) : untilAborted(context);
    const { all, error } = await collect(pool.run(source, handler, { failFast: true, ordered: true }));
    assert.equal(error, failure);
    assert.equal(all.length, pulled);
    assert.deepEqual(
      all.map((result) => [result.index, result.status, result.status !== 'fulfilled' && result.error === failure]),
      all.map((_, n) => [n, n === 0 ? 'rejected' : 'cancelled', true]),
    );
  });

  it('throws the error also when the source had no more jobs', async () => {
    const pool = new Pool({ workers: 4 });
    const gates = [gate(), gate(), gate()];
    const reading = collect(pool.run(gates, ({ body }, context) => body(context), { failFast: true }));
    await turn();
    gates[2]?.reject(failure);
    const { all, error } = await reading;
    assert.equal(error, failure);
    assert.deepEqual(all.map(({ index, status }) => `${index} ${status}`).toSorted(), [
      '0 cancelled',
      '1 cancelled',
      '2 rejected',
    ]);
  });

  it('throws the first error, not what followed from it', async () => {
    const pool = new Pool({ workers: 3 });
    const gates = [gate({ deaf: true }), gate({ deaf: true }), gate({ deaf: true })];
    const reading = collect(pool.run(gates, ({ body }, context) => body(context), { failFast: true }));
    await turn();
    gates[1]?.reject(failure);
    await turn();
    gates[0]?.reject(new Error('the second'));
    gates[2]?.resolve();
    const { all, error } = await reading;
    assert.equal(error, failure);
    assert.deepEqual(all.map(({ status }) => status).toSorted(), ['cancelled', 'fulfilled', 'rejected']);
  });

  it('goes on after errors without it', async () => {
    const pool = new Pool({ workers: 1 });
    const { all, error } = await collect(pool.run([1, 2], (n) => (n === 1 ? Promise.reject(failure) : n)));
    assert.deepEqual([all.map(({ status }) => status), error], [['rejected', 'fulfilled'], undefined]);
  });
});

describe('Pool.run: times', () => {
  it('tells how long each job waited and how long it took', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock });
    const gates = [gate(), gate()];
    const reading = collect(pool.run(gates, ({ body }, context) => body(context), { ordered: true }));
    for (const [ms, { resolve }] of [
      [30, gates[0] as (typeof gates)[0]],
      [5, gates[1] as (typeof gates)[0]],
    ] as const) {
      await turn();
      await clock.advance(ms);
      resolve();
    }
    const { all } = await reading;
    assert.deepEqual(
      all.map(({ waited, took }) => ({ waited, took })),
      [
        { waited: 0, took: 30 },
        { waited: 30, took: 5 },
      ],
    );
  });

  it('says 0 for the run of a job that never started, and how long it had waited', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, queue: { size: 0 } });
    const over = new AbortController();
    const reading = collect(
      pool.run([1, 2], (_, context) => untilAborted(context), { signal: over.signal, ordered: true }),
    );
    await turn();
    await clock.advance(7);
    over.abort(new Error('enough'));
    const { all } = await reading;
    assert.deepEqual(
      all.map(({ status, waited, took }) => ({ status, waited, took })),
      [
        { status: 'cancelled', waited: 0, took: 7 },
        { status: 'cancelled', waited: 7, took: 0 },
      ],
    );
  });

  it('says 0 and 0 for a job that a closing pool refused', async () => {
    const clock = new VirtualClock();
    await clock.advance(1_000);
    const pool = new Pool({ workers: 1, clock });
    await pool.close();
    const { all, error } = await collect(pool.run([1, 2], () => assert.fail('must not start')));
    assert.ok(isError(error, 'STOPPED'));
    assert.deepEqual(
      all.map(({ status, waited, took }) => ({ status, waited, took })),
      [{ status: 'cancelled', waited: 0, took: 0 }],
    );
  });
});

describe('Pool.run: the source', () => {
  const badSource = () => {
    let n = 0;
    return {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false as const, value: n++ }),
        return: () => {
          throw new Error('cannot be closed');
        },
      }),
    };
  };

  it('is closed, and an error of that does not hide what cut the run', async () => {
    const pool = new Pool({ workers: 1 });
    const over = new AbortController();
    const reading = collect(pool.run(badSource(), (_, context) => untilAborted(context), { signal: over.signal }));
    await turn();
    over.abort(new Error('that is why'));
    assert.equal(((await reading).error as Error).message, 'that is why');
    const failed = await collect(pool.run(badSource(), () => Promise.reject(failure), { failFast: true }));
    assert.equal(failed.error, failure);
  });

  it('tells a reader that leaves when it cannot be closed', async () => {
    const pool = new Pool({ workers: 1 });
    const results = pool.run(badSource(), (n) => n);
    await results.next();
    await assert.rejects(results.return(), { message: 'cannot be closed' });
    assert.deepEqual(await results.next(), { done: true, value: undefined });
    assert.equal(await pool.submit(() => 'still here').done, 'still here');
  });
});

describe('A pool with a worker function', () => {
  it('runs payloads, submitted one by one or from a source', async () => {
    const storage = new AsyncLocalStorage<string>();
    const pool = new Pool({
      workers: 2,
      worker: async (n: number, { signal }: TaskContext) => {
        signal.throwIfAborted();
        if (n < 0) throw failure;
        return `${n} ${storage.getStore()}`;
      },
    });
    const one: string = await storage.run('a', () => pool.submit(1)).done;
    assert.equal(one, '1 a');
    await assert.rejects(pool.submit(-1).done, failure);
    const { all } = await collect(storage.run('b', () => pool.run([2, 3], { ordered: true })));
    assert.deepEqual(
      all.map((result) => result.status === 'fulfilled' && result.value),
      ['2 b', '3 b'],
    );
  });

  it('takes a function as a payload like any other', async () => {
    const pool = new Pool({ workers: 1, worker: (payload: () => number) => typeof payload });
    assert.equal(await pool.submit(() => 1).done, 'function');
  });

  it('passes undefined on as a payload', async () => {
    const pool = new Pool({ workers: 1, worker: (payload: undefined) => [payload] });
    assert.deepEqual(await pool.submit(undefined).done, [undefined]);
  });

  it('refuses what is no worker', () => {
    assert.throws(
      () => new Pool({ workers: 1, worker: './file.ts' as never }),
      (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'worker',
    );
  });
});

describe('The AsyncLocalStorage context of a call', () => {
  it('holds in the body on every way to it, and is that of no other task', async () => {
    const storage = new AsyncLocalStorage<string>();
    const look = async () => {
      const before = storage.getStore();
      await turn();
      return `${before} ${storage.getStore()}`;
    };
    for (const whenFull of ['wait', 'caller-runs'] as const) {
      const pool = storage.run('maker', () => new Pool({ workers: 1, queue: { size: 1, whenFull } }));
      const at = (name: string) => storage.run(name, () => pool.submit(look).done);
      assert.deepEqual(await Promise.all([at('at once'), at('queued'), at('no place'), at('again')]), [
        'at once at once',
        'queued queued',
        'no place no place',
        'again again',
      ]);
      const keyed = ['x', 'y', 'z'].map((name) => storage.run(name, () => pool.group().submit(look).done));
      assert.deepEqual(await Promise.all(keyed), ['x x', 'y y', 'z z']);
      const run = storage.run('run', () => pool.run([1, 2, 3], look));
      const { all } = await storage.run('reader', () => collect(run));
      assert.ok(all.every((result) => result.status === 'fulfilled' && result.value === 'run run'));
    }
  });

  it('holds in a body that waited for its key, its priority and a paused pool', async () => {
    const storage = new AsyncLocalStorage<number>();
    const pool = new Pool({ workers: 2 });
    pool.pause();
    const ends = Array.from({ length: 6 }, (_, n) =>
      storage.run(n, () => pool.submit(() => storage.getStore(), { key: `${n % 2}`, priority: n }).done),
    );
    pool.resume();
    assert.deepEqual(await Promise.all(ends), [0, 1, 2, 3, 4, 5]);
  });
});
