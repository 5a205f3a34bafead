/** Conformance: finding jobs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend, NewJob } from '../backend.ts';
import { type Comparison, type Condition, type JobFilter, scanLimit } from '../filter.ts';
import { add, capable, claim, failure, job, known, list, type Open, settle, text } from './support.ts';

/** All pages of what matches: the payloads, and how many pages it took. */
async function all(backend: Backend, filter: JobFilter, limit?: number) {
  const texts: string[] = [];
  let pages = 0;
  let after: string | undefined;
  do {
    const page = { ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) };
    const { jobs, next } = await backend.list(filter, page);
    assert.ok(jobs.length <= (limit ?? 100));
    texts.push(...jobs.map(text));
    after = next;
    pages++;
  } while (after !== undefined);
  return { texts, pages };
}

async function found(backend: Backend, filter: JobFilter): Promise<string> {
  return (await all(backend, filter)).texts.join(' ');
}

type Case = readonly [path: Condition['path'], is: Comparison, value: Condition['value'], expected: string];

/** Each payload has its name in `n`. */
const payloads = [
  '{"n":"a","v":1,"user":{"ids":[7,8],"name":"Ann Øst"},"list":["x",2,true,null]}',
  '{"n":"b","v":2.5,"user":{"ids":[9]},"ok":true}',
  '{"n":"c","v":"2","ok":false,"gone":null}',
  '{"n":"d","v":"10","odd.name":{"0":"zero"}}',
  '{"n":"e","v":"Zebra ✉"}',
];

const cases: readonly Case[] = [
  [['v'], '=', 1, 'a'],
  [['v'], '=', '2', 'c'],
  [['v'], '=', 2, ''],
  [['v'], '!=', 1, 'b c d e'],
  [['v'], '<', 2.5, 'a'],
  [['v'], '<=', 2.5, 'a b'],
  [['v'], '>', 1, 'b'],
  [['v'], '>=', 1, 'a b'],
  [['v'], '>', '10', 'c e'],
  [['v'], '<=', '10', 'd'],
  [['v'], 'contains', 'ZEBRA', 'e'],
  [['v'], 'contains', '✉', 'e'],
  [['v'], 'contains', 1, ''],
  [['ok'], '=', true, 'b'],
  [['ok'], '!=', true, 'a c d e'],
  [['ok'], '<', true, ''],
  [['gone'], '=', null, 'c'],
  [['nowhere'], '=', null, ''],
  [['nowhere'], '!=', null, 'a b c d e'],
  [['nowhere', 'at', 'all'], '!=', 1, 'a b c d e'],
  [['user', 'ids', 0], '=', 7, 'a'],
  [['user', 'ids', 1], '>', 1, 'a'],
  [['user', 'ids'], 'contains', 9, 'b'],
  [['user', 'ids'], 'contains', '9', ''],
  [['list'], 'contains', null, 'a'],
  [['list'], 'contains', true, 'a'],
  [['list'], 'contains', 'x', 'a'],
  [['list'], '=', 'x', ''],
  [['user', 'name'], 'contains', 'ann', 'a'],
  [['odd.name', '0'], '=', 'zero', 'd'],
  [['user', 'length'], '=', 2, ''],
  [['n', 0], '=', 'a', ''],
  [['constructor', 'name'], '=', 'Object', ''],
  [[], 'contains', 'a', ''],
];

