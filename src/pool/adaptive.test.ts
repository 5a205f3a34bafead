import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gate, turn, untilAborted } from '../../test/support/bodies.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import type { Limit, Sample } from './limits/limit.ts';
import { slidingWindow, tokenBucket } from './limits/rate.ts';
import { Pool, type Verdict } from './pool.ts';

/** A limit that does what the test says, and remembers what it was told. */
class FakeLimit implements Limit {
  limit: number;
  readonly samples: Sample[] = [];
  /** Called with each sample. */
  learn: (sample: Sample) => void = () => undefined;

  constructor(limit: number) {
    this.limit = limit;
  }

  sample(sample: Sample): void {
    this.samples.push(sample);
    this.learn(sample);
  }

  restart(): void {}
}

async function pass(clock: VirtualClock, ms: number) {
  await turn();
  await clock.advance(ms);
}

describe('Workers that a limit finds', () => {
  it('tells the limit how each body ended, when it began, how long it took and how many ran', async () => {
    const clock = new VirtualClock();
    const limit = new FakeLimit(2);
    const pool = new Pool({ workers: limit, clock });
    const gates = [gate(), gate(), gate()];
    const ends = gates.map(({ body }, n) => pool.submit(body, n === 1 ? { bytes: 512 } : {}).done);
    await pass(clock, 30);
    gates[1]?.resolve();
    await pass(clock, 10);
    gates[0]?.reject(new Error('says nothing about load'));
    await pass(clock, 5);
    gates[2]?.resolve();
    await Promise.allSettled(ends);
    assert.deepEqual(limit.samples, [
      { outcome: 'ok', startedAt: 0, inFlight: 2, bytes: 512, rtt: 30 },
      { outcome: 'ignored', startedAt: 0, inFlight: 1, bytes: 0, rtt: 40 },
      { outcome: 'ok', startedAt: 30, inFlight: 2, bytes: 0, rtt: 15 },
    ]);
  });

  it('hears of a timeout when it is over, not when the deaf body ends at last, and only once', async () => {
    const clock = new VirtualClock();
    const limit = new FakeLimit(2);
    const pool = new Pool({ workers: limit, clock });
    const deaf = gate({ deaf: true });
    const { done, ended } = pool.submit(deaf.body, { timeout: 20 });
    await pass(clock, 20);
    await assert.rejects(done);
    assert.deepEqual(limit.samples, [{ outcome: 'overload', startedAt: 0, inFlight: 1, bytes: 0, rtt: 20 }]);
    await pass(clock, 100);
    deaf.resolve();
    await ended;
    await turn();
    assert.equal(limit.samples.length, 1);
  });

  it('takes a timeout of the body for overload', async () => {
    const clock = new VirtualClock();
    const limit = new FakeLimit(1);
    const pool = new Pool({ workers: limit, clock, timeout: 20 });
    const { ended } = pool.submit(untilAborted);
    await pass(clock, 20);
    await ended;
    assert.deepEqual(
      limit.samples.map(({ outcome, rtt }) => [outcome, rtt]),
      [['overload', 20]],
    );
  });

  it('runs more bodies when the limit grows, and lets the surplus end when it shrinks', async () => {
    const limit = new FakeLimit(1);
    const pool = new Pool({ workers: limit });
    const gates = Array.from({ length: 8 }, () => gate());
    const started = () => gates.filter((body) => body.started).length;
    for (const { body } of gates) pool.submit(body);
    await turn();
    assert.equal(started(), 1);
    limit.learn = () => {
      limit.limit = 4;
    };
    gates[0]?.resolve();
    await turn();
    assert.deepEqual([started(), pool.stats().workers, pool.stats().running], [5, 4, 4]);
    limit.learn = () => {
      limit.limit = 2;
    };
    for (const [index, expected] of [
      [1, 5],
      [2, 5],
      [3, 6],
    ] as const) {
      gates[index]?.resolve();
      await turn();
      assert.equal(started(), expected, 'the surplus is a debt');
    }
    for (const { resolve } of gates) resolve();
    await pool.drain();
    assert.equal(limit.samples.length, 8);
  });

  it('holds a growing limit back while the pool is paused', async () => {
    const limit = new FakeLimit(1);
    const pool = new Pool({ workers: limit });
    const first = gate();
    pool.submit(first.body);
    pool.submit(() => 0);
    await turn();
    pool.pause();
    limit.learn = () => {
      limit.limit = 9;
    };
    first.resolve();
    await turn();
    assert.deepEqual([pool.stats().workers, pool.stats().running, pool.stats().waiting], [9, 0, 1]);
    pool.resume();
    await pool.drain();
  });

  it('cannot be resized by hand', () => {
    const pool = new Pool({ workers: new FakeLimit(1) });
    assert.throws(
      () => pool.resize(2),
      (error) => isError(error, 'OPTION_INVALID'),
    );
    assert.throws(
      () => new Pool({ workers: {} as never }),
      (error) => isError(error, 'OPTION_INVALID'),
    );
  });

  it('survives a limit and a `classify` that throw, with a warning and without losing a worker', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    const limit = new FakeLimit(1);
    limit.learn = () => {
      throw new Error('a limit that throws');
    };
    const classify = () => {
      throw new Error('a classify that throws');
    };
    for (const pool of [new Pool({ workers: limit }), new Pool({ workers: 1, classify })]) {
      for (const n of [1, 2]) {
        assert.equal(await pool.submit(() => n, { key: 'k' }).done, n);
        assert.equal(await pool.submit(async () => n, { key: 'k' }).done, n);
      }
      await pool.close();
      const { running, fulfilled, rejected } = pool.stats();
      assert.deepEqual({ running, fulfilled, rejected }, { running: 0, fulfilled: 4, rejected: 0 });
    }
    await turn();
    process.off('warning', listen);
    assert.equal(warnings.length, 8);
  });

  it('survives whatever a body throws, also what cannot be looked at', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const pool = new Pool({ workers: 1, histograms: true });
    const sync = pool.submit(() => {
      throw proxy;
    });
    const async = pool.submit(() => Promise.reject(proxy));
    for (const ending of await Promise.allSettled([sync.done, async.done])) {
      assert.ok(ending.status === 'rejected' && ending.reason === proxy);
    }
    assert.equal(await pool.submit(() => 'still here').done, 'still here');
    await pool.close();
    assert.deepEqual([pool.stats().rejected, pool.stats().running], [2, 0]);
  });
});

