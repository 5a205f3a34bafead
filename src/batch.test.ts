import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Batcher } from './batch.ts';
import { isError } from './errors.ts';

/** A batcher whose batches wait until the test lets them go. */
function heldBatcher(options: { maxItems?: number; ahead?: number } = {}) {
  const batches: { items: number[]; succeed(): void; fail(error: Error): void }[] = [];
  const batcher = new Batcher<number, number>({
    ...options,
    run: (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items, succeed: () => resolve(items.map((item) => item * 10)), fail: reject });
      }),
  });
  const sent = () => batches.map((batch) => batch.items);
  return { batcher, batches, sent };
}

/** Long enough for a batch to leave: it leaves in the first turn after the call. */
const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

describe('Batcher', () => {
  it('sends calls of one turn together, in their order, and answers each with its own result', async () => {
    const { batcher, batches, sent } = heldBatcher();
    const calls = [batcher.add(1), batcher.add(2), Promise.resolve().then(() => batcher.add(3))];
    assert.deepEqual(sent(), [], 'nothing leaves in the turn of the call');
    await turn();
    assert.deepEqual(sent(), [[1, 2, 3]]);
    batches[0]?.succeed();
    assert.deepEqual(await Promise.all(calls), [10, 20, 30]);
  });

  it('gathers what comes while a batch is under way, and sends it as soon as that ends', async () => {
    const { batcher, batches, sent } = heldBatcher();
    const first = batcher.add(1);
    await turn();
    const rest = [batcher.add(2), batcher.add(3)];
    await turn();
    assert.deepEqual(sent(), [[1]]);
    assert.equal(batcher.waiting, 2);
    batches[0]?.succeed();
    await first;
    assert.deepEqual(sent(), [[1], [2, 3]], 'without another turn of waiting');
    batches[1]?.succeed();
    assert.deepEqual(await Promise.all(rest), [20, 30]);
  });

  it('sends a second batch when `ahead` calls wait, and never a third', async () => {
    const { batcher, batches, sent } = heldBatcher({ ahead: 2 });
    const calls = [batcher.add(1)];
    await turn();
    calls.push(batcher.add(2));
    await turn();
    assert.deepEqual(sent(), [[1]], 'one call waits for the batch under way');
    calls.push(batcher.add(3));
    await turn();
    assert.deepEqual(sent(), [[1], [2, 3]]);
    calls.push(batcher.add(4), batcher.add(5), batcher.add(6));
    await turn();
    assert.equal(batches.length, 2);
    batches[1]?.succeed();
    await turn();
    assert.deepEqual(sent(), [[1], [2, 3], [4, 5, 6]], 'beside the first, which is still under way');
    calls.push(batcher.add(7));
    batches[2]?.succeed();
    await turn();
    assert.equal(batches.length, 3, 'one call waits for the first');
    let drained = false;
    const drain = batcher.drain().then(() => {
      drained = true;
    });
    batches[0]?.succeed();
    await turn();
    assert.deepEqual([sent().at(-1), drained], [[7], false]);
    batches[3]?.succeed();
    await drain;
    assert.deepEqual(await Promise.all(calls), [10, 20, 30, 40, 50, 60, 70]);
  });

  it('makes two batches of twice as many, so that callers come in two groups from then on', async () => {
    const { batcher, batches, sent } = heldBatcher({ ahead: 2 });
    const callers = [1, 2, 3, 4, 5].map(async (first) => {
      const again = await batcher.add(first);
      return batcher.add(again);
    });
    await turn();
    assert.deepEqual(sent(), [
      [1, 2, 3],
      [4, 5],
    ]);
    batches[0]?.succeed();
    await turn();
    assert.deepEqual(sent().at(-1), [10, 20, 30]);
    batches[1]?.succeed();
    await turn();
    assert.deepEqual(sent().at(-1), [40, 50]);
    for (const batch of batches) batch.succeed();
    assert.deepEqual(await Promise.all(callers), [100, 200, 300, 400, 500]);
  });

  it('puts at most `maxItems` into a batch', async () => {
    const { batcher, batches, sent } = heldBatcher({ maxItems: 2 });
    const calls = [1, 2, 3, 4, 5].map((item) => batcher.add(item));
    for (let i = 0; i < 3; i++) {
      await turn();
      batches[i]?.succeed();
    }
    await Promise.all(calls);
    assert.deepEqual(sent(), [[1, 2], [3, 4], [5]]);
  });

  it('a batch that fails fails all of its calls and no others', async () => {
    const { batcher, batches } = heldBatcher({ maxItems: 2 });
    const calls = Promise.allSettled([1, 2, 3].map((item) => batcher.add(item)));
    const reason = new Error('disk');
    await turn();
    batches[0]?.fail(reason);
    await turn();
    batches[1]?.succeed();
    assert.deepEqual(await calls, [
      { status: 'rejected', reason },
      { status: 'rejected', reason },
      { status: 'fulfilled', value: 30 },
    ]);
  });

  it('lets a batch refuse one item alone', async () => {
    const refusal = new Error('not this one');
    const batcher = new Batcher<number, number>({
      run: async (items) => items.map((item) => (item === 2 ? Promise.reject(refusal) : item * 10)),
    });
    const ends = await Promise.allSettled([1, 2, 3].map((item) => batcher.add(item)));
    assert.deepEqual(
      ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason)),
      [10, refusal, 30],
    );
  });

  it('takes a throw for a failed batch', async () => {
    const batcher = new Batcher<number, number>({
      run() {
        throw new Error('at once');
      },
    });
    await assert.rejects(batcher.add(1), { message: 'at once' });
    await batcher.drain();
  });

  it('drain waits for what waits and for what is under way', async () => {
    const { batcher, batches } = heldBatcher({ maxItems: 1 });
    await batcher.drain();
    const calls = [batcher.add(1), batcher.add(2)];
    let drained = false;
    const drain = batcher.drain().then(() => {
      drained = true;
    });
    for (const index of [0, 1]) {
      await turn();
      assert.equal(drained, false);
      batches[index]?.succeed();
    }
    await Promise.all([drain, ...calls]);
  });

  it('close refuses new calls and answers the old ones', async () => {
    const { batcher, batches } = heldBatcher();
    const before = batcher.add(1);
    const closed = batcher.close();
    await assert.rejects(batcher.add(2), (error) => isError(error, 'STOPPED'));
    await turn();
    batches[0]?.succeed();
    await closed;
    assert.equal(await before, 10);
    await batcher.close();
  });

  it('refuses limits that would let nothing through', () => {
    const refused = (options: { maxItems?: number; ahead?: number }, option: string) =>
      assert.throws(
        () => new Batcher({ run: async (items) => items, ...options }),
        (error) => isError(error, 'OPTION_INVALID') && error.fields.option === option,
      );
    for (const maxItems of [0, -1, 1.5, Number.NaN]) refused({ maxItems }, 'maxItems');
    for (const ahead of [0, Number.NaN]) refused({ ahead }, 'ahead');
  });

  it('settles every call exactly once, in bounds and in order, whatever the batches do', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 20 }), // calls per turn
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom(1, 2, 4, 8, Number.POSITIVE_INFINITY), // ahead
        fc.infiniteStream(fc.tuple(fc.boolean(), fc.nat(3))), // how a batch ends, and after how many turns
        async (turns, maxItems, ahead, endings) => {
          const received: number[] = [];
          let underWay = 0;
          const failed = new Set<number>();
          const batcher = new Batcher<number, string>({
            maxItems,
            ahead,
            async run(items) {
              assert.ok(items.length >= 1 && items.length <= maxItems);
              underWay++;
              assert.ok(underWay === 1 || (underWay === 2 && items.length >= Math.min(ahead, maxItems)));
              received.push(...items);
              const [fails, wait] = endings.next().value;
              for (let i = 0; i < wait; i++) await turn();
              underWay--;
              if (!fails) return items.map(String);
              for (const item of items) failed.add(item);
              throw new Error('batch');
            },
          });
          const calls: Promise<string>[] = [];
          for (const count of turns) {
            for (let i = 0; i < count; i++) {
              const call = batcher.add(calls.length);
              call.catch(() => {}); // looked at below, after it may have been rejected
              calls.push(call);
            }
            await turn();
          }
          const results = await Promise.allSettled(calls);
          await batcher.close();
          assert.deepEqual(
            received,
            Array.from(calls, (_, index) => index),
            'each item once, in order',
          );
          results.forEach((result, item) => {
            assert.equal(result.status, failed.has(item) ? 'rejected' : 'fulfilled');
            if (result.status === 'fulfilled') assert.equal(result.value, String(item));
          });
        },
      ),
      { numRuns: 100 },
    );
  });
});
