/**
 * The known flaws of the two programs that this room grew out of, each with a test that would catch it here.
 *
 * The first is Castilho's dispatcher ("Handling 1 Million Requests per Minute with Go", 2015); where a flaw of it lay in
 * HTTP or S3, its equivalent in a pool is tested. The second is the worker pool "explained like I'm five" (2021), whose
 * results are fanned in and which a context stops.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { promiseHooks } from 'node:v8';
import { sleep, VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { Dispatcher } from './dispatcher.ts';
import { Pool, type Result, type TaskContext } from './pool.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Ends when its signal aborts, with the reason. */
const untilAborted = ({ signal }: TaskContext) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

describe('Flaws of the two-tier dispatcher', () => {
  it('1: a task per waiting job voids the bound. 100,000 submissions to slow bodies hold no more than the bound', async () => {
    const pool = new Pool({ workers: 4, queue: { size: 100 } });
    const gate = Promise.withResolvers<void>();
    let accepted = 0;
    let started = 0;
    const ends: Promise<void>[] = [];
    for (let n = 0; n < 100_000; n++) {
      const submission = pool.submit(() => {
        started++;
        return gate.promise;
      });
      void submission.accepted.then(() => accepted++);
      ends.push(submission.done);
    }
    await turn();
    assert.deepEqual({ accepted, started }, { accepted: 104, started: 4 });
    const { running, waiting, blocked } = pool.stats();
    assert.deepEqual({ running, waiting, blocked }, { running: 4, waiting: 100, blocked: 99_896 });
    gate.resolve();
    await Promise.all(ends);
    assert.equal(started, 100_000);
  });

  it('1: … and a source of any length is pulled no faster than bodies end', async () => {
    const pool = new Pool({ workers: 4, queue: { size: 2 } });
    let pulled = 0;
    const endless = (function* () {
      while (true) yield pulled++;
    })();
    const results = pool.run(endless, (_, context) => untilAborted(context));
    const first = results.next();
    for (let n = 0; n < 50; n++) await turn();
    assert.ok(pulled <= 8, `${pulled} jobs pulled for 4 workers`);
    void pool.close({ deadline: 0 });
    assert.equal((await first).value?.status, 'cancelled');
    await results.return();
  });

  it('2: jobs race for workers. They start in the order in which they were submitted', async () => {
    const pool = new Pool({ workers: 3, queue: { size: 7 } });
    const started: number[] = [];
    const ends = Array.from({ length: 500 }, (_, n) =>
      pool.submit(async () => {
        started.push(n);
        for (let turns = n % 4; turns > 0; turns--) await turn();
      }),
    );
    await Promise.all(ends.map(({ done }) => done));
    assert.deepEqual(started, [...started.keys()]);
    assert.equal(started.length, 500);
  });

  it('3: a worker that quits after it registered takes a job with it. Shrinking with idle workers loses none', async () => {
    const ran = new Set<number>();
    const dispatcher = new Dispatcher<number>({ workers: 8, queue: 100, run: (job) => void ran.add(job) });
    for (let n = 0; n < 100; n++) {
      // Jobs are given to workers that are registered as idle, and in the same breath most of these leave.
      assert.equal(dispatcher.offer(n), true);
      dispatcher.resize(1 + (n % 8));
    }
    dispatcher.resize(1);
    await dispatcher.drain();
    assert.equal(ran.size, 100);
    assert.deepEqual([dispatcher.idle, dispatcher.running], [1, 0]);
  });

  it('4: it cannot stop or drain. Stopping hands back what has not started, draining waits for what has', async () => {
    const gate = Promise.withResolvers<void>();
    const ended: number[] = [];
    const dispatcher = new Dispatcher<number>({
      workers: 2,
      queue: 10,
      run: (job) => gate.promise.then(() => void ended.push(job)),
    });
    for (let n = 0; n < 8; n++) dispatcher.offer(n);
    await turn();
    const handedBack = dispatcher.stop();
    const drained = dispatcher.drain();
    gate.resolve();
    await drained;
    assert.deepEqual([...ended, ...handedBack], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.equal(ended.length, 2);
  });

  it('4: a failure after the answer is a line in a log. A failed body is reported to whoever submitted it', async () => {
    const pool = new Pool({ workers: 1 });
    const failure = new Error('the store is away');
    const { accepted, done } = pool.submit(() => Promise.reject(failure));
    await accepted;
    await assert.rejects(done, failure);
    assert.equal(pool.stats().rejected, 1);
  });

  it('5: when full it just blocks. A full pool can refuse at once', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 1, whenFull: 'reject' } });
    const taken = [pool.submit(turn), pool.submit(turn)];
    const refused = pool.submit(() => assert.fail('must not start'));
    for (const promise of [refused.accepted, refused.done]) {
      await assert.rejects(promise, (error) => isError(error, 'POOL_FULL') && error.fields.size === 1);
    }
    await Promise.all(taken.map(({ done }) => done));
    assert.equal(await pool.submit(() => 'room again').done, 'room again');
  });

  it('5: … or wait, but no longer than a deadline', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, queue: { size: 0 }, clock });
    const gate = Promise.withResolvers<void>();
    pool.submit(() => gate.promise);
    const deadline = new AbortController();
    void sleep(clock, 50).then(() => deadline.abort(new Error('50 ms are over')));
    const { accepted, done } = pool.submit(() => assert.fail('must not start'), { signal: deadline.signal });
    await clock.advance(49);
    assert.equal(pool.stats().blocked, 1);
    await clock.advance(1);
    await assert.rejects(accepted, { message: '50 ms are over' });
    await assert.rejects(done, { message: '50 ms are over' });
    gate.resolve();
    await pool.drain();
  });

  it('6: one bad payload kills the process. Whatever a body throws, the others run and the workers stay', async () => {
    const pool = new Pool({ workers: 2 });
    const hostile = new Proxy(new Error('hostile'), {
      get() {
        throw new Error('do not touch');
      },
    });
    const things: unknown[] = [new Error('an error'), 'a string', null, undefined, 0, Symbol('s'), hostile];
    for (const thing of things) {
      const sync = pool.submit(() => {
        throw thing;
      });
      const async = pool.submit(() => Promise.reject(thing));
      const endings = await Promise.allSettled([sync.done, async.done]);
      for (const ending of endings) assert.ok(ending.status === 'rejected' && Object.is(ending.reason, thing));
    }
    const endless: () => unknown = () => endless();
    await assert.rejects(pool.submit(endless).done, RangeError);
    const after = [1, 2, 3].map((n) => pool.submit(() => n).done);
    assert.deepEqual(await Promise.all(after), [1, 2, 3]);
    assert.deepEqual([pool.stats().workers, pool.stats().running], [2, 0]);
  });

  it('7: limits are read as text and MaxQueue is not used. Text is refused by name, and each option has its effect', async () => {
    const text = '10' as unknown as number;
    for (const [option, make] of [
      ['workers', () => new Pool({ workers: text })],
      ['queue.size', () => new Pool({ workers: 1, queue: { size: text } })],
    ] as const) {
      assert.throws(make, (error) => isError(error, 'OPTION_INVALID') && error.fields.option === option);
    }
    for (const workers of [1, 3]) {
      for (const size of [0, 2]) {
        const pool = new Pool({ workers, queue: { size, whenFull: 'reject' } });
        for (let n = 0; n < 10; n++) pool.submit(untilAborted);
        await turn();
        const { running, waiting, refused } = pool.stats();
        assert.deepEqual(
          { running, waiting, refused },
          { running: workers, waiting: size, refused: 10 - workers - size },
        );
        await pool.close({ deadline: 0 });
      }
    }
  });

  it('7: names are made of the time, so they collide. Jobs of one instant have indexes of their own', async () => {
    const pool = new Pool({ workers: 5, clock: new VirtualClock() });
    const seen = new Set<number>();
    for await (const { index } of pool.run(Array(100).fill('the same payload'), turn)) seen.add(index);
    assert.equal(seen.size, 100);
  });
});

