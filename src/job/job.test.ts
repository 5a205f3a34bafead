import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { exponential, fixed, polynomial } from './backoff.ts';
import { decode, encode } from './codec.ts';
import { cancel, discard, snooze } from './control.ts';
import { defineJob, type PayloadOf, type ResultOf } from './job.ts';

describe('defineJob', () => {
  it('fills in what is not said', () => {
    const job = defineJob({ name: 'a', run: () => 1 });
    const { queue, maxAttempts, priority, timeout } = job;
    assert.deepEqual(
      { queue, maxAttempts, priority, timeout },
      { queue: 'default', maxAttempts: 25, priority: 4, timeout: undefined },
    );
  });

  it('refuses what cannot be, naming the option', () => {
    const run = () => 1;
    const wrong: [string, object][] = [
      ['name', { name: '', run }],
      ['queue', { name: 'a', queue: '', run }],
      ['maxAttempts', { name: 'a', maxAttempts: 0, run }],
      ['priority', { name: 'a', priority: 10, run }],
      ['timeout', { name: 'a', timeout: 0, run }],
      ['run', { name: 'a' }],
      ['batch.size', { name: 'a', batch: { size: 0, run } }],
      ['unique.period', { name: 'a', run, unique: { mode: 'throttle' } }],
      ['codec', { name: 'a', run, codec: { name: 'half', encode: () => Buffer.of() } }],
      ['batch.wait', { name: 'a', batch: { size: 1, wait: -1, run } }],
      ['run', { name: 'a', run, batch: { size: 1, run } }],
      ['run', { name: 'a', run, thread: new URL('file:///a') }],
      ['thread', { name: 'a', thread: 'a.ts' }],
      ['thread', { name: 'a', thread: new URL('file:///a'), batch: { size: 1, run } }],
      ['threads', { name: 'a', thread: new URL('file:///a'), threads: 0 }],
      ['threads', { name: 'a', run, threads: 2 }],
      ['batch.run', { name: 'a', batch: { size: 1 } }],
      ['grace', { name: 'a', grace: -1, run }],
      ['keepFor', { name: 'a', keepFor: 0, run }],
      ['keepFor', { name: 'a', keepFor: Number.POSITIVE_INFINITY, run }],
    ];
    for (const [option, job] of wrong) {
      assert.throws(
        () => defineJob(job as { name: string; run: () => number }),
        (error: { code: string; fields: { option: string } }) => {
          assert.deepEqual([error.code, error.fields.option], ['MILLRACE_OPTION_INVALID', option]);
          return true;
        },
      );
    }
  });

  it('carries payload and result types (checked by the compiler)', () => {
    const job = defineJob({ name: 'typed', run: async (payload: { n: number }) => `${payload.n}` });
    const payload: PayloadOf<typeof job> = { n: 1 };
    const result: ResultOf<typeof job> = '1';
    // @ts-expect-error the result is text
    const wrong: ResultOf<typeof job> = payload.n;
    const name: 'typed' = job.name;
    assert.deepEqual([name, result, wrong], ['typed', '1', 1]);
  });

  it('leaves what only says how a body ended out of the result type (checked by the compiler)', () => {
    const job = defineJob({
      name: 'typed',
      run: async (n: number) => (n > 2 ? n : n > 1 ? snooze(1) : n > 0 ? discard('a') : cancel('b')),
    });
    const result: ResultOf<typeof job> = 1;
    // @ts-expect-error a snooze is no result
    const wrong: ResultOf<typeof job> = snooze(1);
    assert.deepEqual([result, typeof wrong], [1, 'object']);
  });
});

const error = new Error('no');

describe('polynomial', () => {
  it('takes 25 attempts about 20 days', () => {
    const wait = (attempt: number) => polynomial()(attempt, () => 0, error);
    assert.deepEqual([wait(1), wait(2), wait(3)], [16_000, 31_000, 96_000]);
    const days = Array.from({ length: 24 }, (_, i) => wait(i + 1)).reduce((sum, ms) => sum + ms) / 86_400_000;
    assert.ok(days > 20 && days < 21, `${days}`);
    assert.equal(
      polynomial()(2, () => 0.5, error),
      41_000,
    );
  });
});

describe('exponential', () => {
  it('doubles from its base up to its maximum', () => {
    const waits = [1, 2, 3, 4, 5].map((attempt) =>
      exponential({ base: 100, max: 1_000, jitter: 0 })(attempt, () => 0.5, error),
    );
    assert.deepEqual(waits, [100, 200, 400, 800, 1_000]);
  });

  it('stays within its jitter and its bounds for every attempt', () => {
    const backoff = exponential();
    const attempts = fc.integer({ min: 1, max: 10_000 });
    const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(attempts, randoms, (attempt, random) => {
        const full = Math.min(86_400_000, 1_000 * 2 ** (attempt - 1));
        const wait = backoff(attempt, () => random, error);
        assert.ok(wait >= Math.floor(full * 0.75) && wait <= full);
      }),
    );
  });

  it('refuses numbers that make no back-off', () => {
    for (const options of [{ base: -1 }, { factor: 0.5 }, { jitter: 2 }]) {
      assert.throws(() => exponential(options), { code: 'MILLRACE_OPTION_INVALID' });
    }
    assert.throws(() => fixed(Number.NaN), { code: 'MILLRACE_OPTION_INVALID' });
    assert.throws(() => snooze(-1), { code: 'MILLRACE_OPTION_INVALID' });
  });
});

describe('codec', () => {
  it('gives back every JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        // JSON has no -0; everything else is the same.
        assert.deepEqual(decode(encode('job', value)), JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
