/**
 * The laws of the pool, with every feature on and whatever is called in whatever order.
 *
 * A schedule of calls is generated and played against a virtual clock; every body looks around when it starts.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { turn, untilAborted } from '../../test/support/bodies.ts';
import { sleep, VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { tokenBucket } from './limits/rate.ts';
import { type Group, Pool, type PoolOptions, type Submission, type TaskContext } from './pool.ts';
import type { Task } from './task.ts';

const kinds = ['value', 'slow value', 'throw', 'error', 'slow error', 'sleep', 'until aborted', 'deaf'] as const;
type Kind = (typeof kinds)[number];

type Arbitrary<A> = A extends fc.Arbitrary<infer T> ? T : never;

const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const asks = fc.record({
  kind: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...kinds) },
    { weight: 6, arbitrary: fc.constant('sleep' as const) },
  ),
  priority: fc.constantFrom(0, 4, 9),
  key: fc.constantFrom(undefined, 'a', 'b'),
  weight: fc.constantFrom(1, 1, 1, 2, 6),
  queueTimeout: rarely(fc.integer({ min: 1, max: 30 })),
  timeout: rarely(fc.integer({ min: 1, max: 30 })),
  signal: fc.constantFrom('none' as const, 'own' as const, 'shared' as const),
  group: fc.constantFrom(false, false, false, true),
});

const calls = fc.array(
  fc.oneof(
    { weight: 20, arbitrary: asks.map((submit) => ({ submit })) },
    {
      weight: 1,
      arbitrary: fc.record({
        run: fc.array(fc.constantFrom(...kinds), { maxLength: 8 }),
        failFast: fc.boolean(),
        ordered: fc.boolean(),
      }),
    },
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 20 }).map((advance) => ({ advance })) },
    { weight: 4, arbitrary: fc.constant('turn' as const) },
    { weight: 3, arbitrary: fc.nat(20).map((abort) => ({ abort })) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 4 }).map((resize) => ({ resize })) },
    { weight: 1, arbitrary: fc.constant('pause' as const) },
    { weight: 2, arbitrary: fc.constant('resume' as const) },
    { weight: 1, arbitrary: fc.constantFrom('abort all' as const, 'cancel group' as const) },
  ),
  { maxLength: 80, size: 'max' },
);

type Ask = Pick<Arbitrary<typeof asks>, 'kind' | 'signal' | 'group'> & Partial<Arbitrary<typeof asks>>;
type Call = Arbitrary<typeof calls>[number];
type Setup = Arbitrary<typeof setups>;

const setups = fc.record({
  workers: fc.integer({ min: 1, max: 4 }),
  size: fc.nat(8),
  whenFull: fc.constantFrom(...(['wait', 'reject', 'drop-oldest', 'drop-newest', 'caller-runs'] as const)),
  ageing: fc.constantFrom(1, 3, 1_000, Number.POSITIVE_INFINITY),
  order: fc.constantFrom('fifo' as const, 'lifo' as const),
  perKey: fc.integer({ min: 1, max: 2 }),
  onTimeout: fc.constantFrom('hold' as const, 'release' as const),
  rated: fc.boolean(),
  stuckAfter: fc.constantFrom(10, Number.POSITIVE_INFINITY),
});

/** Leaves out what is undefined, and what the pool refuses. */
function present<T extends object>(options: T, whenFull: string) {
  const entries = Object.entries(options).filter(
    ([name, value]) => value !== undefined && !(whenFull === 'caller-runs' && (name === 'key' || name === 'rate')),
  );
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

class Play {
  readonly clock = new VirtualClock();
  readonly pool: Pool;
  readonly setup: Setup;
  readonly shared = new AbortController();
  readonly own: AbortController[] = [];
  readonly tasks: Task[] = [];
  /** How often `accepted`, `done` and `ended` of each submission have settled. */
  readonly settled: [number, number, number][] = [];
  readonly promises: Promise<unknown>[] = [];
  readonly ends: Promise<unknown>[] = [];
  readonly runs: Promise<void>[] = [];
  readonly #group: Group<(context: TaskContext) => unknown, unknown>;
  readonly #deaf = Promise.withResolvers<void>();
  /** Bodies that run, and whether each does so in its caller. */
  readonly running = new Map<Task, boolean>();
  results = 0;
  /** What a body or a promise saw that must not be: thrown there, it would only end the body. */
  readonly broken: string[] = [];
  #submitting = false;

  constructor(setup: Setup) {
    this.setup = setup;
    const { workers, size, whenFull, ageing, order, perKey, onTimeout, rated, stuckAfter } = setup;
    const options: PoolOptions = {
      workers,
      queue: { size, whenFull, ageing, order },
      perKey,
      onTimeout,
      stuckAfter,
      clock: this.clock,
      ...(rated && whenFull !== 'caller-runs'
        ? { rate: tokenBucket({ limit: 1_000, burst: 1, clock: this.clock }) }
        : {}),
    };
    this.pool = new Pool(options);
    this.#group = this.pool.group();
  }

  async call(call: Call): Promise<void> {
    const { pool } = this;
    if (call === 'turn') await turn();
    else if (call === 'pause') pool.pause();
    else if (call === 'resume') pool.resume();
    else if (call === 'abort all') this.shared.abort(new Error('all'));
    else if (call === 'cancel group') this.#group.cancel(new Error('the group'));
    else if ('advance' in call) await this.clock.advance(call.advance);
    else if ('abort' in call) this.own[call.abort]?.abort(new Error('one'));
    else if ('resize' in call) pool.resize(call.resize);
    else if ('submit' in call) this.submit(call.submit);
    else this.runs.push(this.#run(call.run, call));
    // Surplus workers' places and those that wait for a worker of their own may stand in the queue.
    assert.ok(pool.stats().waiting <= this.setup.size + 4);
  }

  submit({ kind, signal, group, ...options }: Ask): void {
    const n = this.tasks.length;
    const controller = signal === 'shared' ? this.shared : new AbortController();
    if (signal === 'own') this.own.push(controller);
    const isCancelled = signal !== 'none' && controller.signal.aborted;
    let started = false;
    const body = (context: TaskContext) => {
      this.#law(!started && !isCancelled, 'starts once, and not when it was cancelled before');
      started = true;
      return this.#body(kind, n, context);
    };
    const settings = {
      ...present(options, this.setup.whenFull),
      ...(signal === 'none' ? {} : { signal: controller.signal }),
    };
    this.#submitting = true;
    const submission: Submission<unknown> = group
      ? this.#group.submit(body, settings)
      : this.pool.submit(body, settings);
    this.#submitting = false;
    const task = submission as Task;
    this.tasks.push(task);
    const counts: [number, number, number] = [0, 0, 0];
    this.settled.push(counts);
    const count = (which: 0 | 1 | 2) => () => {
      counts[which]++;
    };
    this.promises.push(submission.accepted.then(count(0), count(0)), submission.done.then(count(1), count(1)));
    this.ends.push(submission.ended.then(count(2), count(2)));
    void submission.ended.then(() => this.#law(!this.running.has(task), 'its body has really ended'));
    submission.done.then(
      (value) => this.#law(value === n, 'its own value'),
      () => undefined,
    );
    submission.accepted.catch((error) => {
      this.#law(!started && task.value === error, 'what has no place does not start, and ends with the same reason');
    });
  }

  /** Ends those that wait for that, so that the test can. */
  release(): void {
    this.#deaf.resolve();
  }

  async #run(list: readonly Kind[], options: { failFast: boolean; ordered: boolean }): Promise<void> {
    const { failFast, ordered } = options;
    const indexes: number[] = [];
    let isFailed = false;
    try {
      for await (const { index, job, status } of this.pool.run(list, (kind, context) => this.#body(kind, -1, context), {
        failFast,
        ordered,
      })) {
        this.results++;
        assert.equal(job, list[index]);
        indexes.push(index);
        if (status === 'rejected') isFailed = true;
      }
      assert.equal(indexes.length, list.length);
      assert.ok(!failFast || !isFailed);
    } catch (error) {
      assert.ok(failFast || isError(error, 'STOPPED'), String(error));
    }
    assert.equal(new Set(indexes).size, indexes.length);
    if (ordered) assert.deepEqual(indexes, [...indexes.keys()]);
  }

  #body(kind: Kind, n: number, context: TaskContext): unknown {
    const task = context as Task;
    this.#lookAround(task);
    if (kind === 'value') return n;
    if (kind === 'throw') throw new Error(`thrown ${n}`);
    this.running.set(task, this.#submitting);
    return this.#slow(kind, n, context).finally(() => this.running.delete(task));
  }

  async #slow(kind: Kind, n: number, context: TaskContext): Promise<number> {
    if (kind.startsWith('slow')) await turn();
    if (kind.endsWith('error')) throw new Error(`error ${n}`);
    if (kind === 'sleep') await sleep(this.clock, 12, context.signal);
    if (kind === 'deaf') await this.#deaf.promise;
    if (kind === 'until aborted') await Promise.race([untilAborted(context), this.#deaf.promise]);
    return n;
  }

  /** The laws that hold when a body starts. */
  #lookAround(task: Task): void {
    const { workers, paused } = this.pool.stats();
    this.#law(!paused, 'nothing starts while it is paused');
    const { key, priority, weight } = task.settings;
    const sameKey = [...this.running.keys()].filter((other) => key !== undefined && other.settings.key === key);
    this.#law(sameKey.length < this.setup.perKey || key === undefined, 'as many of a key as allowed');
    if (this.#submitting) return;

    const counted = [...this.running].filter(([other, inCaller]) => !inCaller && !this.#isGivenUp(other));
    const taken = counted.reduce((sum, [other]) => sum + other.settings.weight, weight);
    this.#law(taken <= workers || counted.length === 0, `${taken} workers taken of ${workers}`);

    const { ageing } = this.setup;
    for (const other of this.tasks) {
      if (other.phase !== 'waiting' && other.phase !== 'parked') continue;
      const isReady = other.settings.key === undefined;
      this.#law(!isReady || this.#rank(other) >= this.#rank(task), 'nothing overtakes but by priority and ageing');
      this.#law(!isReady || Number.isFinite(ageing) || other.settings.priority >= priority, 'strict priorities');
      if (other.settings.priority !== priority || other.settings.key !== key) continue;
      this.#law(this.setup.order === 'fifo' ? other.order > task.order : other.order < task.order, 'in order');
    }
  }

  #law(holds: boolean, law: string): void {
    if (!holds) this.broken.push(law);
  }

  #rank({ order, settings: { priority } }: Task): number {
    return (this.setup.order === 'fifo' ? order : -order) + (priority > 0 ? priority * this.setup.ageing : 0);
  }

  #isGivenUp(task: Task): boolean {
    return this.setup.onTimeout === 'release' && task.timedOut;
  }
}

