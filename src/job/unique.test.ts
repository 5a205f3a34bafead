import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertUnique, type UniqueOptions, uniqueRule } from './unique.ts';

const keyOf = (options: UniqueOptions, payload: unknown, name = 'job') => uniqueRule(name, options, payload).key;

describe('uniqueRule', () => {
  it('takes payloads that say the same for the same, whatever the order of their members', () => {
    assert.equal(keyOf({}, { a: 1, b: { c: 2, d: [3] } }), keyOf({}, { b: { d: [3], c: 2 }, a: 1 }));
    assert.notEqual(keyOf({}, { a: [1, 2] }), keyOf({}, { a: [2, 1] }));
    assert.notEqual(keyOf({}, { a: 1 }), keyOf({}, { a: '1' }));
    const withProto = JSON.parse('{"__proto__":1,"a":2}');
    assert.notEqual(keyOf({}, withProto), keyOf({}, { a: 2 }));
  });

  it('gives one key per value, however its members are ordered', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, member]) => [name, reversed(member)]),
      );
    };
    fc.assert(fc.property(fc.jsonValue(), (value) => assert.equal(keyOf({}, value), keyOf({}, reversed(value)))));
  });

  it('keeps jobs of different names, and bigints from text, apart', () => {
    assert.notEqual(keyOf({}, 1, 'a'), keyOf({}, 1, 'b'));
    assert.notEqual(keyOf({}, { id: 2n ** 64n }), keyOf({}, { id: String(2n ** 64n) }));
    assert.match(keyOf({}, 1, 'a'), /^a:[\w-]{43}$/);
  });

  it('compares only what `by` picks', () => {
    const by: UniqueOptions<{ customer: number; note?: string }>['by'] = ['customer'];
    assert.equal(
      keyOf({ by } as UniqueOptions, { customer: 1, note: 'x' }),
      keyOf({ by } as UniqueOptions, { customer: 1 }),
    );
    assert.notEqual(keyOf({ by } as UniqueOptions, { customer: 1 }), keyOf({ by } as UniqueOptions, { customer: 2 }));
    const half = { by: (n: unknown) => String(Math.floor(Number(n) / 2)) };
    assert.equal(keyOf(half, 2), keyOf(half, 3));
    assert.notEqual(keyOf(half, 3), keyOf(half, 4));
  });

  it('counts jobs that have not ended, unless told otherwise', () => {
    const { states, mode, period } = uniqueRule('a', {}, 1);
    assert.deepEqual([states, mode, period], [['scheduled', 'available', 'running', 'retryable'], 'keep', undefined]);
    const rule = uniqueRule('a', { mode: 'debounce', states: ['scheduled'], period: 5 }, 1);
    assert.deepEqual([rule.states, rule.mode, rule.period], [['scheduled'], 'debounce', 5]);
  });

  it('throttles by time alone', () => {
    const { states, mode, period } = uniqueRule('a', { mode: 'throttle', period: 1_000 }, 1);
    assert.deepEqual([states, mode, period], [[], 'keep', 1_000]);
  });

  it('refuses what cannot be compared', () => {
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    assert.throws(() => keyOf({}, cyclic), { code: 'MILLRACE_PAYLOAD_NOT_JSON' });
    assert.throws(() => keyOf({ by: () => 7 as unknown as string }, 1), { code: 'MILLRACE_OPTION_INVALID' });
  });
});

describe('assertUnique', () => {
  it('takes what the types allow', () => {
    for (const options of [{}, { by: ['a'] }, { by: () => 'a' }, { states: [], period: 1 }] as UniqueOptions[]) {
      assertUnique(options);
    }
  });

  it('refuses what makes no rule, naming the option', () => {
    const wrong: [string, object][] = [
      ['unique.by', { by: [] }],
      ['unique.by', { by: 'customer' }],
      ['unique.mode', { mode: 'drop' }],
      ['unique.period', { period: 0 }],
      ['unique.period', { mode: 'throttle' }],
      ['unique.states', { mode: 'throttle', period: 1, states: ['running'] }],
      ['unique.states', { states: ['done'] }],
      ['unique.states', { states: [] }],
    ];
    for (const [option, options] of wrong) {
      assert.throws(
        () => assertUnique(options),
        (error: { code: string; fields: { option: string } }) => {
          assert.deepEqual([error.code, error.fields.option], ['MILLRACE_OPTION_INVALID', option]);
          return true;
        },
      );
    }
    assert.throws(() => assertUnique({ keys: [] } as object), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });
});
