import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sleep, VirtualClock } from '../clock.ts';
import { isError, MillraceError, type SinkTrouble } from '../errors.ts';
import { seeded } from '../pool/limits/simulation.ts';
import { GatedSink } from './gated.ts';
import type { Sink, SinkObject } from './sink.ts';

const object = (key = 'a'): SinkObject => ({ key, body: new Uint8Array(10), contentType: 'application/json' });
const away = (trouble: SinkTrouble = 'overload', retryAfter?: number) =>
  new MillraceError('SINK_AWAY', { trouble, reason: '503 SlowDown', retryAfter });

/** A store in virtual time: `answer` says what an attempt meets; `latency` ms ± 30 % for a success, 1 ms for a failure. */
class FakeStore implements Sink {
  readonly name = 'fake:';
  readonly clock: VirtualClock;
  latency = 20;
  readonly #random = seeded(3);
  answer: (attempt: { object: SinkObject; inFlight: number }) => Error | undefined = () => undefined;
  inFlight = 0;
  stored = 0;
  failed = 0;
  readonly starts: number[] = [];

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  async open() {}
  async close() {}
  async [Symbol.asyncDispose]() {}

  async put(object: SinkObject, signal?: AbortSignal) {
    this.starts.push(this.clock.monotonic());
    const error = this.answer({ object, inFlight: ++this.inFlight });
    try {
      await sleep(this.clock, error ? 1 : this.latency * (0.7 + 0.6 * this.#random()), signal);
    } finally {
      this.inFlight--;
    }
    if (error) {
      this.failed++;
      throw error;
    }
    this.stored++;
  }
}

/** Lets the promises of the test's own calls run before time moves. */
class PatientClock extends VirtualClock {
  override async advance(ms: number): Promise<void> {
    await super.advance(0);
    await super.advance(ms);
  }
}

function setUp() {
  const clock = new PatientClock();
  const store = new FakeStore(clock);
  const sink = new GatedSink(store, { clock, random: seeded(7), isLate: () => false });
  /** Workers that put one object after the other until the signal aborts. */
  const work = (workers: number, signal: AbortSignal) =>
    Promise.allSettled(
      Array.from({ length: workers }, async (_, worker) => {
        for (let i = 0; ; i++) await sink.put(object(`${worker}/${i}`), signal);
      }),
    );
  return { clock, store, sink, work };
}

describe('GatedSink', { timeout: 30_000 }, () => {
  for (const knee of [4, 16, 48]) {
    it(`keeps SlowDown under 1 % at 90 % of the best, ten seconds after it began (knee ${knee})`, async () => {
      const { clock, store, work } = setUp();
      store.answer = ({ inFlight }) => (inFlight > knee ? away() : undefined);
      const stop = new AbortController();
      const working = work(64, stop.signal);
      await clock.advance(10_000);
      const [stored, failed] = [store.stored, store.failed];
      await clock.advance(6_000);
      stop.abort();
      await working;
      const best = (knee * 6_000) / store.latency;
      assert.ok(store.stored - stored >= 0.9 * best, `${store.stored - stored} of ${best}`);
      assert.ok(store.failed - failed < 0.01 * (store.stored - stored), `${store.failed - failed} refused`);
    });
  }

  it('waits out a store that is away for five minutes with a few dozen probes, and loses nothing', async () => {
    const { clock, store, sink } = setUp();
    const first = sink.put(object());
    await clock.advance(100);
    await first;
    store.answer = () => away();
    const puts = Promise.all(Array.from({ length: 64 }, (_, i) => sink.put(object(`${i}`))));
    await clock.advance(5_000);
    assert.equal(sink.stats().state, 'away');
    assert.equal(sink.stats().limit, 1);
    const before = store.starts.length;
    assert.ok(before < 64, `${before} attempts before the gate shut`);
    await clock.advance(295_000);
    const probes = store.starts.slice(before);
    assert.ok(probes.length >= 8 && probes.length <= 20, `${probes.length} probes`);
    for (let i = 1; i < probes.length; i++) {
      const gap = (probes[i] as number) - (probes[i - 1] as number);
      assert.ok(gap >= 1_000 && gap <= 30_001, `${gap} ms between probes`);
    }

    store.answer = () => undefined;
    await clock.advance(31_000);
    await puts;
    assert.equal(store.stored, 65);
    assert.equal(sink.stats().state, 'open');
    assert.equal(clock.pending, 0);
  });

  it('is back at full speed seconds after the store is', async () => {
    const { clock, store, work } = setUp();
    const stop = new AbortController();
    const working = work(32, stop.signal);
    await clock.advance(2_000);
    store.answer = () => away('unreachable');
    await clock.advance(20_000);
    store.answer = () => undefined;
    await clock.advance(30_000);
    const stored = store.stored;
    await clock.advance(2_000);
    stop.abort();
    await working;
    assert.ok(store.stored - stored >= 0.9 * ((32 * 2_000) / store.latency), `${store.stored - stored}`);
  });

  it('starts nothing before Retry-After is over', async () => {
    const { clock, store, sink, work } = setUp();
    const stop = new AbortController();
    const working = work(8, stop.signal);
    await clock.advance(1_000);
    const [from, before] = [clock.monotonic(), store.starts.length];
    store.answer = () => (store.starts.length === before + 1 ? away('overload', 3_000) : undefined);
    await clock.advance(2_900);
    assert.equal(sink.stats().state, 'slowed');
    // Those that began in the same round trip as the one that was told.
    assert.ok(store.starts.slice(before).every((at) => at < from + 25));
    await clock.advance(1_000);
    assert.ok(store.starts.some((at) => at >= from + 3_000));
    stop.abort();
    await working;
  });

  it('caps a Retry-After of a year at five minutes', async () => {
    const { clock, store, sink } = setUp();
    store.answer = () => (store.starts.length === 1 ? away('overload', 3.2e10) : undefined);
    const put = sink.put(object());
    await clock.advance(300_100);
    await put;
  });

  it('shuts within seconds when the store is blocked, keeps its limit, and opens when it is mended', async () => {
    const { clock, store, sink } = setUp();
    store.answer = () => away('blocked');
    const put = sink.put(object());
    await clock.advance(3_000);
    assert.equal(sink.stats().state, 'away');
    assert.ok(store.starts.length <= 10, `${store.starts.length} attempts`);
    store.answer = () => undefined;
    await clock.advance(5_000);
    await put;
    assert.deepEqual([sink.stats().state, sink.stats().limit], ['slowed', 4]);
  });

  it('gives a put back to its caller that alone fails ten times, and hardly slows the others', async () => {
    for (const trouble of ['blocked', 'overload', 'unreachable'] as const) {
      const { clock, store, sink, work } = setUp();
      store.answer = ({ object }) => (object.key === 'poison' ? away(trouble) : undefined);
      const stop = new AbortController();
      const working = work(4, stop.signal);
      await clock.advance(1_000);
      const poison = assert.rejects(sink.put(object('poison')), (error) => isError(error, 'SINK_AWAY'));
      await clock.advance(5_000);
      await poison;
      assert.ok(store.failed >= 10 && store.failed < 30, `${store.failed} attempts`);
      const most = (4 * 6_000) / store.latency;
      assert.ok(store.stored > (trouble === 'blocked' ? 0.95 : 0.4) * most, `${store.stored} of the others`);
      stop.abort();
      await working;
    }
  });

  it('throws what no repeat can mend, once, and goes on', async () => {
    const { clock, store, sink } = setUp();
    store.answer = () => new MillraceError('SINK_REFUSED', { key: 'a', reason: 'EntityTooLarge' });
    const refused = assert.rejects(sink.put(object()), (error) => isError(error, 'SINK_REFUSED'));
    await clock.advance(10);
    await refused;
    assert.equal(sink.stats().refused, 1);
    assert.equal(sink.stats().inFlight, 0);
    assert.equal(sink.stats().state, 'open');
  });

  it('lets go of a put whose signal aborts: waiting, held or under way', async () => {
    const { clock, store, sink } = setUp();
    const reason = new Error('enough');
    const put = () => {
      const stop = new AbortController();
      return { stop: () => stop.abort(reason), over: assert.rejects(sink.put(object(), stop.signal), reason) };
    };
    const underWay = Array.from({ length: 4 }, put);
    const waiting = put();
    assert.deepEqual([sink.stats().inFlight, sink.stats().waiting], [4, 1]);
    for (const { stop } of [waiting, ...underWay]) stop();
    await Promise.all([waiting, ...underWay].map(({ over }) => over));

    store.answer = () => away('blocked');
    const held = put();
    await clock.advance(100);
    held.stop();
    await held.over;
    assert.deepEqual([sink.stats().inFlight, sink.stats().waiting, clock.pending], [0, 0, 0]);
    await assert.rejects(sink.put(object(), AbortSignal.abort(reason)), reason);
  });

  it('turns away what waits when it closes, and leaves no timer', async () => {
    const { clock, store, sink } = setUp();
    store.answer = () => away('blocked');
    const held = assert.rejects(sink.put(object()), (error) => isError(error, 'STOPPED'));
    await clock.advance(100);
    await sink.close();
    await held;
    await assert.rejects(sink.put(object()), (error) => isError(error, 'STOPPED'));
    assert.equal(clock.pending, 0);
  });

  it('counts what it did', async () => {
    const { clock, store, sink } = setUp();
    store.answer = () =>
      store.starts.length <= 2 ? away(store.starts.length === 1 ? 'overload' : 'unreachable') : undefined;
    const put = sink.put(object());
    await clock.advance(1_000);
    await put;
    const { stored, bytes, overloads, failures, refused, lastError } = sink.stats();
    assert.deepEqual(
      { stored, bytes, overloads, failures, refused },
      { stored: 1, bytes: 10, overloads: 1, failures: 1, refused: 0 },
    );
    assert.match(lastError?.message ?? '', /SlowDown/);
  });
});