export function searching(open: Open): void {
  describe('a search', () => {
    it('matches every field of its filter', async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      const { backend, advance } = bench;
      const [first] = await add(backend, [job('1', { tags: ['red', 'big'] }), job('2', { name: 'other' })]);
      const start = (await known(backend, first)).addedAt;
      await advance(10);
      await add(backend, [job('3', { tags: ['red'], runAt: 4e12 }), job('4', { queue: 'r' })]);
      const filters: readonly [JobFilter, string][] = [
        [{}, '1 2 3 4'],
        [{ tag: 'red' }, '1 3'],
        [{ tag: 'big' }, '1'],
        [{ tag: 're' }, ''],
        [{ addedFrom: start + 10 }, '3 4'],
        [{ addedFrom: start + 11 }, ''],
        [{ addedBefore: start + 10 }, '1 2'],
        [{ addedFrom: start, addedBefore: start + 1 }, '1 2'],
        [{ tag: 'red', states: ['scheduled'] }, '3'],
        [{ name: 'other', tag: 'red' }, ''],
        [{ queue: 'r', name: 'work', states: ['available'], addedFrom: 0 }, '4'],
        [{ ids: [first as string], tag: 'red' }, '1'],
        [{ ids: [first as string], tag: 'blue' }, ''],
      ];
      for (const [filter, expected] of filters)
        assert.equal(await found(backend, filter), expected, JSON.stringify(filter));
    });

    it('finds the jobs of a key', async (t) => {
      const bench = (await capable(open, t, 'search')) && (await capable(open, t, 'keys'));
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [
        job('1', { key: 'a' }),
        job('2', { key: 'b' }),
        job('3'),
        job('4', { key: 'a', queue: 'r' }),
      ]);
      assert.equal(await found(backend, { key: 'a' }), '1 4');
      assert.equal(await found(backend, { key: 'a', queue: 'q' }), '1');
      assert.equal(await found(backend, { key: 'c' }), '');
    });

    it('finds text in the message of the latest error, letters of either case', async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [job('1'), job('2'), job('3')]);
      const [one, two] = await claim(backend, 2);
      assert.ok(one && two);
      await settle(backend, [one], { kind: 'failed', error: failure(1, 'Timeout of 100% reached'), retryAt: 0 });
      await settle(backend, [two], { kind: 'discarded', error: failure(1, 'no_such customer') });
      assert.equal(await found(backend, { error: 'TIMEOUT' }), '1');
      assert.equal(await found(backend, { error: '0% r' }), '1');
      assert.equal(await found(backend, { error: 'o%r' }), '');
      assert.equal(await found(backend, { error: 'no_such' }), '2');
      assert.equal(await found(backend, { error: 'nox' }), '');
      assert.equal(await found(backend, { error: '' }), '1 2');
      await settle(backend, await claim(backend, 1), { kind: 'failed', error: failure(2, 'else'), retryAt: 4e12 });
      assert.equal(await found(backend, { error: 'timeout' }), '');
    });

    it('compares what is in the payload', async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      const { backend } = bench;
      await add(
        backend,
        payloads.map((payload) => job(payload)),
      );
      for (const [path, is, value, expected] of cases) {
        const { texts } = await all(backend, { where: [{ path, is, value }] });
        const names = texts.map((payload) => JSON.parse(payload).n).join(' ');
        assert.equal(names, expected, JSON.stringify([path, is, value]));
      }
      const both: Condition[] = [
        { path: ['v'], is: '>=', value: 1 },
        { path: ['ok'], is: '=', value: true },
      ];
      assert.equal((await all(backend, { where: both })).texts.length, 1);
      assert.equal((await all(backend, { where: [] })).texts.length, 5);
    });

    it('compares a payload that is no object, and matches none that is not JSON', async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      const { backend } = bench;
      await add(backend, [
        job('7'),
        job('"seven"'),
        job('[1,7]'),
        job('null'),
        job('not JSON'),
        job('', { payload: Uint8Array.of(0xff, 0xfe) }),
        job('{"a":1'),
      ]);
      const top = (is: Comparison, value: Condition['value']) => found(backend, { where: [{ path: [], is, value }] });
      assert.equal(await top('=', 7), '7');
      assert.equal(await top('contains', 7), '[1,7]');
      assert.equal(await top('contains', 'EVE'), '"seven"');
      assert.equal(await top('=', null), 'null');
      assert.equal(await found(backend, { where: [{ path: ['a'], is: '!=', value: 1 }] }), '7 "seven" [1,7] null');
    });

    it('orders text by code points', async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      // The first is one code unit above the second's first, and a smaller code point.
      const texts = ['"\uff5e"', '"\u{1f600}"'];
      await add(
        bench.backend,
        texts.map((payload) => job(payload)),
      );
      assert.equal(await found(bench.backend, { where: [{ path: [], is: '>', value: '\uff5e' }] }), texts[1]);
    });

    it('goes on page by page, each job once, in order of arrival, while others come and go', async (t) => {
      const { backend, other } = await open(t, 2);
      const ids = await add(
        backend,
        Array.from({ length: 10 }, (_, i) => job(`${i}`, i % 2 === 0 ? {} : { name: 'odd', runAt: 4e12 })),
      );
      const every = await all(other, {}, 3);
      assert.equal(every.texts.join(''), '0123456789');
      assert.ok(every.pages <= 5);
      assert.equal((await all(other, { name: 'odd' }, 2)).texts.join(''), '13579');
      assert.equal((await all(other, { states: ['scheduled'] }, 2)).texts.join(''), '13579');
      assert.equal((await all(other, { ids: ids.toReversed() }, 4)).texts.join(''), '0123456789');
      const { jobs, next } = await backend.list({}, { limit: 4 });
      assert.deepEqual(jobs.map(text), ['0', '1', '2', '3']);
      assert.ok(next !== undefined);
      await backend.act({ kind: 'remove' }, { ids: [ids[3] as string, ids[4] as string] });
      await add(backend, [job('new', { priority: 0 })]);
      assert.deepEqual((await list(other, {}, { after: next })).map(text), ['5', '6', '7', '8', '9', 'new']);
    });

    it('says that it is at its end when there is nothing behind', async (t) => {
      const { backend } = await open(t);
      assert.deepEqual(await backend.list({}), { jobs: [] });
      await add(backend, [job('1'), job('2')]);
      const { jobs, ...rest } = await backend.list({}, { limit: 3 });
      assert.deepEqual([jobs.length, rest], [2, {}]);
      assert.deepEqual(await backend.act({ kind: 'remove' }, { name: 'nobody' }), { count: 0 });
    });

    it('finds what runs and what has ended behind many jobs that wait', async (t) => {
      const { backend } = await open(t);
      const ended = await add(backend, [job('ended'), job('runs')]);
      const [one] = await claim(backend);
      assert.ok(one);
      await settle(backend, [one], { kind: 'discarded', error: failure() });
      await add(
        backend,
        Array.from({ length: 300 }, () => job()),
      );
      const late = await add(backend, [job('late', { priority: 0 })]);
      await settle(backend, await claim(backend, 1), { kind: 'cancelled', error: failure() });
      assert.equal(await found(backend, { states: ['running', 'discarded', 'cancelled'] }), 'ended runs late');
      assert.equal(await found(backend, { states: ['cancelled'], queue: 'q' }), 'late');
      assert.equal(await found(backend, { states: ['cancelled'], queue: 'r' }), '');
      assert.equal(await found(backend, { ids: [late[0] as string, ended[0] as string] }), 'ended late');
    });

    it(`goes through at most ${scanLimit} jobs in one call, and says where to go on`, async (t) => {
      const bench = await capable(open, t, 'search');
      if (!bench) return;
      const { backend } = bench;
      const many: NewJob[] = Array.from({ length: scanLimit + 500 }, (_, i) => job(`{"i":${i}}`));
      await add(backend, many);
      const where: Condition[] = [{ path: ['i'], is: '=', value: scanLimit + 499 }];
      const { jobs, next } = await backend.list({ where });
      assert.deepEqual(jobs, []);
      assert.ok(next !== undefined);
      assert.deepEqual((await list(backend, { where }, { after: next })).length, 1);
      const act = await backend.act({ kind: 'remove' }, { where });
      assert.ok(act.count === 0 && act.next !== undefined);
      assert.deepEqual((await backend.act({ kind: 'remove' }, { where }, { after: act.next })).count, 1);
    });

    it('refuses a filter or a page that makes no sense', async (t) => {
      const { backend } = await open(t);
      const wrong: [unknown, unknown][] = [
        [{ ids: 'x' }, {}],
        [{ states: ['asleep'] }, {}],
        [{ queue: 7 }, {}],
        [{ addedFrom: Number.NaN }, {}],
        [{ where: [{ path: 'v', is: '=', value: 1 }] }, {}],
        [{ where: [{ path: ['v'], is: 'like', value: 1 }] }, {}],
        [{ where: [{ path: ['v'], is: '=', value: {} }] }, {}],
        [{ where: [{ path: ['v'], is: '=', value: Number.NaN }] }, {}],
        [{}, { limit: 0 }],
        [{}, { limit: 1.5 }],
        [{}, { after: 'no page gave this' }],
      ];
      for (const [filter, page] of wrong) {
        const call = () => backend.list(filter as JobFilter, page as { limit: number });
        await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' }, JSON.stringify([filter, page]));
      }
      await assert.rejects(backend.list({ colour: 'red' } as JobFilter), { code: 'MILLRACE_OPTION_UNKNOWN' });
      await assert.rejects(backend.act({ kind: 'remove' }, { colour: 'red' } as JobFilter), {
        code: 'MILLRACE_OPTION_UNKNOWN',
      });
    });
  });
}
