import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { nextTick, parseRule, type ScheduleRule, serializeRule } from '../job/rule.ts';
import { altered, Ears, turn, until } from './fixtures/support.ts';
import { Scheduler } from './scheduler.ts';

const HOUR = 3_600_000;

/** A backend, and any number of schedulers on it. */
async function setup() {
  const clock = new VirtualClock();
  const backend: Backend = new MemoryBackend({ clock });
  await backend.open();
  const schedulers: Scheduler[] = [];
  const ears = new Ears();
  const start = (over: Partial<{ backend: Backend; clock: VirtualClock }> = {}) => {
    const scheduler = new Scheduler({ backend, clock, random: () => 0.5, observe: ears.observe, ...over });
    schedulers.push(scheduler);
    scheduler.start();
    return scheduler;
  };
  const put = async (key: string, rule: ScheduleRule, after = clock.now()) => {
    const parsed = await parseRule(rule, key);
    const job = { queue: 'default', name: key, payload: Buffer.from('null'), priority: 4, maxAttempts: 1 };
    await backend.putSchedule({ key, rule: serializeRule(parsed), job, nextAt: nextTick(parsed, after) });
    await turn();
  };
  /** The ticks of the jobs that were made, in order. */
  const ticks = async (key: string) => {
    const { jobs } = await backend.list({ name: key }, { limit: 10_000 });
    return jobs.map(({ headers }) => {
      assert.equal(headers?.schedule, key);
      return Date.parse(headers?.tick ?? '');
    });
  };
  const end = async () => {
    for (const scheduler of schedulers) await scheduler.stop();
    assert.equal(clock.pending, 0, 'no timer is left');
    await backend.close();
  };
  const record = async (key: string) => (await backend.schedules()).find((schedule) => schedule.key === key);
  return { clock, backend, start, put, ticks, record, ears, end };
}

