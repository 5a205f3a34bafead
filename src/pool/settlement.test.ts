/**
 * The law of settlement: N in, exactly N out, whatever the ending. Random bodies (values, errors, synchronous throws,
 * cancelled before and during, deaf to their signal) in random pools that are paused, resized and closed meanwhile.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { Pool, type Result, type TaskContext } from './pool.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const kinds = ['value', 'slow value', 'error', 'slow error', 'throw', 'until aborted', 'deaf'] as const;
type Kind = (typeof kinds)[number];

/** Bodies of every kind, and how many of them run. */
class Bodies {
  running = 0;
  most = 0;
  readonly #deaf = Promise.withResolvers<void>();

  run(kind: Kind, n: number, context: TaskContext): number | Promise<number> {
    if (kind === 'throw') throw new Error(`thrown ${n}`);
    return this.#slow(kind, n, context);
  }

  /** Ends those who do not listen, so that the test can. */
  release(): void {
    this.#deaf.resolve();
  }

  async #slow(kind: Kind, n: number, context: TaskContext): Promise<number> {
    this.most = Math.max(this.most, ++this.running);
    try {
      if (kind.startsWith('slow')) await turn();
      if (kind.endsWith('error')) throw new Error(`error ${n}`);
      if (kind === 'deaf') await this.#deaf.promise;
      if (kind === 'until aborted') {
        const { signal } = context;
        signal.throwIfAborted();
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
      }
      return n;
    } finally {
      this.running--;
    }
  }
}

const pools = fc.record({
  workers: fc.integer({ min: 1, max: 4 }),
  size: fc.nat(4),
  whenFull: fc.constantFrom('wait' as const, 'reject' as const),
});

