import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { Pool, type Result, type TaskContext } from './pool.ts';

const stopped = (error: unknown) => isError(error, 'STOPPED');
const invalid = (error: unknown) => isError(error, 'OPTION_INVALID');

/** A turn of the event loop: whatever can start has started. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A body that ends when the test says so, or with the signal's reason when it is aborted. */
function gate<T>() {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let started = false;
  const body = ({ signal }: TaskContext): Promise<T> => {
    started = true;
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    return promise;
  };
  return {
    body,
    resolve,
    get started() {
      return started;
    },
  };
}

/** Ends only when the test says so, whatever its signal says. */
function deafGate<T>() {
  const { promise, resolve } = Promise.withResolvers<T>();
  return { body: () => promise, resolve };
}

describe('Pool.submit', () => {
  it('tells when a submission is accepted and when it is done', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 0 } });
    const first = gate<string>();
    const moments: string[] = [];
    const a = pool.submit(first.body);
    const b = pool.submit(() => 'b');
    void a.accepted.then(() => moments.push('a accepted'));
    void a.done.then(() => moments.push('a done'));
    void b.accepted.then(() => moments.push('b accepted'));
    void b.done.then(() => moments.push('b done'));
    await turn();
    assert.deepEqual(moments, ['a accepted']);
    first.resolve('a');
    assert.deepEqual([await a.done, await b.done], ['a', 'b']);
    assert.deepEqual(moments.toSorted(), ['a accepted', 'a done', 'b accepted', 'b done']);
  });

  it('rejects with what the body threw, synchronously or not', async () => {
    const pool = new Pool({ workers: 1 });
    const thrown = new Error('thrown');
    const fail = () => {
      throw thrown;
    };
    await assert.rejects(pool.submit(fail).done, thrown);
    await assert.rejects(pool.submit(async () => fail()).done, thrown);
    assert.equal(await pool.submit(() => 'still here').done, 'still here');
  });

  it('leaves no rejection unhandled, whichever promise is looked at', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listen);
    const pool = new Pool({ workers: 1, queue: { size: 0, whenFull: 'reject' } });
    pool.submit(() => Promise.reject(new Error('nobody looks')));
    pool.submit(() => 'refused');
    pool.submit(() => 'aborted', { signal: AbortSignal.abort() });
    await turn();
    await assert.rejects(pool.submit(() => Promise.reject(new Error('done only'))).done, { message: 'done only' });
    await pool.close();
    await assert.rejects(pool.submit(() => 'closed').accepted, stopped);
    await turn();
    process.off('unhandledRejection', listen);
    assert.deepEqual(unhandled, []);
  });

  it('cancels a submission that waits for a place, and one that waits for a worker, at once', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 1 } });
    const running = gate<string>();
    pool.submit(running.body);
    const over = new AbortController();
    const queued = pool.submit(() => assert.fail('must not start'), { signal: over.signal });
    const blocked = pool.submit(() => assert.fail('must not start'), { signal: over.signal });
    await turn();
    assert.deepEqual([pool.stats().waiting, pool.stats().blocked], [1, 1]);

    over.abort(new Error('enough'));
    await assert.rejects(queued.done, { message: 'enough' });
    await assert.rejects(blocked.accepted, { message: 'enough' });
    await assert.rejects(blocked.done, { message: 'enough' });
    assert.deepEqual([pool.stats().waiting, pool.stats().blocked], [0, 0], 'their places are free');
    running.resolve('on');
    await pool.drain();
  });

  it('keeps the worker of an aborted body until the body has ended', async () => {
    const pool = new Pool({ workers: 1 });
    const deaf = deafGate<string>();
    const over = new AbortController();
    const first = pool.submit(deaf.body, { signal: over.signal });
    let next = false;
    const second = pool.submit(() => {
      next = true;
    });
    await turn();
    over.abort();
    await turn();
    assert.equal(next, false, 'two bodies at once in a pool of one');
    deaf.resolve('done all the same');
    assert.equal(await first.done, 'done all the same');
    await second.done;
  });

  it('rejects with the reason of the abort when the body gives up', async () => {
    const pool = new Pool({ workers: 1 });
    const over = new AbortController();
    const { done } = pool.submit(gate().body, { signal: over.signal });
    await turn();
    over.abort(new Error('that is why'));
    await assert.rejects(done, { message: 'that is why' });
    assert.equal(pool.stats().cancelled, 1);
  });

  it('shows a body that looks late that it was aborted', async () => {
    const pool = new Pool({ workers: 1 });
    const over = new AbortController();
    const { done } = pool.submit(
      async (context) => {
        over.abort(new Error('early'));
        return context.signal.aborted;
      },
      { signal: over.signal },
    );
    assert.equal(await done, true);
  });

  it('leaves no listener on a signal', async () => {
    const pool = new Pool({ workers: 2, queue: { size: 2 } });
    const { signal } = new AbortController();
    const ends = Array.from({ length: 20 }, (_, n) => pool.submit(() => n, { signal }));
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    await Promise.all(ends.map(({ done }) => done));
    await turn();
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('runs each body in the AsyncLocalStorage context of its call, before and after it awaits', async () => {
    const storage = new AsyncLocalStorage<number>();
    const pool = storage.run(-1, () => new Pool({ workers: 2, queue: { size: 3 } }));
    const ends = Array.from({ length: 20 }, (_, n) =>
      storage.run(n, () =>
        pool.submit(async () => {
          const before = storage.getStore();
          await turn();
          return [before, storage.getStore()];
        }),
      ),
    );
    const seen = await Promise.all(ends.map(({ done }) => done));
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, n) => [n, n]),
    );
  });

  it('refuses options it cannot honour', () => {
    assert.throws(() => new Pool({ workers: 0 }), invalid);
    assert.throws(() => new Pool({ workers: 1, queue: { size: Number.POSITIVE_INFINITY } }), invalid);
    assert.throws(() => new Pool({ workers: 1, queue: { whenFull: 'drop' as 'wait' } }), invalid);
    const pool = new Pool({ workers: 1 });
    assert.throws(() => pool.resize(0), invalid);
    assert.throws(() => pool.submit('body' as never), invalid);
    assert.throws(() => pool.run(5 as never, () => 0), invalid);
    assert.throws(() => pool.run([], 5 as never), invalid);
    assert.throws(() => pool.close({ deadline: Number.NaN }), invalid);
  });
});

