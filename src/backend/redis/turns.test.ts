import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turns } from './turns.ts';

describe('Turns', () => {
  it('gives no number that is `width` ahead of the oldest in use, however many others were over since', async () => {
    const turns = new Turns(3);
    const given: number[] = [];
    const first = Promise.withResolvers<void>();
    const oldest = turns.take((turn) => {
      given.push(turn);
      return first.promise;
    });
    const others = [1, 2, 3, 4].map(() => turns.take(async (turn) => void given.push(turn)));
    await Promise.all(others.slice(0, 2));
    assert.deepEqual(given, [0, 1, 2]);
    first.resolve();
    await Promise.all([oldest, ...others]);
    assert.deepEqual(given, [0, 1, 2, 3, 4]);
  });

  it('goes on after one that failed', async () => {
    const turns = new Turns(1);
    await assert.rejects(
      turns.take(() => Promise.reject(new Error('no'))),
      /no/,
    );
    assert.equal(await turns.take(async (turn) => turn), 1);
  });
});
