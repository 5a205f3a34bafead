import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Comparison, JobFilter } from '../backend/filter.ts';
import { isError } from '../errors.ts';
import { jobStates } from '../job/state.ts';
import { formatFilter, parseFilter } from './words.ts';

const NOW = Date.UTC(2026, 5, 15, 12);
const parse = (text: string) => parseFilter(text, () => NOW);

const values = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('true', 'null', '42', '', '=x', '~', 'a,b', '[]', '-0', '"', '\\'),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('mail', 'a b', 'a,b', '[]', '1'));
const moments = fc.oneof(
  fc.integer({ min: -8.64e15, max: 8.64e15 }),
  fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }).map((at) => at + 0),
);
const comparisons: Comparison[] = ['=', '!=', '<', '<=', '>', '>=', 'contains'];
const filters: fc.Arbitrary<JobFilter> = fc.record(
  {
    ids: fc.array(texts),
    states: fc.array(fc.constantFrom(...jobStates)),
    queue: texts,
    name: texts,
    key: texts,
    tag: texts,
    error: texts,
    addedFrom: moments,
    addedBefore: moments,
    where: fc.array(
      fc.record(
        {
          path: fc.array(fc.oneof(texts, fc.nat())),
          is: fc.constantFrom(...comparisons),
          value: values,
        },
        { noNullPrototype: true },
      ),
      { minLength: 1 },
    ),
  },
  { requiredKeys: [], noNullPrototype: true },
);

describe('parseFilter', () => {
  it('reads every kind of word', () => {
    assert.deepEqual(
      parse(
        'state:discarded,retryable queue:mail name:send tag:vip key:acme added:>=2026-01-01 args.user.id:42 args.total:>100 args.tags:~vip error:"timed out" id:a,"b c"',
      ),
      {
        states: ['discarded', 'retryable'],
        queue: 'mail',
        name: 'send',
        tag: 'vip',
        key: 'acme',
        addedFrom: Date.UTC(2026, 0, 1),
        where: [
          { path: ['user', 'id'], is: '=', value: 42 },
          { path: ['total'], is: '>', value: 100 },
          { path: ['tags'], is: 'contains', value: 'vip' },
        ],
        error: 'timed out',
        ids: ['a', 'b c'],
      },
    );
    assert.deepEqual(parse('  '), {});
  });

  it('tells numbers, words of JSON and text apart', () => {
    for (const [text, value] of [
      ['42', 42],
      ['-1.5e3', -1500],
      ['"42"', '42'],
      ['007', '007'],
      ['true', true],
      ['"true"', 'true'],
      ['null', null],
      ['a:b,c', 'a:b,c'],
      ['"a \\"quoted\\" \\u00e9"', 'a "quoted" é'],
      ['12-34', '12-34'],
    ] as const) {
      assert.deepEqual(parse(`args.x:${text}`).where, [{ path: ['x'], is: '=', value }], text);
    }
  });

  it('reads places in the payload, and each sign', () => {
    for (const [text, path, is] of [
      ['args:1', [], '='],
      ['args.items.0.sku:1', ['items', 0, 'sku'], '='],
      ['args."0"."a.b":1', ['0', 'a.b'], '='],
      ['args.user-id:=1', ['user-id'], '='],
      ['args.x:!=1', ['x'], '!='],
      ['args.x:<=1', ['x'], '<='],
      ['args.x:~1', ['x'], 'contains'],
    ] as const) {
      assert.deepEqual(parse(text).where, [{ path, is, value: 1 }], text);
    }
  });

  it('reads moments: days, times with and without a zone, milliseconds, and so long ago', () => {
    const day = Date.UTC(2026, 0, 31);
    for (const [text, from, before] of [
      ['added:2026-01-31', day, day + 86_400_000],
      ['added:>=2026-01-31T12:00', day + 43_200_000, undefined],
      ['added:>=2026-01-31T12:00:00.5+02:00', day + 36_000_500, undefined],
      ['added:>2026', Date.UTC(2026, 0, 1) + 1, undefined],
      ['added:<2026-02', undefined, Date.UTC(2026, 1, 1)],
      ['added:<=1767225600000', undefined, 1767225600001],
      ['added:>=-2h', NOW - 7_200_000, undefined],
      ['added:>=-2d added:<-1.5m', NOW - 172_800_000, NOW - 90_000],
    ] as const) {
      const { addedFrom, addedBefore } = parse(text);
      assert.deepEqual([addedFrom, addedBefore], [from, before], text);
    }
  });

  it('says where it is wrong and what was expected there', () => {
    for (const [text, at, expected] of [
      ['vip', 0, /one of id: state:/],
      ['queue', 5, /colon/],
      ['queue:', 6, /a value/],
      ['queue:a queue:b', 8, /only one `queue:`/],
      ['queue:a,b', 6, /one queue/],
      ['tag:~vip', 4, /in quotes/],
      ['state:done', 6, /available, running/],
      ['state:running,', 14, /a value/],
      ['queue:"a', 6, /double quotes/],
      ['queue:"a"b', 9, /a space/],
      ['queue:a"b"', 7, /a space/],
      ['args.:1', 5, /name of a member/],
      ['args.x:> 5', 8, /a value/],
      ['args.x:1e999', 7, /1.8e308/],
      ['added:2026-02-30', 6, /a moment/],
      ['added:>=2026-13-01', 8, /a moment/],
      ['added:>=yesterday', 8, /a moment/],
      ['added:-2h', 6, />=, >/],
      ['added:>=1e300', 8, /a moment/],
      ['added:<-1h added:<-2h', 17, /only one `added:<`/],
    ] as const) {
      assert.throws(
        () => parse(text),
        (error) => {
          assert.ok(isError(error, 'FILTER_INVALID'), text);
          assert.match(error.fields.expected, expected, text);
          assert.equal(error.fields.at, at, text);
          return true;
        },
        text,
      );
    }
  });

  it('never throws anything but FILTER_INVALID', () => {
    const scraps = fc.constantFrom(
      ...[
        'state:',
        'args',
        '.',
        ':',
        '"',
        '\\',
        ' ',
        ',',
        '>=',
        '~',
        'added:',
        '-2h',
        '2026-01-01',
        '[]',
        'id:',
        '1e9',
        'x',
        '\u2028',
        '\ud800',
      ],
    );
    const noise = fc.oneof(
      fc.array(scraps, { maxLength: 12 }).map((all) => all.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(noise, (text) => {
        try {
          formatFilter(parse(text));
        } catch (error) {
          assert.ok(isError(error, 'FILTER_INVALID'), String(error));
          assert.ok(error.fields.at >= 0 && error.fields.at <= text.length);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('formatFilter', () => {
  it('writes words that mean the same filter', () => {
    fc.assert(
      fc.property(filters, (filter) => assert.deepEqual(parse(formatFilter(filter)), filter)),
      { numRuns: 1_000 },
    );
  });

  it('writes plainly what is plain', () => {
    const words = 'id:a,b state:discarded queue:mail args.user.id:42 args.total:>=1.5 args.tags:~vip args.note:"a b"';
    assert.equal(formatFilter(parse(words)), words);
  });
});
