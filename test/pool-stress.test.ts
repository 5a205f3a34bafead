/**
 * A million jobs through pools with everything on, from a seed: whatever is submitted, aborted, timed out, resized or
 * killed, the laws hold at every step. `SEED=…` repeats a run.
 *
 *   settle exactly once · never more weight than workers, counting bodies · never more of a key than allowed
 *   first in first out per priority and key · nothing left open after `close`
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../src/clock.ts';
import { isError } from '../src/errors.ts';
import { seeded } from '../src/pool/limits/simulation.ts';
import { Pool, type SubmitOptions, type TaskContext } from '../src/pool/pool.ts';
import { turn, untilAborted } from './support/bodies.ts';

const SEED = Number(process.env.SEED ?? 20_261_121);
/** Submissions under way before the driver waits for some to end. */
const OUTSTANDING = 4_000;

const KINDS = ['sync', 'async', 'turn', 'throw', 'reject', 'listen', 'deaf'] as const;

/** What the bodies of one pool do and are seen doing. */
class Watch {
  readonly perKey: (key: string) => number;
  weight = 0;
  most = 0;
  bodies = 0;
  readonly broken: string[] = [];
  readonly #running = new Map<string, number>();
  readonly #last = new Map<string, number>();
  /** Ends bodies that listen to nobody. */
  readonly deaf = new Set<() => void>();

  constructor(perKey: (key: string) => number) {
    this.perKey = perKey;
  }