describe('classify', () => {
  it('sees each outcome and gives the verdict', async () => {
    const limit = new FakeLimit(1);
    const seen: unknown[] = [];
    const pool = new Pool({
      workers: limit,
      classify: (outcome): Verdict => {
        seen.push(outcome);
        return outcome.status === 'fulfilled' && outcome.value === 503 ? 'overload' : 'ok';
      },
    });
    const failure = new Error('failed');
    await pool.submit(() => 503).done;
    await assert.rejects(pool.submit(() => Promise.reject(failure)).done);
    assert.deepEqual(seen, [
      { status: 'fulfilled', value: 503 },
      { status: 'rejected', error: failure },
    ]);
    assert.deepEqual(
      limit.samples.map(({ outcome }) => outcome),
      ['overload', 'ok'],
    );
  });

  it('stops starts for as long as the other side asks, and counts that as overload', async () => {
    const clock = new VirtualClock();
    const limit = new FakeLimit(1);
    const pool = new Pool({
      workers: limit,
      clock,
      classify: ({ status }) => (status === 'rejected' ? { retryAfter: 500 } : 'ok'),
    });
    const bad = pool.submit(() => Promise.reject(new Error('429')));
    const next = gate();
    pool.submit(next.body);
    await assert.rejects(bad.done);
    await pass(clock, 499);
    assert.equal(next.started, false);
    await pass(clock, 1);
    await turn();
    assert.equal(next.started, true);
    next.resolve();
    await pool.drain();
    assert.deepEqual(
      limit.samples.map(({ outcome }) => outcome),
      ['overload', 'ok'],
    );
    assert.equal(clock.pending, 0);
  });

  it('works for a fixed number of workers too, and a header that is no number asks for no pause', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, classify: () => ({ retryAfter: Number('soon') }) });
    for (const n of [1, 2, 3]) assert.equal(await pool.submit(() => n).done, n);
    await pool.close();
    assert.equal(clock.pending, 0);
  });

  it('leaves no timer when the pool closes during a pause', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 1, clock, classify: () => ({ retryAfter: 60_000 }) });
    await pool.submit(() => 1).done;
    const waiting = pool.submit(() => assert.fail('must not start'));
    await turn();
    const closing = pool.close({ deadline: 10 });
    await pass(clock, 10);
    assert.deepEqual(await closing, { finished: 0, aborted: 1, abandoned: 0 });
    await assert.rejects(waiting.done, (error) => isError(error, 'STOPPED'));
    assert.equal(clock.pending, 0);
  });
});

describe('rate', () => {
  it('spaces starts, whatever else is free, and goes on by itself', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 9, clock, rate: tokenBucket({ limit: 10, burst: 1, clock }) });
    const startedAt: number[] = [];
    const ends = [1, 2, 3, 4].map(() => pool.submit(() => startedAt.push(clock.monotonic())).done);
    await pass(clock, 1_000);
    await Promise.all(ends);
    assert.deepEqual(startedAt, [0, 100, 200, 300]);
    assert.equal(clock.pending, 0);
  });

  it('counts by weight, holds a run back as well, and spends nothing on what is cancelled', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: 9, clock, rate: slidingWindow({ limit: 2, clock }) });
    const over = new AbortController();
    const startedAt: string[] = [];
    const at = (name: string) => () => startedAt.push(`${name} ${clock.monotonic()}`);
    pool.submit(at('heavy'), { weight: 2 });
    pool.submit(at('cancelled'), { signal: over.signal });
    const run = (async () => {
      for await (const { status } of pool.run(['a', 'b', 'c'], (name) => at(name)())) assert.equal(status, 'fulfilled');
    })();
    await turn();
    over.abort();
    await pass(clock, 3_000);
    await run;
    assert.deepEqual(startedAt, ['heavy 0', 'a 1000', 'b 1000', 'c 2000']);
  });
});