describe('Pool.pause, resize, drain, stats', () => {
  it('starts nothing while paused, and everything after', async () => {
    const pool = new Pool({ workers: 2 });
    pool.pause();
    const ends = [1, 2, 3].map((n) => pool.submit(() => n).done);
    pool.resize(3);
    await turn();
    const { paused, running, waiting } = pool.stats();
    assert.deepEqual({ paused, running, waiting }, { paused: true, running: 0, waiting: 3 });
    pool.resume();
    assert.deepEqual(await Promise.all(ends), [1, 2, 3]);
    assert.equal(pool.stats().workers, 3);
  });

  it('drains when nothing runs and nothing waits', async () => {
    const pool = new Pool({ workers: 1 });
    const first = gate<void>();
    pool.submit(first.body);
    let ran = false;
    pool.submit(() => {
      ran = true;
    });
    const drained = pool.drain();
    await turn();
    first.resolve();
    await drained;
    assert.equal(ran, true);
  });

  it('counts every submission once', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 2, whenFull: 'reject' } });
    const over = new AbortController();
    pool.submit(() => 'fine');
    pool.submit(() => Promise.reject(new Error('bad')));
    pool.submit(() => 'cancelled', { signal: over.signal });
    pool.submit(() => 'refused');
    over.abort();
    await pool.drain();
    const { submitted, fulfilled, rejected, cancelled, refused } = pool.stats();
    assert.deepEqual(
      { submitted, fulfilled, rejected, cancelled, refused },
      {
        submitted: 3,
        fulfilled: 1,
        rejected: 1,
        cancelled: 1,
        refused: 1,
      },
    );
  });
});

describe('Pool.close', () => {
  it('finishes what was submitted, also what was paused or waits for a place, and refuses the rest', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 1 }, clock });
    pool.pause();
    const ends = [1, 2, 3].map((n) => pool.submit(() => n).done);
    const closing = pool.close();
    await assert.rejects(pool.submit(() => 4).done, stopped);
    assert.deepEqual(await Promise.all(ends), [1, 2, 3]);
    assert.deepEqual(await closing, { finished: 3, aborted: 0, abandoned: 0 });
    assert.equal(clock.pending, 0, 'no timer is left');
    assert.equal(pool.close(), pool.close());
  });

  it('at the deadline aborts what runs and cancels what waits, and then leaves behind what ignores it', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 3, queue: { size: 1 }, clock });
    const quick = deafGate<string>();
    const deaf = deafGate<string>();
    const ends = [quick.body, gate<string>().body, deaf.body, gate<string>().body, gate<string>().body].map((body) =>
      pool.submit(body),
    );
    await turn();
    assert.equal(pool.stats().blocked, 1);
    const closing = pool.close({ deadline: 500 });
    quick.resolve('in time');
    await clock.advance(499);
    assert.equal(await ends[0]?.done, 'in time');
    await clock.advance(1);
    const [, polite, , queued, blocked] = ends;
    for (const end of [polite, queued, blocked]) await assert.rejects(end?.done as Promise<string>, stopped);
    await clock.advance(1_000);
    await assert.rejects(ends[2]?.done as Promise<string>, stopped);
    assert.deepEqual(await closing, { finished: 1, aborted: 3, abandoned: 1 });
    assert.equal(clock.pending, 0);
    assert.equal(pool.stats().running, 1, 'it says that a body still runs');
    deaf.resolve('too late');
    await pool.drain();
    const { running, fulfilled, cancelled } = pool.stats();
    assert.deepEqual({ running, fulfilled, cancelled }, { running: 0, fulfilled: 1, cancelled: 4 }, 'counted once');
  });

  it('closes at the end of its scope', async () => {
    let ended = false;
    {
      await using pool = new Pool({ workers: 1 });
      pool.submit(async () => {
        await turn();
        ended = true;
      });
    }
    assert.equal(ended, true);
  });
});

