import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import type { LimitOptions } from './level.ts';
import type { Limit, Sample } from './limit.ts';
import { limits } from './limits.ts';

type Make = (options: LimitOptions) => Limit;
type Options = { readonly initial?: number; readonly min?: number; readonly max?: number };

/** Every limit that moves; `fixed` does not. */
const { fixed, ...moving } = limits;

/** A limit and the hours it is told: each sample ends `rtt` ms after it began, and begins when the one before ended. */
function setUp(make: Make, options: Options = {}) {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const limit = make({ ...options, clock });
  const tell = (sample: Partial<Sample>, took = 100) => {
    const startedAt = now;
    now += took;
    limit.sample({ outcome: 'ok', startedAt, inFlight: limit.limit, ...sample });
  };
  return { limit, tell };
}

const anySample = fc.record({
  outcome: fc.constantFrom('ok', 'overload', 'ignored'),
  took: fc.double({ min: 0, max: 1e6, noNaN: true }),
  measured: fc.boolean(),
  inFlight: fc.integer({ min: 1, max: 1000 }),
  bytes: fc.integer({ min: 0, max: 2 ** 40 }),
  restart: fc.boolean(),
});

for (const [name, make] of Object.entries(moving) as [string, Make][]) {
  describe(`limits.${name}`, () => {
    it('stays a whole number between its bounds, whatever it is told', () => {
      const bounds = fc.record({
        min: fc.integer({ min: 1, max: 20 }),
        span: fc.nat(100),
        initial: fc.integer({ min: 1 }),
      });
      fc.assert(
        fc.property(bounds, fc.array(anySample, { maxLength: 200 }), ({ min, span, initial }, samples) => {
          const { limit, tell } = setUp(make, { min, max: min + span, initial });
          for (const { took, measured, restart, ...sample } of samples) {
            if (restart) limit.restart();
            tell(measured ? { ...sample, rtt: took } : sample, took);
            assert.ok(Number.isInteger(limit.limit), `${limit.limit}`);
            assert.ok(limit.limit >= min && limit.limit <= min + span, `${limit.limit}`);
          }
        }),
      );
    });

    it('grows to its maximum on a store that is always quick, and no further', () => {
      const { limit, tell } = setUp(make, { max: 40 });
      for (let i = 0; i < 1000; i++) tell({ rtt: 100 });
      assert.equal(limit.limit, 40);
    });

    it('does not grow while the caller has less to send than it allows', () => {
      const { limit, tell } = setUp(make, { initial: 20 });
      for (let i = 0; i < 1000; i++) tell({ rtt: 100, inFlight: 19 });
      assert.ok(limit.limit <= 20, `${limit.limit}`);
    });

    it('shrinks while the store refuses, step by step', () => {
      const { limit, tell } = setUp(make, { initial: 64 });
      for (let i = 0; i < 50; i++) tell({ rtt: 100 });
      for (let i = 0; i < 1000 && limit.limit > 8; i++) tell({ outcome: 'overload' });
      assert.ok(limit.limit >= 5 && limit.limit <= 8, `${limit.limit}`);
    });

    it('shrinks when latency rises under its load', () => {
      const { limit, tell } = setUp(make, { initial: 64, max: 64 });
      for (let i = 0; i < 50; i++) tell({ rtt: 100 + (i % 3) });
      const before = limit.limit;
      for (let i = 0; i < 50; i++) tell({ rtt: 400 + 50 * i }, 400 + 50 * i);
      assert.ok(limit.limit < before, `${before} → ${limit.limit}`);
    });

    it('is not moved by failures that say nothing about load', () => {
      const { limit, tell } = setUp(make, { initial: 10 });
      for (let i = 0; i < 100; i++) tell({ outcome: 'ignored', rtt: i * 100 });
      assert.equal(limit.limit, 10);
    });

    it('is not shrunk by answers whose latency nobody trusts', () => {
      const { limit, tell } = setUp(make, { initial: 10 });
      for (let i = 0; i < 50; i++) tell({ rtt: 100 + (i % 3) });
      const before = limit.limit;
      for (let i = 0; i < 100; i++) tell({}, 5_000);
      assert.ok(limit.limit >= before, `${before} → ${limit.limit}`);
    });

    it('starts warm when it is given an `initial`, within its bounds', () => {
      assert.equal(setUp(make, { initial: 100 }).limit.limit, 100);
      assert.equal(setUp(make, { initial: 100, max: 30 }).limit.limit, 30);
      assert.equal(setUp(make, { initial: 1, min: 5 }).limit.limit, 5);
    });

    it('begins low after a restart, also when it started warm', () => {
      const low = make({}).limit;
      const { limit, tell } = setUp(make, { initial: 100 });
      for (let i = 0; i < 50; i++) tell({ rtt: 100 });
      limit.restart();
      assert.equal(limit.limit, low);
      const { limit: cold } = setUp(make, { initial: 1 });
      cold.restart();
      assert.equal(cold.limit, 1);
    });

    it('learns latency anew after a restart', () => {
      const { limit, tell } = setUp(make, { max: 40 });
      for (let i = 0; i < 100; i++) tell({ rtt: 10 }, 10);
      limit.restart();
      for (let i = 0; i < 60; i++) tell({ rtt: 1000 }, 1000);
      assert.equal(limit.limit, 40);
    });

    it('refuses bounds that make no sense, naming them', () => {
      for (const options of [{ min: 0 }, { min: 1.5 }, { max: 0 }, { min: 5, max: 4 }, { initial: Number.NaN }]) {
        assert.throws(() => make(options), refusing(Object.keys(options).at(-1) as string));
      }
    });
  });
}

describe('limits', () => {
  it('has one that is fixed, whatever it is told', () => {
    const limit = fixed(7);
    limit.sample({ outcome: 'overload', startedAt: 0, inFlight: 7 });
    limit.restart();
    assert.equal(limit.limit, 7);
    assert.throws(() => fixed(0), refusing('limit'));
  });

  it('refuses parameters that make no sense, naming them', () => {
    const wrong: [(options: never) => Limit, Record<string, number>][] = [
      [limits.aimd, { decrease: 1 }],
      [limits.aimd, { slack: -1 }],
      [limits.vegas, { alpha: 0 }],
      [limits.vegas, { beta: 2 }],
      [limits.vegas, { smoothing: 1.1 }],
      [limits.vegas, { probe: 0 }],
      [limits.gradient2, { queue: 0 }],
      [limits.gradient2, { tolerance: 0.9 }],
      [limits.gradient2, { smoothing: 0 }],
      [limits.gradient2, { window: 0 }],
      [limits.arc, { decrease: 0 }],
      [limits.arc, { alpha: 0 }],
      [limits.arc, { deviations: -1 }],
    ];
    for (const [make, options] of wrong) {
      assert.throws(() => make(options as never), refusing(Object.keys(options)[0] as string));
    }
  });
});

function refusing(option: string) {
  return (error: unknown) => isError(error, 'OPTION_INVALID') && error.fields.option === option;
}