describe('Scheduler', () => {
  it('makes a job at each tick, with the key and the tick in its headers', async () => {
    const { clock, start, put, ticks, ears, end } = await setup();
    start();
    await put('hourly', { cron: '0 * * * *' });
    const from = clock.now();
    await clock.advance(HOUR - 1);
    assert.deepEqual(await ticks('hourly'), []);
    await clock.advance(1);
    assert.deepEqual(await ticks('hourly'), [from + HOUR]);
    await clock.advance(2 * HOUR);
    assert.deepEqual(await ticks('hourly'), [from + HOUR, from + 2 * HOUR, from + 3 * HOUR]);
    assert.deepEqual(
      ears.of('fired').map(({ schedule, tick }) => [schedule, tick]),
      [1, 2, 3].map((n) => ['hourly', from + n * HOUR]),
    );
    await end();
  });

  it('hears of a schedule that is due before its sleep is over', async () => {
    const { clock, start, put, ticks, end } = await setup();
    start();
    await turn();
    await put('soon', { every: 50 });
    await clock.advance(50);
    assert.equal((await ticks('soon')).length, 1);
    await end();
  });

  it('makes one job per tick however many servers there are, also with a clock that is wrong', async () => {
    const { clock, start, put, ticks, end } = await setup();
    const from = clock.now();
    const wrong = [5 * HOUR, -5 * HOUR].map((offset) =>
      Object.assign(Object.create(clock) as VirtualClock, {
        now: () => clock.now() + offset,
        monotonic: () => clock.monotonic(),
        timer: (ms: number, fire: () => void) => clock.timer(ms, fire),
      }),
    );
    start();
    for (const other of wrong) start({ clock: other });
    await put('often', { every: 60_000, anchor: from });
    for (let i = 0; i < 10; i++) await clock.advance(60_000);
    assert.deepEqual(
      await ticks('often'),
      Array.from({ length: 10 }, (_, i) => from + (i + 1) * 60_000),
    );
    await end();
  });

  it('makes one job of all ticks that nobody was there for, that of the latest', async () => {
    const { clock, start, put, ticks, record, end } = await setup();
    const from = clock.now();
    await put('hourly', { every: HOUR, anchor: from });
    await clock.advance(10.5 * HOUR);
    start();
    await until(async () => (await ticks('hourly')).length > 0);
    assert.deepEqual(await ticks('hourly'), [from + 10 * HOUR]);
    assert.equal((await record('hourly'))?.nextAt, from + 11 * HOUR);
    await end();
  });

  it('makes a job of each of them with all, thousands too, and goes on', async () => {
    const { clock, start, put, ticks, record, end } = await setup();
    const from = clock.now();
    await put('minutely', { every: 60_000, anchor: from, catchUp: 'all' });
    await clock.advance(2_500 * 60_000 + 5);
    start();
    await until(async () => (await record('minutely'))?.nextAt === from + 2_501 * 60_000);
    assert.deepEqual(
      await ticks('minutely'),
      Array.from({ length: 2_500 }, (_, i) => from + (i + 1) * 60_000),
    );
    assert.equal((await record('minutely'))?.fired, 2_500);
    await clock.advance(60_000);
    assert.equal((await ticks('minutely')).length, 2_501);
    await end();
  });

  it('fires in calls of a bounded size, however many schedules have missed however much', async () => {
    const { clock, backend, start, put, ticks, record, end } = await setup();
    const from = clock.now();
    const calls: { count: number; bytes: number }[] = [];
    const counting = altered(backend, {
      fire: (firings) => {
        const sizes = firings.flatMap(({ jobs }) => jobs.map(({ payload }) => payload.byteLength));
        calls.push({ count: firings.length, bytes: sizes.reduce((sum, size) => sum + size, 0) });
        return backend.fire(firings);
      },
    });
    const payload = Buffer.alloc(1 << 20, ' ');
    const larger = Buffer.alloc(20 << 20, ' ');
    for (const key of ['one', 'two', 'larger']) {
      await put(key, { every: 60_000, anchor: from, catchUp: 'all', limit: key === 'larger' ? 2 : 20 });
      const { job, ...rest } = (await record(key)) ?? assert.fail();
      await backend.putSchedule({ ...rest, job: { ...job, payload: key === 'larger' ? larger : payload } });
    }
    for (let i = 0; i < 3; i++) await put(`many ${i}`, { every: 1_000, anchor: from, catchUp: 'all', limit: 900 });
    await clock.advance(60 * 60_000);
    start({ backend: counting });
    const keys = (await backend.schedules()).map(({ key }) => key);
    await until(async () => (await backend.schedules()).every(({ nextAt }) => nextAt === undefined));
    const made = await Promise.all(keys.map(async (key) => [key, (await ticks(key)).length]));
    const expected = { one: 20, two: 20, larger: 2, 'many 0': 900, 'many 1': 900, 'many 2': 900 };
    assert.deepEqual(Object.fromEntries(made), expected);
    for (const { count, bytes } of calls) {
      assert.ok(count <= 1_024, `${count} firings in a call`);
      assert.ok(bytes <= 16 << 20 || count === 1, `${bytes} bytes in a call of ${count}`);
    }
    assert.ok(calls.length < 20, `${calls.length} calls`);
    await end();
  });

  it('makes no job of ticks that are too late with skip, and one of each that is not', async () => {
    const { clock, start, put, ticks, ears, record, end } = await setup();
    const from = clock.now();
    await put('often', { every: 1_000, anchor: from, catchUp: 'skip', lateness: 2_500 });
    await clock.advance(10_000);
    start();
    await until(async () => (await record('often'))?.nextAt === from + 11_000);
    assert.deepEqual(await ticks('often'), [from + 8_000, from + 9_000, from + 10_000]);
    const [skipped] = ears.of('skipped');
    assert.deepEqual([skipped?.tick, skipped?.nextAt], [from + 1_000, from + 8_000]);
    await end();
  });

  it('ends with its limit and with its end', async () => {
    const { clock, start, put, ticks, record, end } = await setup();
    const from = clock.now();
    start();
    await put('limited', { every: 1_000, anchor: from, limit: 2 });
    await put('ending', { every: 1_000, anchor: from, end: from + 3_000 });
    await put('late', { every: 1_000, anchor: from, limit: 2, catchUp: 'all' });
    await clock.advance(2_000);
    for (const key of ['limited', 'late']) assert.equal((await record(key))?.nextAt, undefined, key);
    await clock.advance(8_000);
    assert.deepEqual(
      [await ticks('limited'), await ticks('ending'), await ticks('late')].map(({ length }) => length),
      [2, 3, 2],
    );
    for (const key of ['limited', 'ending', 'late']) assert.equal((await record(key))?.nextAt, undefined);
    await end();
  });

  it('passes over a schedule that it cannot read, and says so once', async () => {
    const { clock, backend, start, put, ticks, ears, end } = await setup();
    const job = { queue: 'default', name: 'odd', payload: Buffer.from('null'), priority: 4, maxAttempts: 1 };
    await backend.putSchedule({ key: 'odd', rule: '{"moon":"full"}', job, nextAt: clock.now() + 500 });
    await put('good', { every: 1_000 });
    start();
    for (let i = 0; i < 5; i++) await clock.advance(60_000);
    assert.equal(ears.of('schedule-error').length, 1);
    assert.equal((await ticks('good')).length > 0, true);
    assert.deepEqual(await ticks('odd'), []);
    await end();
  });

  it('goes on with the others when the jobs of one are refused, and with that one when it is mended', async () => {
    const { clock, backend, start, put, ticks, ears, end } = await setup();
    await put('good', { every: HOUR });
    const { job, ...rest } = (await backend.schedules())[0] ?? assert.fail();
    // With the two headers of a tick these are too many.
    const headers = Object.fromEntries(Array.from({ length: 63 }, (_, i) => [`h${i}`, '']));
    await backend.putSchedule({ ...rest, key: 'full', job: { ...job, name: 'full', headers } });
    start();
    for (let i = 0; i < 3; i++) await clock.advance(HOUR);
    assert.equal((await ticks('good')).length, 3);
    assert.deepEqual(
      ears.of('schedule-error').map(({ schedule, error }) => [schedule, (error as MillraceError).code]),
      [['full', 'MILLRACE_OPTION_INVALID']],
      'told once',
    );
    assert.deepEqual(ears.of('backend-error'), []);

    await put('full', { every: HOUR }, clock.now() - 3 * HOUR);
    await clock.advance(0);
    await until(async () => (await ticks('full')).length > 0);
    await end();
  });

  it('asks a backend that is away again', async () => {
    const { clock, backend, start, put, ticks, ears, end } = await setup();
    const away = new MillraceError('BACKEND_UNAVAILABLE', { backend: 'memory:', reason: 'a test' });
    let failures = 3;
    const shaky = altered(backend, {
      fire: (firings) => (failures-- > 0 ? Promise.reject(away) : backend.fire(firings)),
    });
    start({ backend: shaky });
    await put('hourly', { every: HOUR });
    await clock.advance(HOUR);
    await clock.advance(5_000);
    assert.equal(ears.of('backend-error').length, 3);
    assert.equal((await ticks('hourly')).length, 1);
    await end();
  });
});