describe('Flaws of the pool that fans results in', () => {
  it('a: its reader spins. One that waits for a result makes nothing happen', async () => {
    const pool = new Pool({ workers: 1 });
    const results = pool.run([1], (_, context) => untilAborted(context));
    const next = results.next();
    await turn();
    let promises = 0;
    const stop = promiseHooks.onInit(() => promises++);
    await new Promise<void>((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
    const made = promises;
    stop();
    assert.ok(made <= 3, `${made} promises were made while nothing happened`);
    void pool.close({ deadline: 0 });
    assert.equal((await next).value?.status, 'cancelled');
    await results.return();
  });

  it('b: it says that it is done before the last results are out. The loop ends after the last one', async () => {
    for (const ordered of [false, true]) {
      const pool = new Pool({ workers: 10 });
      let seen = 0;
      for await (const { status } of pool.run(Array(1_000).keys(), (n) => n, { ordered })) {
        assert.equal(status, 'fulfilled');
        seen++;
      }
      assert.equal(seen, 1_000);
    }
  });

  it('c: a reader that leaves blocks the workers for ever. They are free again when it has left', async () => {
    const pool = new Pool({ workers: 2, queue: { size: 2 } });
    for await (const { index } of pool.run(Array(100).keys(), (n, context) => (n === 0 ? n : untilAborted(context)))) {
      assert.equal(index, 0);
      break;
    }
    const { running, waiting, blocked } = pool.stats();
    assert.deepEqual({ running, waiting, blocked }, { running: 0, waiting: 0, blocked: 0 });
    assert.equal(await pool.submit(() => 'free').done, 'free');
  });

  it('d: after a cancel, jobs vanish and the generator stays blocked. Each job taken has its result, with the job in it', async () => {
    const pool = new Pool({ workers: 2, queue: { size: 1 } });
    const over = new AbortController();
    const taken: string[] = [];
    let closed = false;
    const source = (function* () {
      try {
        for (let n = 0; ; n++) {
          taken.push(`job ${n}`);
          yield `job ${n}`;
        }
      } finally {
        closed = true;
      }
    })();
    const results: Result<string, never>[] = [];
    const reading = (async () => {
      for await (const result of pool.run(source, (_, context) => untilAborted(context), { signal: over.signal })) {
        results.push(result);
      }
    })();
    await turn();
    over.abort(new Error('cancelled'));
    await assert.rejects(reading, { message: 'cancelled' });
    assert.deepEqual(results.map(({ job }) => job).toSorted(), taken);
    assert.ok(results.every(({ status }) => status === 'cancelled'));
    assert.equal(closed, true);
  });

  it('e: it chooses at random between the next job and the end. After a cancel no body starts', async () => {
    for (let round = 0; round < 50; round++) {
      const pool = new Pool({ workers: 2, queue: { size: 20 } });
      const over = new AbortController();
      let started = 0;
      const ends = Array.from({ length: 20 }, () =>
        pool.submit(
          async () => {
            started++;
            await turn();
          },
          { signal: over.signal },
        ),
      );
      await turn();
      const before = started;
      over.abort();
      await Promise.allSettled(ends.map(({ done }) => done));
      assert.equal(started, before);
    }
  });

  it('f: it can be used once. One pool serves one run after the other', async () => {
    const pool = new Pool({ workers: 2 });
    for (let run = 0; run < 3; run++) {
      let results = 0;
      for await (const _ of pool.run([1, 2, 3], (n) => n)) results++;
      assert.equal(results, 3);
    }
  });

  it('g: everything is interface{}. Jobs and values keep their types', async () => {
    const pool = new Pool({ workers: 2 });
    for await (const result of pool.run(['a', 'bc'], async (job) => job.length)) {
      const job: string = result.job;
      if (result.status === 'fulfilled') {
        const length: number = result.value;
        assert.equal(length, job.length);
      } else assert.fail('nothing fails here');
    }
    const sum: number = await pool.submit(() => 1 + 1).done;
    assert.equal(sum, 2);
  });

  it('h: a panic kills all. A handler that throws costs its own job only', async () => {
    const pool = new Pool({ workers: 2 });
    const statuses: string[] = [];
    const handler = (n: number) => {
      if (n === 1) throw new Error('wrong argument type');
      return n * 2;
    };
    for await (const { status } of pool.run([0, 1, 2], handler, { ordered: true })) statuses.push(status);
    assert.deepEqual(statuses, ['fulfilled', 'rejected', 'fulfilled']);
  });
});
