import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collect, gate, turn } from '../../test/support/bodies.ts';
import { isError } from '../errors.ts';
import { Pool, type PoolOptions, type SubmitOptions } from './pool.ts';

const invalid = (option: string) => (error: unknown) =>
  isError(error, 'OPTION_INVALID') && error.fields.option === option;

/** A pool whose bodies start and end as the test says, known by the names they were submitted with. */
function make(options: PoolOptions) {
  const pool = new Pool(options);
  const started: string[] = [];
  const gates = new Map<string, ReturnType<typeof gate<void>>>();
  const submit = (name: string, settings?: SubmitOptions) => {
    const body = gate();
    gates.set(name, body);
    return pool.submit((context) => {
      started.push(name);
      return body.body(context);
    }, settings);
  };
  const end = async (...names: string[]) => {
    for (const name of names) gates.get(name)?.resolve();
    await turn();
  };
  return { pool, started, submit, end };
}

describe('Priorities', () => {
  it('decide which of those that wait starts next, first in first out among equals', async () => {
    const { pool, started, submit, end } = make({ workers: 1 });
    submit('running', { priority: 9 });
    await turn();
    for (const [name, priority] of [
      ['c', 5],
      ['d', 5],
      ['a', 0],
      ['b', 4],
    ] as const)
      submit(name, { priority });
    submit('default');
    for (const name of ['running', 'a', 'b', 'default', 'c', 'd']) await end(name);
    await pool.drain();
    assert.deepEqual(started, ['running', 'a', 'b', 'default', 'c', 'd']);
  });

  it('age: a task is overtaken by `ageing` later ones per level, and not by one more', async () => {
    const pool = new Pool({ workers: 1, queue: { ageing: 3 } });
    pool.pause();
    const order: string[] = [];
    pool.submit(() => order.push('low'), { priority: 6 });
    for (let n = 1; n <= 10; n++) pool.submit(() => order.push(`high ${n}`), { priority: 4 });
    pool.resume();
    await pool.drain();
    assert.equal(order.indexOf('low'), 6);
  });

  it('do not count for those that wait for a place: these come in the order of their calls', async () => {
    const { pool, started, submit, end } = make({ workers: 1, queue: { size: 1 } });
    for (const [name, priority] of [
      ['running', 4],
      ['queued', 4],
      ['first', 9],
      ['second', 0],
    ] as const) {
      submit(name, { priority });
    }
    await turn();
    for (const name of ['running', 'queued', 'first', 'second']) await end(name);
    assert.deepEqual(started, ['running', 'queued', 'first', 'second']);
    await pool.close();
  });

  it('serve the newest first with lifo', async () => {
    const { started, submit, end } = make({ workers: 1, queue: { order: 'lifo' } });
    submit('running');
    await turn();
    for (const name of ['a', 'b', 'c']) submit(name);
    for (const name of ['running', 'c', 'b', 'a']) await end(name);
    assert.deepEqual(started, ['running', 'c', 'b', 'a']);
  });

  it('are whole numbers from 0 to 9', () => {
    const pool = new Pool({ workers: 1 });
    for (const priority of [-1, 10, 1.5, Number.NaN, '1' as never]) {
      assert.throws(() => pool.submit(() => 0, { priority }), invalid('priority'));
    }
    assert.throws(() => new Pool({ workers: 1, queue: { ageing: 0 } }), invalid('queue.ageing'));
    assert.throws(() => new Pool({ workers: 1, queue: { order: 'random' as 'fifo' } }), invalid('queue.order'));
  });
});

