import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collect, gate, turn } from '../../test/support/bodies.ts';
import { isError } from '../errors.ts';
import { Pool, type PoolOptions, type RunOptions, type SubmitOptions } from './pool.ts';

const unknown = (option: string) => (error: unknown) =>
  isError(error, 'OPTION_UNKNOWN') && error.fields.option === option;
const invalid = (option: string) => (error: unknown) =>
  isError(error, 'OPTION_INVALID') && error.fields.option === option;

describe('Options of a pool', () => {
  it('that are not known are refused by name, wherever they are given', () => {
    const pool = new Pool({ workers: 1 });
    const mistyped = { prio: 1 } as SubmitOptions;
    assert.throws(() => new Pool({ workers: 1, worker_: 1 } as PoolOptions), unknown('worker_'));
    assert.throws(() => new Pool({ workers: 1, queue: { maxSize: 5 } as object }), unknown('queue.maxSize'));
    assert.throws(() => pool.submit(() => 1, mistyped), unknown('prio'));
    assert.throws(() => pool.run([1], (n) => n, { orderd: true } as RunOptions<number>), unknown('orderd'));
    assert.throws(() => pool.group({ failfast: true } as object), unknown('failfast'));
    assert.throws(() => pool.close({ timeout: 5 } as object), unknown('timeout'));
  });

  it('that cannot be are refused by name, before anything is taken', () => {
    const pool = new Pool({ workers: 1 });
    const made: [string, object][] = [
      ['workers', { workers: 0 }],
      ['workers', {}],
      ['queue', { workers: 1, queue: 5 }],
      ['histograms', { workers: 1, histograms: 'yes' }],
      ['clock', { workers: 1, clock: 5 }],
      ['perKey', { workers: 1, perKey: 0 }],
      ['rate', { workers: 1, rate: 5 }],
      ['classify', { workers: 1, classify: 5 }],
      ['stuckAfter', { workers: 1, stuckAfter: 0 }],
      ['timeout', { workers: 1, timeout: 0 }],
      ['queueTimeout', { workers: 1, queueTimeout: Number.NaN }],
      ['queue.ageing', { workers: 1, queue: { ageing: 0 } }],
      ['queue.order', { workers: 1, queue: { order: 'random' } }],
      ['queue.whenFull', { workers: 1, queue: { whenFull: 'panic' } }],
    ];
    for (const [option, options] of made) assert.throws(() => new Pool(options as PoolOptions), invalid(option));
    assert.throws(() => new Pool(undefined as unknown as PoolOptions), invalid('options'));
    const asked: [string, object][] = [
      ['signal', { signal: 5 }],
      ['priority', { priority: 10 }],
      ['key', { key: 5 }],
      ['weight', { weight: 0 }],
      ['bytes', { bytes: -1 }],
      ['timeout', { timeout: 0 }],
    ];
    for (const [option, options] of asked) assert.throws(() => pool.submit(() => 1, options), invalid(option));
    for (const option of ['signal', 'ordered', 'failFast', 'each']) {
      assert.throws(() => pool.run([1], (n) => n, { [option]: 5 }), invalid(option));
    }
    assert.throws(() => pool.group({ signal: 5 } as object), invalid('signal'));
    assert.throws(() => pool.close({ deadline: -1 }), invalid('deadline'));
    assert.throws(() => pool.warm(-3), invalid('threads'));
    assert.equal(pool.stats().submitted, 0);
  });
});

describe('Pool.run with what each job asks for', () => {
  it('runs one job of a key at a time, and others beside it', async () => {
    const pool = new Pool({ workers: 4 });
    const gates = [gate(), gate(), gate()] as const;
    const hosts = ['a', 'a', 'b'];
    const results = pool.run([0, 1, 2] as const, (n, context) => gates[n].body(context), {
      each: (n) => ({ key: hosts[n] as string }),
    });
    const reading = collect(results);
    await turn();
    assert.deepEqual(
      gates.map(({ started }) => started),
      [true, false, true],
    );
    for (const { resolve } of gates) resolve();
    const { all, error } = await reading;
    assert.equal(error, undefined);
    assert.deepEqual(
      all.map(({ job, status }) => [job, status]).toSorted(),
      [0, 1, 2].map((n) => [n, 'fulfilled']),
    );
  });

  it('cancels the job whose own signal has aborted, and goes on', async () => {
    const pool = new Pool({ workers: 1 });
    const over = AbortSignal.abort(new Error('not this one'));
    const { all, error } = await collect(
      pool.run([1, 2, 3], (n) => n, { ordered: true, each: (n) => (n === 2 ? { signal: over } : {}) }),
    );
    assert.equal(error, undefined);
    assert.deepEqual(
      all.map(({ status }) => status),
      ['fulfilled', 'cancelled', 'fulfilled'],
    );
  });

  it('cuts the intake when it throws or asks for what cannot be, with a result for the job', async () => {
    for (const each of [
      (n: number) => {
        if (n === 2) throw new Error('of each');
        return {};
      },
      (n: number) => (n === 2 ? { weight: 0 } : {}),
    ]) {
      const pool = new Pool({ workers: 2 });
      let closed = false;
      const source = (function* () {
        try {
          for (let n = 1; ; n++) yield n;
        } finally {
          closed = true;
        }
      })();
      const { all, error } = await collect(pool.run(source, (n) => n, { ordered: true, each }));
      assert.deepEqual(
        all.map(({ job, status }) => [job, status]),
        [
          [1, 'fulfilled'],
          [2, 'cancelled'],
        ],
      );
      assert.match(String(error), /of each|weight/);
      assert.equal(closed, true);
    }
  });
});
