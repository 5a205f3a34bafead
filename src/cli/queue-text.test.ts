import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { queueOrder } from '../server/queues.ts';
import { readFlags } from './flags.ts';
import { parseQueues, queueText } from './queue-text.ts';

const flags = { queues: queueText({ help: 'queues' }) };
const read = (text: string) => readFlags(flags, [`--queues=${text}`], {}).queues;

/** What goworker makes of the text: each name as often as its weight. */
const repeated: Readonly<Record<string, readonly string[]>> = {
  high: ['high'],
  'high,low': ['high', 'low'],
  'high=2,low=1': ['high', 'high', 'low'],
  'high=2,low': ['high', 'high', 'low'],
  'low=1,high=2': ['low', 'high', 'high'],
  'high=2,,,=1': ['high', 'high'],
};

describe('The queues of goworker (check 3)', () => {
  it('are read as its own tests say', () => {
    for (const [text, names] of Object.entries(repeated)) {
      const counts = Object.fromEntries(names.map((name) => [name, names.filter((each) => each === name).length]));
      assert.deepEqual(read(text), text.includes('=') ? counts : names, text);
    }
  });

  it('are read in every other way that can be written', () => {
    for (const [text, queues] of [
      [' high , low ', ['high', 'low']],
      ['high,low,high', ['high', 'low']],
      ['high=2,low=1,high=3', { high: 5, low: 1 }],
      ['high=2,high', { high: 3 }],
      ['high= 2 ,low', { high: 2, low: 1 }],
      ['high=+2,low=01', { high: 2, low: 1 }],
      ['high,low=0', { high: 1 }],
      ['high,low=-1', { high: 1 }],
      ['high,low,=1', { high: 1, low: 1 }],
      ['=a,high', { high: 1 }],
      ['10=1,9=2', { 9: 2, 10: 1 }],
      ['a b,c:d,e.f', ['a b', 'c:d', 'e.f']],
    ] as const) {
      assert.deepEqual(read(text), queues, text);
    }
    assert.deepEqual(Object.keys(read('__proto__=2,a') ?? {}), ['__proto__', 'a']);
  });

  it('are refused with what was expected', () => {
    const wrong = { code: 'MILLRACE_OPTION_INVALID' };
    for (const text of ['low=,high=2', 'low=a', 'low=1.5', 'low=1=2', 'low=1e3', 'low=0x1']) {
      const message = `\`--queues\` should be names with integers as weights, such as high=2,low=1, got "${text}" (string)`;
      assert.throws(() => read(text), { ...wrong, message });
    }
    for (const text of ['', ',,,', '=1', ' , ', 'high=0', 'high=-1,low=0']) {
      const message = `\`--queues\` should be at least one queue, got "${text}" (string)`;
      assert.throws(() => read(text), { ...wrong, message });
    }
    for (const text of ['*', 'high,*', 'mail_*', '!low', '*=2']) {
      assert.throws(() => read(text), { ...wrong, message: /none has a \* or begins with !/ });
    }
  });

  it('are looked at in the order given when it is strict, each time', () => {
    const order = queueOrder(parseQueues('high,low,mid'), Math.random);
    for (let i = 0; i < 100; i++) assert.deepEqual(order(), ['high', 'low', 'mid']);
  });

  it('are looked at by weight as often as in a shuffle of the repeated names (chi-square over 10,000 looks)', () => {
    let state = 20_260_101;
    const random = () => {
      state = (state * 48_271) % 2_147_483_647; // Lehmer's generator
      return state / 2_147_483_647;
    };
    // What goworker draws from: every order of the four names alike, of which only the first of each counts.
    const all = permutations(['high', 'high', 'mid', 'low']).map((names) => [...new Set(names)].join());
    const order = queueOrder(parseQueues('high=2,mid=1,low=1'), random);
    const seen = new Map<string, number>();
    for (let i = 0; i < 10_000; i++) {
      const drawn = order().join();
      seen.set(drawn, (seen.get(drawn) ?? 0) + 1);
    }
    let chiSquare = 0;
    for (const drawn of new Set(all)) {
      const expected = (10_000 * all.filter((each) => each === drawn).length) / all.length;
      chiSquare += ((seen.get(drawn) ?? 0) - expected) ** 2 / expected;
    }
    assert.equal(new Set(all).size, 6);
    // Five degrees of freedom: above 20.5 in one run of a thousand, if the two are the same.
    assert.ok(chiSquare < 20.5, `chi-square ${chiSquare}`);
  });
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