describe('Keys', () => {
  it('run one body at once each, in order, while other keys and tasks without one go past', async () => {
    const { started, submit, end } = make({ workers: 3 });
    for (const name of ['a1', 'a2', 'a3']) submit(name, { key: 'a' });
    submit('b1', { key: 'b' });
    submit('free');
    await turn();
    assert.deepEqual(started, ['a1', 'b1', 'free']);
    await end('a1');
    assert.deepEqual(started.slice(3), ['a2']);
    await end('b1', 'free');
    assert.deepEqual(started.slice(4), []);
    await end('a2', 'a3');
    assert.deepEqual(started.slice(4), ['a3']);
  });

  it('run as many at once as perKey says for the key', async () => {
    const { started, submit, end } = make({ workers: 9, perKey: (key) => (key === 'wide' ? 3 : 1) });
    for (let n = 0; n < 4; n++) {
      submit(`wide ${n}`, { key: 'wide' });
      submit(`narrow ${n}`, { key: 'narrow' });
    }
    await turn();
    assert.deepEqual(started, ['wide 0', 'narrow 0', 'wide 1', 'wide 2']);
    for (let n = 0; n < 4; n++) await end(`wide ${n}`, `narrow ${n}`);
    assert.equal(started.length, 8);
  });

  it('keep the order when a body throws, is cancelled, or is cancelled before its turn', async () => {
    const pool = new Pool({ workers: 4 });
    const started: number[] = [];
    const over = new AbortController();
    const bodies = Array.from({ length: 6 }, (_, n) =>
      pool.submit(
        async ({ signal }) => {
          started.push(n);
          if (n === 0) throw new Error('failed');
          if (n === 3) over.abort();
          signal.throwIfAborted();
        },
        { key: 'k', ...(n === 3 || n === 4 ? { signal: over.signal } : {}) },
      ),
    );
    await Promise.allSettled(bodies.map(({ done }) => done));
    assert.deepEqual(started, [0, 1, 2, 3, 5]);
  });

  it('strand nobody when one that was called back is cancelled while the workers are busy', async () => {
    const { pool, submit, end, started } = make({ workers: 2 });
    const over = new AbortController();
    submit('a1', { key: 'a' });
    submit('busy');
    submit('a2', { key: 'a', signal: over.signal });
    submit('a3', { key: 'a' });
    await turn();
    pool.resize(1);
    await end('busy'); // the worker that is one too many leaves
    pool.pause();
    await end('a1');
    over.abort();
    pool.resume();
    await turn();
    assert.deepEqual(started, ['a1', 'busy', 'a3']);
    await end('a3');
    await pool.drain();
  });

  it('are text, and perKey gives a whole number from 1', () => {
    const pool = new Pool({ workers: 1, perKey: () => 0 });
    assert.throws(() => pool.submit(() => 0, { key: 5 as never }), invalid('key'));
    assert.throws(() => pool.submit(() => 0, { key: 'k' }), invalid('perKey(k)'));
    assert.throws(() => new Pool({ workers: 1, perKey: 0 }), invalid('perKey'));
  });
});

describe('Weights', () => {
  it('never add up to more than there are workers, and nothing overtakes a heavy one that waits', async () => {
    const { pool, started, submit, end } = make({ workers: 3 });
    submit('one');
    submit('two', { weight: 2 });
    submit('heavy', { weight: 3 });
    submit('light');
    await turn();
    assert.deepEqual([started, pool.stats().running], [['one', 'two'], 3]);
    await end('one');
    assert.equal(started.length, 2, 'the light one would fit, and waits behind the heavy one');
    await end('two');
    assert.deepEqual([started.slice(2), pool.stats().running], [['heavy'], 3]);
    await end('heavy', 'light');
    assert.equal(started.at(-1), 'light');
  });

  it('above the number of workers mean alone', async () => {
    const { pool, started, submit, end } = make({ workers: 2 });
    submit('first');
    submit('huge', { weight: 100 });
    submit('last');
    await turn();
    assert.deepEqual(started, ['first']);
    await end('first');
    assert.deepEqual(started.slice(1), ['huge']);
    await end('huge', 'last');
    assert.deepEqual(started.slice(2), ['last']);
    await pool.drain();
    assert.equal(pool.stats().running, 0);
  });

  it('are whole numbers from 1', () => {
    const pool = new Pool({ workers: 1 });
    for (const weight of [0, 1.5, Number.NaN]) assert.throws(() => pool.submit(() => 0, { weight }), invalid('weight'));
  });
});

describe('Everything at once', () => {
  it('a run shares the pool with priorities: its jobs have the default one', async () => {
    const pool = new Pool({ workers: 1, queue: { size: 10 } });
    const order: string[] = [];
    const busy = gate();
    pool.submit(busy.body);
    await turn();
    const reading = collect(pool.run([1, 2], (n) => order.push(`run ${n}`)));
    await turn();
    pool.submit(() => order.push('low'), { priority: 9 });
    pool.submit(() => order.push('high'), { priority: 0 });
    busy.resolve();
    await reading;
    await pool.drain();
    assert.deepEqual(order, ['high', 'run 1', 'run 2', 'low']);
  });
});
