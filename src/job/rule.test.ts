import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { latestTick, nextTick, parseRule, type ScheduleRule, serializeRule, ticksUpTo } from './rule.ts';

const at = (iso: string) => Date.parse(iso);
const iso = (ticks: readonly (number | undefined)[]) =>
  ticks.map((tick) => tick && new Date(tick).toISOString().replace(':00.000Z', 'Z'));

/** The first `count` ticks after the moment. */
async function ticks(rule: ScheduleRule, after: string, count: number) {
  const parsed = await parseRule(rule, 'test');
  const found: (number | undefined)[] = [];
  for (let tick = nextTick(parsed, at(after)); found.length < count; tick = nextTick(parsed, tick)) {
    found.push(tick);
    if (tick === undefined) break;
  }
  return iso(found);
}

describe('ScheduleRule', () => {
  it('has ticks every so many milliseconds, counted from its anchor', async () => {
    const every = 90 * 60_000;
    assert.deepEqual(await ticks({ every }, '2026-01-01T00:00Z', 2), ['2026-01-01T01:30Z', '2026-01-01T03:00Z']);
    const anchored = { every, anchor: new Date('2030-01-01T00:10Z') };
    assert.deepEqual(await ticks(anchored, '2026-01-01T00:10Z', 2), ['2026-01-01T01:40Z', '2026-01-01T03:10Z']);
    const started = { every, start: at('2026-01-01T05:05Z') };
    assert.deepEqual(await ticks(started, '2026-01-01T00:10Z', 2), ['2026-01-01T05:05Z', '2026-01-01T06:35Z']);
  });

  it('reads cron expressions in UTC unless a time zone is named', async () => {
    const cron = '0 9 * * mon-fri';
    assert.deepEqual(await ticks({ cron }, '2026-01-02T08:00Z', 2), ['2026-01-02T09:00Z', '2026-01-05T09:00Z']);
    assert.deepEqual(await ticks({ cron, timeZone: 'Asia/Kolkata' }, '2026-01-02T08:00Z', 1), ['2026-01-05T03:30Z']);
    assert.deepEqual(await ticks({ cron: '@hourly' }, '2026-01-02T08:00Z', 1), ['2026-01-02T09:00Z']);
  });

  it('keeps to its bounds, both included', async () => {
    const cron = { cron: '0 * * * *', start: at('2026-01-01T05:00Z'), end: at('2026-01-01T06:00Z') };
    assert.deepEqual(await ticks(cron, '2026-01-01T00:00Z', 9), ['2026-01-01T05:00Z', '2026-01-01T06:00Z', undefined]);
    const { cron: _, ...bounds } = cron;
    assert.deepEqual(await ticks({ every: 3_600_000, ...bounds }, '2026-01-01T00:00Z', 9), [
      '2026-01-01T05:00Z',
      '2026-01-01T06:00Z',
      undefined,
    ]);
    const parsed = await parseRule({ every: 1_000, limit: 3 }, 'test');
    assert.deepEqual([nextTick(parsed, 0, 2), nextTick(parsed, 0, 3)], [1_000, undefined]);
  });

  const changes: [string, string, string, string, string[]][] = [
    [
      'a tick in the hour that Berlin leaves out comes when the clock jumps',
      'Europe/Berlin',
      '30 2 * * *',
      '2026-03-28T00:00Z',
      ['2026-03-28T01:30Z', '2026-03-29T01:00Z', '2026-03-30T00:30Z'],
    ],
    [
      'a tick in the hour that Berlin has twice comes the first time',
      'Europe/Berlin',
      '30 2 * * *',
      '2026-10-24T12:00Z',
      ['2026-10-25T00:30Z', '2026-10-26T01:30Z'],
    ],
    [
      'a tick of every half hour goes on through the hour that Berlin has twice',
      'Europe/Berlin',
      '*/30 * * * *',
      '2026-10-24T23:30Z',
      ['2026-10-25T00:00Z', '2026-10-25T00:30Z', '2026-10-25T01:00Z', '2026-10-25T01:30Z', '2026-10-25T02:00Z'],
    ],
    [
      'a tick in the hour that New York leaves out comes when the clock jumps',
      'America/New_York',
      '30 2 * * *',
      '2026-03-07T12:00Z',
      ['2026-03-08T07:00Z', '2026-03-09T06:30Z'],
    ],
    [
      'a tick in the hour that New York has twice comes the first time',
      'America/New_York',
      '30 1 * * *',
      '2026-10-31T12:00Z',
      ['2026-11-01T05:30Z', '2026-11-02T06:30Z'],
    ],
    [
      'a tick in the half hour that Lord Howe leaves out comes when the clock jumps',
      'Australia/Lord_Howe',
      '15 2 * * *',
      '2026-10-03T00:00Z',
      ['2026-10-03T15:30Z', '2026-10-04T15:15Z'],
    ],
    [
      'a tick in the half hour that Lord Howe has twice comes the first time',
      'Australia/Lord_Howe',
      '45 1 * * *',
      '2026-04-04T00:00Z',
      ['2026-04-04T14:45Z', '2026-04-05T15:15Z'],
    ],
    [
      'a midnight that Sao Paulo left out comes when the clock jumps',
      'America/Sao_Paulo',
      '0 0 * * *',
      '2018-11-03T12:00Z',
      ['2018-11-04T03:00Z', '2018-11-05T02:00Z'],
    ],
  ];
  for (const [title, timeZone, cron, after, expected] of changes) {
    it(title, async () => assert.deepEqual(await ticks({ cron, timeZone }, after, expected.length), expected));
  }

  it('gives the same ticks wherever one starts to look, on the days when clocks are moved too', async () => {
    const days = ['2026-03-28T18:00Z', '2026-10-24T18:00Z', '2026-10-03T10:00Z', '2026-04-04T10:00Z'];
    const crons = ['30 2 * * *', '0 3 * * *', '*/30 * * * *', '45 1 * * *', '10 1-3 * * *', '*/20 30 2 * * *'];
    for (const timeZone of ['Europe/Berlin', 'Australia/Lord_Howe']) {
      for (const cron of crons) {
        const rule = await parseRule({ cron, timeZone }, 'test');
        for (const day of days) {
          const from = at(day);
          const all = ticksUpTo(rule, nextTick(rule, from) ?? 0, from + 12 * 3_600_000, 1_000);
          for (let after = from; after < (all.at(-1) ?? 0); after += 7 * 60_000 + 1) {
            const expected = all.find((tick) => tick > after);
            assert.equal(nextTick(rule, after), expected, `${cron} ${timeZone} ${new Date(after).toISOString()}`);
          }
        }
      }
    }
  });

  it('finds the latest of many due ticks as a walk over all of them would', () => {
    const property = fc.asyncProperty(
      fc.oneof(
        fc.record({ every: fc.integer({ min: 1, max: 5_000 }) }),
        fc.constantFrom({ cron: '*/10 * * * * *' }, { cron: '* 9 * * *' }, { cron: '0 0 29 2 *' }),
      ),
      fc.integer({ min: 0, max: 200_000_000 }),
      async (given, span) => {
        const rule = await parseRule(given, 'test');
        const from = nextTick(rule, at('2026-01-01T00:00Z')) ?? 0;
        const shortened = Math.min(span, (nextTick(rule, from) ?? from) - from < 60_000 ? 100_000 : span);
        const now = from + shortened;
        assert.equal(latestTick(rule, from, now), ticksUpTo(rule, from, now, 1_000_000).at(-1));
      },
    );
    return fc.assert(property, { numRuns: 60 });
  });

  it('has one text per meaning, and is read back from it', async () => {
    const text = async (rule: ScheduleRule) => serializeRule(await parseRule(rule, 'test'));
    const same: [ScheduleRule, ScheduleRule][] = [
      [{ cron: ' 0  9 * * mon-fri' }, { timeZone: 'UTC', cron: '0 9 * * MON-FRI', catchUp: 'one' }],
      [{ every: 60_000 }, { anchor: new Date(120_000), every: 60_000 }],
      [
        { every: 60_000, anchor: -15_000 },
        { every: 60_000, anchor: 45_000 },
      ],
      [
        { every: 5, start: new Date(20) },
        { start: 20, every: 5 },
      ],
      [
        { every: 5, catchUp: 'skip' },
        { every: 5, lateness: 60_000, catchUp: 'skip' },
      ],
    ];
    for (const [one, other] of same) assert.equal(await text(one), await text(other));
    const different: ScheduleRule[] = [
      { every: 60_000 },
      { every: 60_000, anchor: 1 },
      { every: 60_000, limit: 1 },
      { every: 60_000, catchUp: 'all' },
      { cron: '* * * * *' },
      { cron: '* * * * *', timeZone: 'Europe/Berlin' },
    ];
    const texts = await Promise.all(different.map(text));
    assert.equal(new Set(texts).size, different.length);
    for (const each of texts) assert.equal(serializeRule(await parseRule(each, 'test')), each);
  });

  it('refuses what is no rule, naming the schedule', async () => {
    const wrong: object[] = [
      {},
      { cron: '* * * * *', every: 1 },
      { every: 0 },
      { every: 1.5 },
      { every: '5' },
      { every: 1, anchor: Number.NaN },
      { every: 1, timeZone: 'UTC' },
      { every: 1, evry: 2 },
      { every: 1, start: 5, end: 4 },
      { every: 1, limit: 0 },
      { every: 1, catchUp: 'some' },
      { every: 1, lateness: 5 },
      { every: 1, catchUp: 'skip', lateness: -1 },
      { cron: '* * *' },
      { cron: '61 * * * *' },
      { cron: '2026-01-01T00:00:00' },
      { cron: '@reboot' },
      { cron: '0 0 31 2 *' },
      { cron: '* * * * *', timeZone: 'Mars/Olympus' },
      { cron: '* * * * *', anchor: 5 },
    ];
    for (const rule of wrong) {
      await assert.rejects(
        parseRule(rule as ScheduleRule, 'nightly'),
        { code: 'MILLRACE_SCHEDULE_INVALID', message: /^schedule "nightly" \(string\) cannot be: / },
        JSON.stringify(rule),
      );
    }
    await assert.rejects(parseRule('{', 'nightly'), { code: 'MILLRACE_SCHEDULE_INVALID' });
  });
});