describe('The laws of the pool', () => {
  it('hold with every feature on, whatever is called in whatever order', async () => {
    const property = fc.asyncProperty(setups, calls, async (setup, list) => {
      const play = new Play(setup);
      const { pool, clock } = play;
      for (const call of list) await play.call(call);

      const before = pool.stats();
      const open = before.submitted - before.fulfilled - before.rejected - before.cancelled;
      const closing = pool.close({ deadline: 50 });
      play.submit({ kind: 'value', signal: 'none', group: false });
      await turn();
      await clock.advance(50);
      await clock.advance(1_000);
      const report = await closing;
      assert.equal(report.finished + report.aborted + report.abandoned, open, 'what was open is reported once');
      await checkAtTheEnd(play);
    });
    await fc.assert(property, { numRuns: 300 });
  });

  it('let everything come to its end by itself, once bodies end', async () => {
    const property = fc.asyncProperty(setups, calls, async (setup, list) => {
      const play = new Play(setup);
      const { pool, clock } = play;
      for (const call of list) await play.call(call);

      // Nothing but bodies that end, so that no call wakes what was forgotten.
      if (pool.stats().paused) pool.resume();
      play.release();
      let isDrained = false;
      // A run may pull its next job a moment after the pool was empty, so runs come first.
      void Promise.all(play.runs)
        .then(() => pool.drain())
        .then(() => {
          isDrained = true;
        });
      for (let n = 0; n < 200 && !isDrained; n++) await clock.advance(20);
      assert.ok(isDrained, `waits for ever: ${JSON.stringify(pool.stats())}`);
      assert.deepEqual(await pool.close(), { finished: 0, aborted: 0, abandoned: 0 });
      await checkAtTheEnd(play);
    });
    await fc.assert(property, { numRuns: 200 });
  });
});