describe('The law of settlement', () => {
  it('holds for submissions: both promises settle once, and the counts add up', async () => {
    const step = fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(...kinds) },
      { weight: 3, arbitrary: fc.constant('turn' as const) },
      { weight: 3, arbitrary: fc.nat(30).map((which) => ({ abort: which })) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }).map((workers) => ({ resize: workers })) },
      { weight: 1, arbitrary: fc.constantFrom('pause' as const, 'resume' as const) },
      { weight: 1, arbitrary: fc.constant('abort all' as const) },
    );
    const steps = fc.array(step, { maxLength: 60, size: 'max' });
    const property = fc.asyncProperty(pools, steps, async ({ workers, size, whenFull }, calls) => {
      const clock = new VirtualClock();
      const pool = new Pool({ workers, queue: { size, whenFull }, clock });
      const bodies = new Bodies();
      const shared = new AbortController();
      const own: AbortController[] = [];
      const settled: number[] = [];
      const ends: Promise<unknown>[] = [];
      let mostWorkers = workers;

      const submit = (kind: Kind) => {
        const n = settled.push(0) - 1;
        const controller = n % 2 === 0 ? new AbortController() : shared;
        own.push(controller);
        const { signal } = controller;
        const cancelledBefore = signal.aborted;
        const { accepted, done } = pool.submit(
          (context) => {
            assert.ok(!cancelledBefore, 'a cancelled submission must not start');
            return bodies.run(kind, n, context);
          },
          { signal },
        );
        const count = () => {
          settled[n] = (settled[n] ?? 0) + 1;
        };
        ends.push(accepted.then(count, count), done.then(count, count));
        void done.then(
          (value) => assert.equal(value, n),
          () => undefined,
        );
      };

      for (const call of calls) {
        if (call === 'turn') await turn();
        else if (call === 'pause') pool.pause();
        else if (call === 'resume') pool.resume();
        else if (call === 'abort all') shared.abort(new Error('all'));
        else if (typeof call === 'string') submit(call);
        else if ('abort' in call) own[call.abort]?.abort(new Error('one'));
        else {
          pool.resize(call.resize);
          mostWorkers = Math.max(mostWorkers, call.resize);
        }
        assert.ok(pool.stats().waiting <= size + mostWorkers);
      }

      const closing = pool.close({ deadline: 10 });
      submit('value');
      for (let n = 0; n < 3; n++) await turn();
      await clock.advance(10);
      await clock.advance(1_000);
      const report = await closing;
      await Promise.all(ends);

      assert.ok(
        settled.every((times) => times === 2),
        'accepted and done, once each',
      );
      assert.ok(bodies.most <= mostWorkers);
      const { submitted, fulfilled, rejected, cancelled, refused, running, waiting, blocked } = pool.stats();
      assert.equal(submitted + refused, settled.length);
      assert.equal(fulfilled + rejected + cancelled, submitted);
      assert.deepEqual([waiting, blocked], [0, 0]);
      // Those that were aborted before the close and do not listen run on as well; `abandoned` counts these too.
      assert.equal(report.abandoned, running);
      assert.equal(clock.pending, 0);
      bodies.release();
      await pool.drain();
      assert.equal(bodies.running, 0);
      for (const { signal } of own) assert.equal(getEventListeners(signal, 'abort').length, 0);
    });
    await fc.assert(property, { numRuns: 150 });
  });

  it('holds for runs: one result per job taken, under its own index, however the run ends', async () => {
    const endings = fc.oneof(
      fc.constant('end' as const),
      fc.constant('source throws' as const),
      fc.constantFrom('abort' as const, 'close' as const, 'leave' as const),
    );
    const jobs = fc.array(fc.constantFrom(...kinds.filter((kind) => kind !== 'until aborted' && kind !== 'deaf')), {
      maxLength: 30,
      size: 'max',
    });
    const property = fc.asyncProperty(
      pools,
      jobs,
      endings,
      fc.nat(10),
      fc.boolean(),
      fc.boolean(),
      async ({ workers, size, whenFull }, list, ending, after, ordered, isAsync) => {
        const pool = new Pool({ workers, queue: { size, whenFull } });
        const bodies = new Bodies();
        const over = new AbortController();
        const taken: Kind[] = [];
        let open = 0;
        const sync = function* () {
          open++;
          try {
            for (const kind of list) {
              taken.push(kind);
              yield kind;
            }
            if (ending === 'source throws') throw new Error('source');
          } finally {
            open--;
          }
        };
        const source = isAsync
          ? (async function* () {
              yield* sync();
            })()
          : sync();
        const results: Result<Kind, number>[] = [];
        let thrown: unknown;
        try {
          const run = pool.run(source, (kind, context) => bodies.run(kind, 7, context), {
            ordered,
            signal: over.signal,
          });
          for await (const result of run) {
            results.push(result);
            if (results.length !== after) continue;
            if (ending === 'leave') break;
            if (ending === 'abort') over.abort(new Error('aborted'));
            if (ending === 'close') void pool.close();
          }
        } catch (error) {
          thrown = error;
        }

        const indexes = results.map(({ index }) => index);
        if (ordered) assert.deepEqual(indexes, [...indexes.keys()]);
        assert.equal(new Set(indexes).size, indexes.length);
        for (const { index, job } of results) assert.equal(job, taken[index]);
        if (ending === 'end' || ending === 'source throws') assert.equal(results.length, list.length);
        if (ending === 'source throws') assert.equal((thrown as Error).message, 'source');
        if (ending === 'end') assert.equal(thrown, undefined);
        // An asynchronous source may answer once more after it was told to stop: that job was never taken.
        if (ending !== 'leave' && !isAsync) assert.equal(results.length, taken.length);
        if (thrown === undefined && ending !== 'leave') assert.equal(results.length, list.length);
        assert.equal(bodies.running, 0, 'no body runs when the loop is over');
        assert.ok(bodies.most <= workers);
        await turn();
        assert.equal(open, 0, 'the source is closed');
        const { running, waiting, blocked } = pool.stats();
        assert.deepEqual({ running, waiting, blocked }, { running: 0, waiting: 0, blocked: 0 });
        assert.equal(getEventListeners(over.signal, 'abort').length, 0);
      },
    );
    await fc.assert(property, { numRuns: 200 });
  });
});
