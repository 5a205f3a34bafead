import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../clock.ts';
import type { Work } from './executor.ts';
import { Gatherer } from './gatherer.ts';
import { queueNames, queueOrder } from './queues.ts';

describe('queueOrder', () => {
  it('keeps the order of a list', () => {
    const order = queueOrder(['b', 'a'], () => 0.9);
    assert.deepEqual(
      [order(), order()],
      [
        ['b', 'a'],
        ['b', 'a'],
      ],
    );
  });

  it('draws weighted queues in proportion to their weights, each once', () => {
    let state = 1;
    const random = () => {
      state = (state * 48_271) % 2_147_483_647; // Lehmer's generator
      return state / 2_147_483_647;
    };
    const order = queueOrder({ mail: 3, reports: 1 }, random);
    let mailFirst = 0;
    for (let i = 0; i < 4_000; i++) {
      const drawn = order();
      assert.deepEqual([...drawn].sort(), ['mail', 'reports']);
      if (drawn[0] === 'mail') mailFirst++;
    }
    assert.ok(mailFirst > 2_850 && mailFirst < 3_150, `mail came first ${mailFirst} times of 4000`);
  });

  it('names the queues of either form', () => {
    assert.deepEqual(queueNames(['a', 'b']), ['a', 'b']);
    assert.deepEqual(queueNames({ a: 1, b: 2 }), ['a', 'b']);
  });
});

describe('Gatherer', () => {
  const jobs = (...ids: string[]) => ids.map((id) => ({ id }) as Work['jobs'][number]);

  function setup(size: number, wait: number) {
    const clock = new VirtualClock();
    const batches: string[][] = [];
    const dispatch = (work: Work) => void batches.push(work.jobs.map((job) => job.id));
    return { clock, batches, gatherer: new Gatherer({ size, wait, clock, dispatch }) };
  }

  it('sends full batches at once and keeps the rest', () => {
    const { batches, gatherer } = setup(2, 100);
    gatherer.take(jobs('a', 'b', 'c', 'd', 'e'));
    assert.deepEqual(batches, [
      ['a', 'b'],
      ['c', 'd'],
    ]);
    gatherer.flush();
    assert.deepEqual(batches[2], ['e']);
  });

  it('counts the wait from the first job of each batch', async () => {
    const { clock, batches, gatherer } = setup(3, 100);
    gatherer.take(jobs('a'));
    await clock.advance(60);
    gatherer.take(jobs('b', 'c', 'd'));
    assert.deepEqual(batches, [['a', 'b', 'c']]);
    await clock.advance(60);
    assert.equal(batches.length, 1, 'the wait of the batch that left does not count for d');
    await clock.advance(40);
    assert.deepEqual(batches[1], ['d']);
    assert.equal(clock.pending, 0);
  });

  it('sends what one claim brought when there is nothing to wait for', () => {
    const { batches, clock, gatherer } = setup(10, 0);
    gatherer.take(jobs('a', 'b'));
    assert.deepEqual(batches, [['a', 'b']]);
    assert.equal(clock.pending, 0);
  });
});