describe('Pool.run', () => {
  const collect = async <R>(results: AsyncIterable<R>) => {
    const all: R[] = [];
    for await (const result of results) all.push(result);
    return all;
  };

  it('gives one result per job, with the job and its index, however it ended', async () => {
    const pool = new Pool({ workers: 2 });
    const results = await collect(
      pool.run(['a', 'b', 'c', 'd'], (job) => {
        if (job === 'b') throw new Error('sync');
        return job === 'c' ? Promise.reject(new Error('async')) : Promise.resolve(job.toUpperCase());
      }),
    );
    const short = results
      .toSorted((a, b) => a.index - b.index)
      .map((r) => [r.index, r.job, r.status === 'fulfilled' ? r.value : (r.error as Error).message]);
    assert.deepEqual(short, [
      [0, 'a', 'A'],
      [1, 'b', 'sync'],
      [2, 'c', 'async'],
      [3, 'd', 'D'],
    ]);
  });

  it('gives results as they end, or in the order of the source', async () => {
    for (const ordered of [false, true]) {
      const pool = new Pool({ workers: 3 });
      const gates = [gate<number>(), gate<number>(), gate<number>()];
      const seen: number[] = [];
      const reading = (async () => {
        const results = pool.run(gates, ({ body }, context) => body(context), { ordered });
        for await (const { index } of results) seen.push(index);
      })();
      for (const n of [2, 0, 1]) {
        await turn();
        gates[n]?.resolve(n);
      }
      await reading;
      assert.deepEqual(seen, ordered ? [0, 1, 2] : [2, 0, 1]);
    }
  });

  it('pulls nothing before it is read, and holds at most two jobs per worker when the reader is slow', async () => {
    for (const ordered of [false, true]) {
      const pool = new Pool({ workers: 3 });
      let pulled = 0;
      const endless = (function* () {
        for (;;) yield pulled++;
      })();
      const results = pool.run(endless, (n) => n, { ordered });
      await turn();
      assert.equal(pulled, 0);
      for (let read = 1; read <= 20; read++) {
        await results.next();
        await turn();
        assert.ok(pulled <= read + 6, `${pulled} pulled after ${read} read`);
      }
      await results.return();
      assert.equal(pool.stats().running, 0);
    }
  });

  it('keeps as many jobs under way as there are workers, also after a resize', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 0 } });
    let running = 0;
    let most = 0;
    const handler = async () => {
      most = Math.max(most, ++running);
      await turn();
      running--;
    };
    for await (const { index } of pool.run(Array(60).keys(), handler)) if (index === 20) pool.resize(5);
    assert.equal(most, 5);
  });

  it('stops the intake, aborts what runs and closes the source when the reader leaves', async () => {
    const pool = new Pool({ workers: 2 });
    let closed = false;
    let pulled = 0;
    const source = (async function* () {
      try {
        for (;;) yield pulled++;
      } finally {
        closed = true;
      }
    })();
    const aborted: unknown[] = [];
    const handler = (n: number, { signal }: TaskContext) =>
      n === 0 ||
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          aborted.push(signal.reason);
          reject(signal.reason);
        }),
      );
    for await (const { index } of pool.run(source, handler)) {
      assert.equal(index, 0);
      await turn();
      break;
    }
    assert.equal(closed, true);
    assert.equal(aborted.length, 2);
    assert.ok(aborted.every(stopped));
    const { running, waiting, blocked } = pool.stats();
    assert.deepEqual({ running, waiting, blocked }, { running: 0, waiting: 0, blocked: 0 });
    const before = pulled;
    await turn();
    assert.equal(pulled, before);
  });

  it('is not held up by a source that never answers when the reader leaves', async () => {
    const pool = new Pool({ workers: 1 });
    const source = (async function* () {
      yield 1;
      await new Promise(() => undefined);
    })();
    for await (const { index } of pool.run(source, (n) => n)) {
      assert.equal(index, 0);
      break;
    }
  });

  it('gives the results of all jobs taken and then throws the reason when its signal aborts', async () => {
    const pool = new Pool({ workers: 2, queue: { size: 1 } });
    const over = new AbortController();
    let pulled = 0;
    const source = (function* () {
      while (true) yield pulled++;
    })();
    const results: Result<number, unknown>[] = [];
    const reading = (async () => {
      for await (const result of pool.run(source, (_, context) => gate().body(context), { signal: over.signal })) {
        results.push(result);
      }
    })();
    await turn();
    assert.equal(pulled, 4, 'two run, one waits, one is blocked');
    over.abort(new Error('enough'));
    await assert.rejects(reading, { message: 'enough' });
    assert.deepEqual(results.map(({ index }) => index).toSorted(), [0, 1, 2, 3]);
    assert.ok(results.every((result) => result.status === 'cancelled' && (result.error as Error).message === 'enough'));
    assert.equal(getEventListeners(over.signal, 'abort').length, 0);
  });

  it('loses no job of a synchronous source to an abort in the moment it is pulled', async () => {
    for (let last = 1; last <= 5; last++) {
      const pool = new Pool({ workers: 1 });
      const over = new AbortController();
      let pulled = 0;
      const source = (function* () {
        for (;;) {
          if (++pulled === last) over.abort(new Error('now'));
          yield pulled;
        }
      })();
      const jobs: number[] = [];
      const reading = (async () => {
        for await (const { job } of pool.run(source, (n) => n, { signal: over.signal })) jobs.push(job);
      })();
      await assert.rejects(reading, { message: 'now' });
      assert.equal(jobs.length, pulled);
    }
  });

  it('does not throw for an abort that came after the last job was taken', async () => {
    const pool = new Pool({ workers: 2 });
    const over = new AbortController();
    const reading = collect(pool.run([1, 2], (_, context) => gate().body(context), { signal: over.signal }));
    await turn();
    over.abort();
    assert.deepEqual(
      (await reading).map(({ status }) => status),
      ['cancelled', 'cancelled'],
    );
  });

  it('gives the results of all jobs taken and then throws what the source threw', async () => {
    const pool = new Pool({ workers: 4 });
    const source = (function* () {
      yield 1;
      yield 2;
      throw new Error('no more');
    })();
    const results: unknown[] = [];
    const reading = (async () => {
      for await (const { job } of pool.run(source, (n) => n)) results.push(job);
    })();
    await assert.rejects(reading, { message: 'no more' });
    assert.deepEqual(results, [1, 2]);
  });

  it('throws STOPPED after the results when the pool closes under it', async () => {
    const pool = new Pool({ workers: 1 });
    const first = gate<number>();
    const results: string[] = [];
    const reading = (async () => {
      for await (const { status } of pool.run(Array(10).keys(), (_, context) => first.body(context), { ordered: true }))
        results.push(status);
    })();
    await turn();
    const closing = pool.close();
    first.resolve(1);
    await assert.rejects(reading, stopped);
    await closing;
    assert.deepEqual(results, ['fulfilled', 'fulfilled', 'cancelled']);
  });

  it('waits for a place even where submit would refuse', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 0, whenFull: 'reject' } });
    const results = await collect(pool.run(Array(50).keys(), turn));
    assert.ok(results.every(({ status }) => status === 'fulfilled'));
  });

  it('runs handlers in the AsyncLocalStorage context of the call', async () => {
    const storage = new AsyncLocalStorage<string>();
    const pool = new Pool({ workers: 1 });
    const run = storage.run('mine', () => pool.run([1, 2], () => storage.getStore()));
    const results = await storage.run('reader', () => collect(run));
    assert.deepEqual(
      results.map((result) => result.status === 'fulfilled' && result.value),
      ['mine', 'mine'],
    );
  });

  it('serves several runs and submissions at once', async () => {
    const pool = new Pool({ workers: 2, queue: { size: 1 } });
    const runs = [1, 2, 3].map((factor) =>
      collect(pool.run(Array(30).keys(), async (n) => n * factor, { ordered: true })),
    );
    const single = pool.submit(() => 'between').done;
    const all = await Promise.all(runs);
    assert.equal(await single, 'between');
    all.forEach((results, i) => {
      assert.deepEqual(
        results.map((result) => result.status === 'fulfilled' && result.value),
        Array.from({ length: 30 }, (_, n) => n * (i + 1)),
      );
    });
  });
});