  begin(n: number, { priority = 4, key, weight = 1 }: SubmitOptions): void {
    if (this.bodies > 0 && this.weight + weight > this.most) this.broken.push(`weight ${this.weight + weight} at ${n}`);
    this.bodies++;
    this.weight += weight;
    const line = `${priority}/${key ?? ''}`;
    if ((this.#last.get(line) ?? -1) > n) this.broken.push(`${n} overtaken in ${line}`);
    this.#last.set(line, n);
    if (key === undefined) return;
    const running = (this.#running.get(key) ?? 0) + 1;
    if (running > this.perKey(key)) this.broken.push(`${running} bodies of key ${key}`);
    this.#running.set(key, running);
  }

  end({ key, weight = 1 }: SubmitOptions): void {
    this.bodies--;
    this.weight -= weight;
    if (key !== undefined) this.#running.set(key, (this.#running.get(key) as number) - 1);
  }

  /** A body of the kind, watched from its start to its end. */
  body(kind: (typeof KINDS)[number], n: number, options: SubmitOptions): (context: TaskContext) => unknown {
    const run = (context: TaskContext): unknown => {
      if (kind === 'sync') return n;
      if (kind === 'throw') throw new Error(`${n}`);
      return this.#later(kind, n, context);
    };
    return (context) => {
      this.begin(n, options);
      let value: unknown;
      try {
        value = run(context);
      } catch (error) {
        this.end(options);
        throw error;
      }
      if (!(value instanceof Promise)) {
        this.end(options);
        return value;
      }
      return value.finally(() => this.end(options));
    };
  }

  async #later(kind: (typeof KINDS)[number], n: number, context: TaskContext): Promise<number> {
    if (kind === 'turn') await turn();
    if (kind === 'reject') throw new Error(`${n}`);
    if (kind === 'listen') await untilAborted(context);
    if (kind === 'deaf') await new Promise<void>((resolve) => this.deaf.add(resolve));
    return n;
  }

  release(): void {
    for (const end of this.deaf) end();
    this.deaf.clear();
  }
}

async function hammer(seed: number, jobs: number, whenFull: 'wait' | 'reject' | 'drop-oldest' | 'drop-newest') {
  const random = seeded(seed);
  const pick = (below: number) => Math.floor(random() * below);
  const clock = new VirtualClock();
  const watch = new Watch((key) => 1 + (key.length % 3));
  let workers = 16;
  const pool = new Pool({
    workers,
    queue: { size: 1_000, whenFull, ageing: 50 },
    perKey: watch.perKey,
    histograms: true,
    clock,
  });
  watch.most = workers;
  const settled = { fulfilled: 0, rejected: 0 };
  const wrong: string[] = [];
  let outstanding = 0;
  const aborts: AbortController[] = [];

  const submit = (n: number) => {
    const kind = KINDS[pick(100) < 90 ? pick(3) : pick(KINDS.length)] as (typeof KINDS)[number];
    const options: { -readonly [K in keyof SubmitOptions]: SubmitOptions[K] } = {};
    if (pick(2) === 0) options.priority = pick(10);
    if (pick(3) === 0) options.key = 'k'.repeat(1 + pick(40));
    if (pick(20) === 0) options.weight = 1 + pick(20);
    if (pick(20) === 0) options.queueTimeout = 1 + pick(200);
    // What listens or is deaf would otherwise hold its worker until the end.
    if (kind === 'listen' || pick(20) === 0) options.timeout = 1 + pick(100);
    if (pick(10) === 0) {
      const controller = new AbortController();
      aborts[pick(200)] = controller;
      options.signal = controller.signal;
    }
    outstanding++;
    let count = 0;
    const once = (how: 'fulfilled' | 'rejected') => {
      if (++count > 1) wrong.push(`${n} settled ${count} times`);
      settled[how]++;
      outstanding--;
    };
    pool.submit(watch.body(kind, n, options), options).done.then(
      (value) => {
        once('fulfilled');
        if (value !== n) wrong.push(`${n} got ${value}`);
      },
      () => once('rejected'),
    );
  };

  for (let n = 0; n < jobs; n++) {
    submit(n);
    if (whenFull !== 'wait' && pick(8) === 0) await turn();
    if (pick(50) === 0) aborts[pick(200)]?.abort(new Error('enough'));
    if (pick(2_000) === 0) {
      // Bodies that run now may be more than the new number: it binds those that start.
      workers = 1 + pick(32);
      watch.most = Math.max(workers, watch.weight);
      pool.resize(workers);
    }
    if (pick(5_000) === 0) pool.pause();
    if (pick(200) === 0) {
      pool.resume();
      watch.release();
      await clock.advance(pick(20));
    }
    while (outstanding > OUTSTANDING) {
      pool.resume();
      watch.release();
      await clock.advance(10);
    }
    // The surplus of a smaller pool has gone.
    if (watch.weight <= workers) watch.most = workers;
    assert.deepEqual(watch.broken, [], `seed ${seed}`);
  }
  const closed = pool.close({ deadline: 1_000 });
  for (let over = false; !over; ) {
    watch.release();
    await clock.advance(10);
    over = await Promise.race([closed.then(() => true), turn().then(() => false)]);
  }
  const { abandoned } = await closed;
  await turn();

  assert.deepEqual(wrong, []);
  assert.deepEqual(watch.broken, [], `seed ${seed}`);
  assert.equal(abandoned, 0);
  assert.equal(settled.fulfilled + settled.rejected, jobs);
  const { submitted, fulfilled, rejected, cancelled, refused, running, waiting, blocked, detached } = pool.stats();
  assert.deepEqual({ running, waiting, blocked, detached }, { running: 0, waiting: 0, blocked: 0, detached: 0 });
  assert.equal(submitted, fulfilled + rejected + cancelled);
  assert.equal(submitted + refused, jobs);
  assert.equal(settled.fulfilled, fulfilled);
  assert.deepEqual([watch.bodies, watch.weight, watch.deaf.size], [0, 0, 0]);
  assert.equal(clock.pending, 0);
  return { fulfilled, rejected, cancelled, refused };
}

describe('A million jobs from a seed', () => {
  for (const [index, whenFull] of (['wait', 'reject', 'drop-oldest', 'drop-newest'] as const).entries()) {
    it(`keeps the laws in this thread: 225,000 jobs, whenFull '${whenFull}'`, async () => {
      const counts = await hammer(SEED + index, 225_000, whenFull);
      assert.ok(counts.fulfilled > 50_000 && counts.rejected > 1_000 && counts.cancelled > 100, JSON.stringify(counts));
      if (whenFull !== 'wait') assert.ok(counts.refused + counts.cancelled > 1_000, JSON.stringify(counts));
    });
  }

  it('keeps the laws in threads that die: 100,000 jobs', async () => {
    const random = seeded(SEED);
    const pick = (below: number) => Math.floor(random() * below);
    const worker = new URL('../src/pool/threads/fixtures/act.ts', import.meta.url);
    const pool = new Pool<(payload: unknown) => unknown>({ worker, workers: 2, queue: { size: 2_000 } });
    const counts = { value: 0, thrown: 0, died: 0, aborted: 0 };
    const wrong: string[] = [];
    let settled = 0;
    let killers = 0;
    for (let n = 0; n < 100_000; n++) {
      const what = pick(2_000);
      let payload: unknown = n;
      if (what === 0) payload = { act: 'exit', code: 3 };
      else if (what < 20) payload = { act: 'throw', what: 'string' };
      if (what === 0) killers++;
      const controller = what >= 20 && what < 60 ? new AbortController() : undefined;
      const { accepted, done } = pool.submit(payload, controller ? { signal: controller.signal } : undefined);
      done
        .then(
          (value) => {
            if (value !== n) wrong.push(`${n} got ${String(value)}`);
            counts.value++;
          },
          (error) => {
            if (isError(error, 'THREAD_DIED')) counts.died++;
            else if (controller?.signal.aborted && error === controller.signal.reason) counts.aborted++;
            else if (what < 20) counts.thrown++;
            else wrong.push(`${n}: ${String(error)}`);
          },
        )
        .finally(() => settled++);
      if (pick(1_000) === 0) pool.resize(1 + pick(3));
      await accepted;
      controller?.abort(new Error('enough'));
    }
    await pool.close();
    assert.deepEqual(wrong, []);
    assert.equal(settled, 100_000);
    assert.ok(counts.died >= killers, `${counts.died} died of ${killers}`);
    // One body at a time in a thread: nobody dies with a killer.
    assert.equal(counts.died, killers);
    assert.ok(counts.aborted > 100 && counts.value > 90_000 && counts.thrown > 100, JSON.stringify(counts));
    const { running, waiting, threads } = pool.stats();
    assert.deepEqual([running, waiting, threads?.threads], [0, 0, 0]);
  });
});
