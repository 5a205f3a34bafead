/** Conformance: what a running job tells about itself. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ClaimedJob, maxLogLine, maxLogLines, maxProgress, type Report } from '../backend.ts';
import { add, claim, failure, job, known, type Open, server, settle } from './support.ts';

const of = ({ id, claim }: ClaimedJob, rest: Partial<Report>): Report => ({ id, claim, ...rest });

export function reporting(open: Open): void {
  describe('report', () => {
    it('keeps the last progress and adds to the log, seen by anybody while the job runs', async (t) => {
      const { backend, other } = await open(t, 2);
      const [id] = await add(backend, [job(), job()]);
      const [one, two] = await claim(backend);
      assert.ok(one && two);
      assert.deepEqual([(await known(other, id)).progress, (await known(other, id)).log], [undefined, undefined]);
      const first = of(one, { progress: '1', log: [{ at: 1, text: 'a' }] });
      assert.deepEqual(await backend.report('a', [first, of(two, { progress: '"half"' })]), ['taken', 'taken']);
      await backend.report('a', [of(one, { progress: '{"done":"ünd"}', log: [{ at: 2, text: 'b ✉' }] })]);
      await backend.report('a', [of(one, { log: [{ at: 3, text: 'c' }] })]);
      const record = await known(other, id);
      assert.equal(record.progress, '{"done":"ünd"}');
      assert.deepEqual(record.log, [
        { at: 1, text: 'a' },
        { at: 2, text: 'b ✉' },
        { at: 3, text: 'c' },
      ]);
      assert.equal((await known(other, two.id)).progress, '"half"');
    });

    it('is kept when the job fails, and when it has ended', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const [one] = await claim(backend);
      assert.ok(one);
      await backend.report('a', [of(one, { progress: '50', log: [{ at: 1, text: 'a' }] })]);
      await settle(backend, [one], { kind: 'failed', error: failure(), retryAt: 0 });
      const again = await claim(backend);
      await backend.report('a', [of(again[0] as ClaimedJob, { log: [{ at: 2, text: 'b' }] })]);
      await settle(backend, again, { kind: 'discarded', error: failure() });
      const record = await known(backend, id);
      assert.deepEqual([record.progress, record.log?.map((line) => line.text)], ['50', ['a', 'b']]);
    });

    it('is stale for whoever does not hold the job, and changes nothing', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const [one] = await claim(backend);
      assert.ok(one);
      const report = of(one, { progress: '1', log: [{ at: 1, text: 'a' }] });
      assert.deepEqual(await backend.report('b', [report]), ['stale']);
      assert.deepEqual(await backend.report('a', [{ ...report, id: 'no such id' }]), ['stale']);
      await settle(backend, [one], { kind: 'returned' });
      assert.deepEqual(await backend.report('a', [report]), ['stale']);
      await claim(backend);
      assert.deepEqual(await backend.report('a', [report]), ['stale']);
      const record = await known(backend, id);
      assert.deepEqual([record.progress, record.log], [undefined, undefined]);
    });

    it('that says nothing tells who holds the job, and changes nothing', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const [one] = await claim(backend);
      assert.ok(one);
      const before = await known(backend, id);
      assert.deepEqual(await backend.report('a', [of(one, {}), of({ ...one, claim: one.claim + 1 }, {})]), [
        'taken',
        'stale',
      ]);
      assert.deepEqual(await known(backend, id), before);
      await backend.rescue(0);
      await backend.beat(server());
      assert.deepEqual(await backend.report('a', [of(one, {})]), ['stale']);
    });

    it('keeps the last lines of a log, each cut to its longest length', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const [one] = await claim(backend);
      assert.ok(one);
      const lines = (from: number, count: number) =>
        Array.from({ length: count }, (_, i) => ({ at: from + i, text: `${from + i}` }));
      await backend.report('a', [of(one, { log: lines(0, maxLogLines - 1) })]);
      await backend.report('a', [of(one, { log: lines(maxLogLines - 1, maxLogLines / 2) })]);
      await backend.report('a', [of(one, { log: [{ at: 0, text: 'x'.repeat(maxLogLine + 1) }] })]);
      const log = (await known(backend, id)).log ?? [];
      assert.equal(log.length, maxLogLines);
      assert.equal(log[0]?.text, `${maxLogLines / 2}`);
      assert.equal(log.at(-1)?.text, 'x'.repeat(maxLogLine));
    });

    it('refuses progress that is too large, and takes the largest', async (t) => {
      const { backend } = await open(t);
      const [id] = await add(backend, [job()]);
      const [one] = await claim(backend);
      assert.ok(one);
      const largest = JSON.stringify('x'.repeat(maxProgress - 2));
      assert.deepEqual(await backend.report('a', [of(one, { progress: largest })]), ['taken']);
      const call = backend.report('a', [of(one, { progress: '1' }), of(one, { progress: `${largest} ` })]);
      await assert.rejects(call, { code: 'MILLRACE_OPTION_INVALID' });
      assert.equal((await known(backend, id)).progress, largest);
    });

    it('tells when the job was claimed last', async (t) => {
      const { backend, advance } = await open(t);
      const [id] = await add(backend, [job()]);
      const { addedAt, startedAt } = await known(backend, id);
      assert.equal(startedAt, undefined);
      await advance(5);
      const held = await claim(backend);
      assert.equal((await known(backend, id)).startedAt, addedAt + 5);
      await settle(backend, held, { kind: 'failed', error: failure(), retryAt: 0 });
      await advance(5);
      await claim(backend);
      assert.equal((await known(backend, id)).startedAt, addedAt + 10);
    });
  });
}
