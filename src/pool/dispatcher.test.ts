import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isError } from '../errors.ts';
import { Dispatcher } from './dispatcher.ts';

const stopped = (error: unknown) => isError(error, 'STOPPED');

/** A turn of the event loop: whatever can start has started. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A dispatcher whose bodies end when the test says so. */
function held(options: { workers: number; queue: number; onRoom?: () => void }) {
  const started: number[] = [];
  const gates = new Map<number, PromiseWithResolvers<void>>();
  const dispatcher = new Dispatcher<number>({
    ...options,
    run: (job) => {
      started.push(job);
      const gate = Promise.withResolvers<void>();
      gates.set(job, gate);
      return gate.promise;
    },
  });
  const end = async (...jobs: number[]) => {
    for (const job of jobs) gates.get(job)?.resolve();
    await turn();
  };
  return { dispatcher, started, end };
}

describe('Dispatcher', () => {
  it('takes a job for each idle worker and each free place, and not one more', async () => {
    const { dispatcher, started } = held({ workers: 2, queue: 3 });
    assert.equal(dispatcher.room, 5);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((n) => dispatcher.offer(n)),
      [true, true, true, true, true, false],
    );
    assert.equal(dispatcher.room, 0);
    await turn();
    assert.deepEqual(started, [0, 1]);
    const { running, waiting, idle, room } = dispatcher;
    assert.deepEqual({ running, waiting, idle, room }, { running: 2, waiting: 3, idle: 0, room: 0 });
  });

  it('never starts a body inside the call that brought its job', async () => {
    const { dispatcher, started } = held({ workers: 1, queue: 0 });
    dispatcher.offer(1);
    assert.deepEqual(started, []);
    await Promise.resolve();
    assert.deepEqual(started, [1]);
  });

  it('needs an idle worker when it has no queue', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 0 });
    assert.equal(dispatcher.offer(1), true);
    assert.equal(dispatcher.offer(2), false);
    const taken = dispatcher.submit(3);
    await turn();
    assert.equal(dispatcher.blocked, 1);
    await end(1);
    await taken;
    assert.deepEqual(started, [1, 3]);
  });

  it('gives places to callers in the order in which they began to wait, before any later offer', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 1 });
    const order: number[] = [];
    for (let n = 0; n < 5; n++) void dispatcher.submit(n).then(() => order.push(n));
    await turn();
    assert.deepEqual(order, [0, 1]);
    for (let n = 0; n < 4; n++) {
      await end(n);
      if (n < 3) assert.equal(dispatcher.offer(99), false, 'no place may be taken past a waiting caller');
    }
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.deepEqual(started, [0, 1, 2, 3, 4]);
  });

  it('gives up the wait for a place when the signal aborts', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 0 });
    dispatcher.offer(1);
    const over = new AbortController();
    const waiting = dispatcher.submit(2, over.signal);
    over.abort(new Error('no longer'));
    await assert.rejects(waiting, { message: 'no longer' });
    await assert.rejects(dispatcher.submit(3, over.signal), { message: 'no longer' });
    await end(1);
    assert.deepEqual(started, [1]);
    assert.equal(dispatcher.idle, 1);
  });

  it('tells when there is room again, but not while somebody waits for it', async () => {
    let calls = 0;
    const { dispatcher, end } = held({ workers: 1, queue: 1, onRoom: () => calls++ });
    assert.equal(calls, 0, 'nobody asked yet');
    dispatcher.offer(0);
    dispatcher.offer(1);
    const taken = dispatcher.submit(2);
    await turn();
    await end(0);
    await taken;
    assert.equal(calls, 0);
    await end(1);
    assert.equal(calls, 1);
  });

  it('frees the place of a job that is withdrawn', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 2 });
    for (const n of [0, 1, 2]) dispatcher.offer(n);
    await turn();
    const taken = dispatcher.submit(3);
    assert.equal(dispatcher.withdraw(1), true);
    await taken;
    assert.equal(dispatcher.withdraw(0), false, 'it runs');
    await end(0);
    await end(2);
    assert.deepEqual(started, [0, 2, 3]);
  });

  it('runs more bodies after growing, and fewer after shrinking as they end', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 10 });
    for (let n = 0; n < 8; n++) dispatcher.offer(n);
    await turn();
    dispatcher.resize(4);
    await turn();
    assert.deepEqual(started, [0, 1, 2, 3]);
    dispatcher.resize(2);
    assert.equal(dispatcher.running, 4, 'nothing that runs is killed');
    await end(0, 1);
    assert.deepEqual([started.length, dispatcher.running], [4, 2]);
    await end(2);
    assert.deepEqual(started, [0, 1, 2, 3, 4]);
    dispatcher.resize(0);
    await end(3, 4);
    assert.deepEqual([dispatcher.running, dispatcher.waiting], [0, 3]);
    dispatcher.resize(3);
    await turn();
    assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('hands back what waited when it stops, and starts nothing more', async () => {
    const { dispatcher, started, end } = held({ workers: 1, queue: 2 });
    for (const n of [0, 1, 2]) dispatcher.offer(n);
    await turn();
    const waiting = dispatcher.submit(3);
    assert.deepEqual(dispatcher.stop(), [1, 2]);
    await assert.rejects(waiting, stopped);
    await assert.rejects(dispatcher.submit(4), stopped);
    assert.equal(dispatcher.offer(4), false);
    const drained = dispatcher.drain();
    await end(0);
    await drained;
    assert.deepEqual(started, [0]);
    assert.deepEqual(dispatcher.stop(), []);
  });

  it('hands back even a job whose worker was about to start it', async () => {
    const { dispatcher, started } = held({ workers: 1, queue: 0 });
    dispatcher.offer(1);
    assert.deepEqual(dispatcher.stop(), [1]);
    await dispatcher.drain();
    assert.deepEqual(started, []);
  });

  it('drains when every job has ended, also several times and when it is idle', async () => {
    const { dispatcher, end } = held({ workers: 2, queue: 2 });
    await dispatcher.drain();
    for (let n = 0; n < 3; n++) dispatcher.offer(n);
    let drained = 0;
    void dispatcher.drain().then(() => drained++);
    void dispatcher.drain().then(() => drained++);
    await turn();
    await end(0, 1);
    assert.equal(drained, 0);
    await end(2);
    assert.equal(drained, 2);
  });

  it('tells what a body threw, synchronously or not, and loses no worker over it', async () => {
    const errors: unknown[] = [];
    const dispatcher = new Dispatcher<number>({
      workers: 2,
      queue: 10,
      run: (job) => {
        if (job % 2 === 0) throw job;
        return Promise.reject(job);
      },
      onError: (error, job) => {
        assert.equal(error, job);
        errors.push(error);
      },
    });
    for (let n = 0; n < 10; n++) dispatcher.offer(n);
    await dispatcher.drain();
    assert.deepEqual(errors.sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(dispatcher.idle, 2);
  });

  it('warns of errors that nobody receives, and of hooks that throw', async () => {
    const fail = (message: string) => () => {
      throw new Error(message);
    };
    const silent = new Dispatcher<number>({ workers: 1, queue: 1, run: fail('a body') });
    const warned = once(process, 'warning');
    silent.offer(1);
    assert.match(String(await warned), /a body/);
    assert.equal(silent.idle, 1);

    const clumsy = new Dispatcher<number>({ workers: 1, queue: 1, run: () => undefined, onRoom: fail('a hook') });
    const again = once(process, 'warning');
    clumsy.offer(1);
    assert.match(String(await again), /a hook/);
    assert.equal(clumsy.idle, 1);
  });

  it('runs a million bodies that end at once without piling up on the stack', async () => {
    let ran = 0;
    const dispatcher = new Dispatcher<number>({ workers: 3, queue: 1_000_000, run: () => void ran++ });
    for (let n = 0; n < 1_000_000; n++) dispatcher.offer(n);
    await dispatcher.drain();
    assert.equal(ran, 1_000_000);
  });

  it('lets each body offer the next one without piling up on the stack', async () => {
    let deepest = 0;
    const dispatcher: Dispatcher<number> = new Dispatcher({
      workers: 20_000,
      queue: 0,
      run: (n) => {
        deepest = n;
        if (n < 20_000) dispatcher.offer(n + 1);
      },
      onError: (error) => assert.fail(String(error)),
    });
    dispatcher.offer(1);
    await dispatcher.drain();
    assert.equal(deepest, 20_000);
  });

  it('refuses options that are no bounds', () => {
    const invalid = (error: unknown) => isError(error, 'OPTION_INVALID');
    const run = () => undefined;
    assert.throws(() => new Dispatcher({ workers: -1, queue: 1, run }), invalid);
    assert.throws(() => new Dispatcher({ workers: 1, queue: Number.POSITIVE_INFINITY, run }), invalid);
    assert.throws(() => new Dispatcher({ workers: 1, queue: 1, run }).resize(0.5), invalid);
  });

  it('loses no job and breaks no bound, whatever is called in whatever order', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant('offer' as const) },
      { weight: 4, arbitrary: fc.constant('submit' as const) },
      { weight: 6, arbitrary: fc.constant('end' as const) },
      { weight: 1, arbitrary: fc.constant('withdraw' as const) },
      { weight: 1, arbitrary: fc.constant('turn' as const) },
      { weight: 2, arbitrary: fc.nat(5) },
    );
    const steps = fc.array(step, { maxLength: 100, size: 'max' });
    const property = fc.asyncProperty(fc.nat(4), fc.nat(4), steps, async (workers, queue, calls) => {
      const { dispatcher, started, end } = held({ workers, queue });
      let mostWorkers = workers;
      const taken = new Set<number>();
      const withdrawn = new Set<number>();
      const refused: Promise<unknown>[] = [];
      let ended = 0;
      let n = 0;
      for (const call of calls) {
        const job = n;
        if (call === 'offer') {
          const { room } = dispatcher;
          assert.equal(dispatcher.offer(n++), room > 0);
          if (room > 0) taken.add(job);
        } else if (call === 'submit') {
          n++;
          refused.push(
            dispatcher.submit(job).then(
              () => void taken.add(job),
              () => job,
            ),
          );
        } else if (call === 'end') {
          await turn();
          if (ended < started.length) await end(started[ended++] as number);
        } else if (call === 'withdraw') {
          if (dispatcher.withdraw(n - 1)) withdrawn.add(n - 1);
        } else if (call === 'turn') await turn();
        else {
          dispatcher.resize(call);
          mostWorkers = Math.max(mostWorkers, call);
        }
        assert.ok(dispatcher.running <= mostWorkers);
        assert.ok(dispatcher.waiting <= queue + mostWorkers);
        assert.ok(dispatcher.blocked === 0 || dispatcher.room === 0, 'nobody waits while there is room');
      }
      const back = dispatcher.stop();
      while (ended < started.length) await end(started[ended++] as number);
      await dispatcher.drain();
      const keepers = (await Promise.all(refused)).filter((job) => job !== undefined);
      const all = [...started, ...withdrawn, ...back];
      assert.deepEqual(
        [...started, ...back],
        [...started, ...back].toSorted((a, b) => a - b),
        'first in, first out',
      );
      assert.deepEqual(
        all.toSorted((a, b) => a - b),
        [...taken].toSorted((a, b) => a - b),
      );
      assert.ok(keepers.every((job) => !all.includes(job as number)));
    });
    await fc.assert(property, { numRuns: 60 });
  });
});
