/**
 * The tests that the worker pool "explained like I'm five" (2021) brings along, as tests of this pool: ten jobs whose
 * value is twice their number, two workers; the same cut short by a deadline, and by a cancel; one job by itself.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collect } from '../../test/support/bodies.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { Pool, type TaskContext } from './pool.ts';

const JOBS = 10;
const WORKERS = 2;

const jobs = () => Array.from({ length: JOBS }, (_, id) => ({ id, args: id as unknown }));

/** Takes a while, and listens meanwhile. */
async function double({ args }: { args: unknown }, { signal }: TaskContext): Promise<number> {
  if (typeof args !== 'number') throw new TypeError('wrong argument type');
  await new Promise((resolve) => setImmediate(resolve));
  signal.throwIfAborted();
  return 2 * args;
}

describe('The tests of the document', () => {
  it('TestWorkerPool: every job has its value, with the job it belongs to', async () => {
    const pool = new Pool({ workers: WORKERS });
    const { all, error } = await collect(pool.run(jobs(), double));
    assert.equal(error, undefined);
    assert.equal(all.length, JOBS);
    for (const { job, ...rest } of all) {
      assert.ok(rest.status === 'fulfilled');
      assert.equal(rest.value, 2 * job.id);
    }
    await pool.close();
  });

  it('TestWorkerPool_TimeOut: past the deadline every job that was taken says so, and nothing else starts', async () => {
    const clock = new VirtualClock();
    const pool = new Pool({ workers: WORKERS, timeout: 1, clock });
    const late = ({ id }: { id: number }, { signal }: TaskContext) =>
      new Promise<number>((_, reject) => signal.addEventListener('abort', () => reject(new Error(`${id} stopped`))));
    const reading = collect(pool.run(jobs(), late, { failFast: true }));
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1);
    const { all, error } = await reading;
    assert.ok(isError(error, 'TASK_TIMEOUT'));
    const ends = all.map(({ status }) => status);
    assert.ok(ends.includes('rejected') && !ends.includes('fulfilled') && all.length < JOBS, ends.join());
    await pool.close();
    assert.equal(clock.pending, 0);
  });

  it('TestWorkerPool_Cancel: the reader hears the reason, and each job that was taken has a result of its own', async () => {
    const pool = new Pool({ workers: WORKERS });
    const cancel = new AbortController();
    const reason = new Error('cancelled');
    const reading = collect(pool.run(jobs(), double, { signal: cancel.signal }));
    cancel.abort(reason);
    const { all, error } = await reading;
    assert.equal(error, reason);
    assert.equal(new Set(all.map(({ job }) => job.id)).size, all.length);
    for (const result of all) assert.ok(result.status === 'cancelled' && result.error === reason);
    assert.equal(pool.stats().fulfilled, 0);
    await pool.close();
  });

  for (const [args, value] of [
    [10, 20],
    ['10', 'wrong argument type'],
  ] as const) {
    it(`Test_job_Execute: ${JSON.stringify(args)} gives ${JSON.stringify(value)}`, async () => {
      const pool = new Pool({ workers: 1 });
      const { done } = pool.submit((context) => double({ args }, context));
      if (typeof value === 'number') assert.equal(await done, value);
      else await assert.rejects(done, { name: 'TypeError', message: value });
      await pool.close();
    });
  }
});