/** The laws that hold when the pool has closed. */
async function checkAtTheEnd(play: Play): Promise<void> {
  const { pool, clock } = play;
  await Promise.all(play.promises);
  await Promise.all(play.runs);
  const { submitted, fulfilled, rejected, cancelled, refused, waiting, blocked } = pool.stats();
  assert.equal(fulfilled + rejected + cancelled, submitted, 'everything that was taken has one outcome');
  assert.equal(submitted + refused, play.tasks.length + play.results, 'and everything is counted once');
  assert.deepEqual([waiting, blocked], [0, 0]);
  assert.equal(clock.pending, 0, 'no timer is left');
  for (const { signal } of [play.shared, ...play.own]) assert.equal(getEventListeners(signal, 'abort').length, 0);
  for (const task of play.tasks) assert.ok(task.status, 'has settled');

  play.release();
  await Promise.all(play.ends);
  await pool.drain();
  await turn();
  assert.deepEqual(play.broken, []);
  assert.equal(play.running.size, 0, 'no body runs');
  assert.deepEqual([pool.stats().running, pool.stats().detached], [0, 0]);
  assert.equal(pool.stats().submitted, submitted);
  assert.ok(
    play.settled.every((counts) => counts.every((times) => times === 1)),
    'accepted, done and ended, once each',
  );
}
