/** Conformance: jobs that come by themselves. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Schedule } from '../schedule.ts';
import { add, capable, claim, counts, job, known, list, type Open, text } from './support.ts';

const schedule = (rest: Partial<Schedule> = {}): Schedule => ({
  key: 's',
  rule: 'hourly',
  job: job('tick'),
  nextAt: 4e12,
  ...rest,
});

export function scheduling(open: Open): void {
  describe('a schedule', () => {
    it('is kept as it was put, and listed in the order of the keys', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const rich = job('{"ünd":1}', { queue: 'r', priority: 1, tags: ['a'], headers: { h: '1' } });
      await backend.putSchedule(schedule({ key: 'b', job: rich }));
      await other.putSchedule(schedule({ key: 'a', nextAt: undefined }));
      const [a, b, ...none] = await other.schedules();
      assert.ok(a && b && none.length === 0);
      assert.deepEqual([a.key, a.nextAt, a.fired, a.lastAt], ['a', undefined, 0, undefined]);
      assert.deepEqual([b.key, b.rule, b.nextAt, b.fired], ['b', 'hourly', 4e12, 0]);
      const { payload, ...rest } = b.job;
      const { payload: _, ...expected } = rich;
      assert.deepEqual(rest, expected);
      assert.equal(text({ payload }), '{"ünd":1}');
      assert.deepEqual(await backend.list({}), { jobs: [] });
    });

    it('that is put again with the same rule keeps its moment and its number of ticks', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      await backend.fire([{ key: 's', tick: 1000, jobs: [job()], nextAt: 5000 }]);
      await other.putSchedule(schedule({ job: job('changed'), nextAt: 7000 }));
      const [same] = await backend.schedules();
      assert.deepEqual([same?.nextAt, same?.fired, same && text(same.job)], [5000, 1, 'changed']);
      await other.putSchedule(schedule({ rule: 'daily', nextAt: 9000 }));
      const [fresh] = await backend.schedules();
      assert.deepEqual([fresh?.rule, fresh?.nextAt, fresh?.fired], ['daily', 9000, 0]);
    });

    it('that was removed is gone, and removing it again says so', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      assert.equal(await other.removeSchedule('s'), true);
      assert.equal(await backend.removeSchedule('s'), false);
      assert.deepEqual(await backend.schedules(), []);
      assert.deepEqual(await backend.fire([{ key: 's', tick: 1000, jobs: [job()], nextAt: 2000 }]), [
        { status: 'stale' },
      ]);
      assert.deepEqual(await counts(backend), {});
    });

    it('is due from its moment on, the longest waiting first, and the next moment is named', async (t) => {
      const bench = await capable(open, t, 'schedules');
      if (!bench) return;
      const { backend, advance } = bench;
      const { now } = await backend.dueSchedules(10);
      assert.deepEqual(await backend.dueSchedules(10), { now, due: [] });
      await backend.putSchedule(schedule({ key: 'a', nextAt: now + 100 }));
      await backend.putSchedule(schedule({ key: 'b', nextAt: now + 50 }));
      await backend.putSchedule(schedule({ key: 'c', nextAt: now + 200 }));
      await backend.putSchedule(schedule({ key: 'ended', nextAt: undefined }));
      const due = async (limit = 10) => {
        const found = await backend.dueSchedules(limit);
        return { ...found, due: found.due.map(({ key }) => key) };
      };
      assert.deepEqual(await due(), { now, due: [], nextAt: now + 50 });
      await advance(100);
      assert.deepEqual(await due(), { now: now + 100, due: ['b', 'a'], nextAt: now + 200 });
      assert.deepEqual((await due(1)).due, ['b']);
    });

    it('makes its jobs and moves on, whole', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      const jobs = [job('1', { runAt: 1000 }), job('2', { priority: 0, tags: ['t'] })];
      const [result] = await backend.fire([{ key: 's', tick: 1000, jobs, nextAt: 2000 }]);
      assert.ok(result?.status === 'fired');
      assert.equal(result.ids.length, 2);
      assert.deepEqual((await list(other, { ids: result.ids })).map(text), ['1', '2']);
      assert.deepEqual((await known(other, result.ids[1])).tags, ['t']);
      const [record] = await other.schedules();
      assert.deepEqual([record?.nextAt, record?.fired, record?.lastAt], [2000, 1, 1000]);
      assert.deepEqual((await claim(other)).map(text), ['2', '1']);
    });

    it('may skip a tick, and may end', async (t) => {
      const bench = await capable(open, t, 'schedules');
      if (!bench) return;
      const { backend } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      assert.deepEqual(await backend.fire([{ key: 's', tick: 1000, jobs: [], nextAt: 2000 }]), [
        { status: 'fired', ids: [] },
      ]);
      const [skipped] = await backend.schedules();
      assert.deepEqual([skipped?.nextAt, skipped?.fired, skipped?.lastAt], [2000, 0, undefined]);
      await backend.fire([{ key: 's', tick: 2000, jobs: [job()], nextAt: undefined }]);
      const [ended] = await backend.schedules();
      assert.deepEqual([ended?.nextAt, ended?.fired], [undefined, 1]);
      assert.deepEqual((await backend.dueSchedules(10)).due, []);
    });

    it('fires each tick once, however many try at the same time', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      await backend.putSchedule(schedule({ key: 'r', nextAt: 1000 }));
      const firings = ['s', 'r'].map((key) => ({ key, tick: 1000, jobs: [job(key)], nextAt: 2000 }));
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? backend : other).fire(firings)),
      );
      const fired = results.flat().filter(({ status }) => status === 'fired');
      assert.equal(fired.length, 2);
      assert.deepEqual((await list(backend)).map(text), ['s', 'r']);
      assert.deepEqual(await other.fire(firings), [{ status: 'stale' }, { status: 'stale' }]);
      assert.deepEqual(
        (await other.schedules()).map(({ fired }) => fired),
        [1, 1],
      );
    });

    it('fires what is not stale of a call, and nothing of a call with something wrong in it', async (t) => {
      const bench = await capable(open, t, 'schedules');
      if (!bench) return;
      const { backend } = bench;
      await backend.putSchedule(schedule({ nextAt: 1000 }));
      const good = { key: 's', tick: 1000, jobs: [job()], nextAt: 2000 };
      const wrong = { ...good, jobs: [job('', { priority: 10 })] };
      await assert.rejects(backend.fire([good, wrong]), { code: 'MILLRACE_OPTION_INVALID' });
      assert.deepEqual(await counts(backend), {});
      const results = await backend.fire([{ ...good, key: 'nobody' }, good, good]);
      assert.deepEqual(
        results.map(({ status }) => status),
        ['stale', 'fired', 'stale'],
      );
    });

    it('fires a unique job into the one that is there', async (t) => {
      const bench = (await capable(open, t, 'schedules')) && (await capable(open, t, 'unique'));
      if (!bench) return;
      const { backend } = bench;
      const only = job('', { unique: { key: 'u', mode: 'keep', states: ['available'] } });
      await backend.putSchedule(schedule({ nextAt: 1000, job: only }));
      assert.deepEqual((await backend.schedules())[0]?.job.unique, only.unique);
      const [id] = await add(backend, [only]);
      const [result] = await backend.fire([{ key: 's', tick: 1000, jobs: [only], nextAt: 2000 }]);
      assert.deepEqual(result, { status: 'fired', ids: [id] });
      assert.deepEqual(await counts(backend), { available: 1 });
    });

    it('that makes no sense is refused', async (t) => {
      const bench = await capable(open, t, 'schedules');
      if (!bench) return;
      const { backend } = bench;
      const wrong: Partial<Schedule>[] = [{ key: '' }, { nextAt: Number.NaN }, { job: job('', { queue: '' }) }];
      for (const part of wrong) {
        await assert.rejects(backend.putSchedule(schedule(part)), { code: 'MILLRACE_OPTION_INVALID' });
      }
      assert.deepEqual(await backend.schedules(), []);
    });
  });
}
