import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../errors.ts';
import { Gate, TestCrew, type TestJob } from './fixtures/support.ts';

/** Things that happen to a crew; numbers choose among the jobs so far. */
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('number' as const), count: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('throw', 'exit', 'wait', 'spin', 'function') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('timer', 'uncloneable', 'transfer') }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('abort' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize' as const), threads: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turn' as const), turns: fc.integer({ min: 1, max: 40 }) }) },
);

const options = fc.record({
  window: fc.constantFrom(0, 1, 7, 'auto' as const),
  concurrency: fc.constantFrom(1, 1, 3),
  maxTasks: fc.constantFrom(Number.POSITIVE_INFINITY, 25),
  abortGrace: fc.constantFrom(0, 5),
});

describe('Crew under generated schedules', () => {
  it('settles every job that was started exactly once, whatever is aborted, killed or resized', async (t) => {
    const schedule = fc.asyncProperty(
      options,
      fc.array(step, { minLength: 10, maxLength: 30 }),
      async (chosen, steps) => {
        const pool = new TestCrew(t, { threads: 2, ...chosen });
        const jobs: TestJob[] = [];
        const back = new Set<TestJob>();
        const endless: TestJob[] = [];
        for (const one of steps) {
          if (one.do === 'number') for (let i = 0; i < one.count; i++) jobs.push(pool.give(i));
          else if (one.do === 'throw') jobs.push(pool.give({ act: 'throw', what: 'string' }));
          else if (one.do === 'exit') jobs.push(pool.give({ act: 'exit', code: 3 }));
          else if (one.do === 'timer') jobs.push(pool.give({ act: 'timerThrows', later: true }));
          else if (one.do === 'function') jobs.push(pool.give({ act: 'function' }));
          else if (one.do === 'uncloneable') jobs.push(pool.give({ act: 'echo', value: () => 1 }));
          else if (one.do === 'transfer') {
            const bytes = new ArrayBuffer(8);
            jobs.push(pool.give({ act: 'echo', value: bytes }, [bytes]));
          } else if (one.do === 'wait' || one.do === 'spin') {
            const job = pool.give({ act: one.do });
            jobs.push(job);
            endless.push(job);
          } else if (one.do === 'resize') pool.crew.resize(one.threads);
          else if (one.do === 'turn') for (let i = 0; i < one.turns; i++) await turn();
          else if (one.do === 'abort') {
            const job = jobs[one.which % Math.max(1, jobs.length)];
            if (job && job.settled === 0 && !back.has(job) && pool.abort(job, 'aborted')) back.add(job);
          }
          const { started } = pool.crew;
          assert.ok(started <= 3 * chosen.concurrency, `${started} bodies at once`);
        }
        // Each runs by the time its turn comes: those before it have ended, or were ended here.
        for (const job of endless) {
          if (!back.has(job)) await Promise.race([job.begun, job.done.catch(() => undefined)]);
          if (job.settled === 0 && !back.has(job) && pool.abort(job, 'aborted')) back.add(job);
        }
        await Promise.all(jobs.filter((job) => !back.has(job)).map((job) => job.done.catch(() => undefined)));
        for (const job of jobs) {
          assert.equal(job.settled, back.has(job) ? 0 : 1);
          if (back.has(job)) assert.deepEqual(job.messages, [], 'a job that was taken back has run');
        }
        const { waiting, prefetched, started } = pool.crew.stats();
        assert.deepEqual([waiting, prefetched, started], [0, 0, 0]);
        await pool.crew.close();
      },
    );
    await fc.assert(schedule, { numRuns: 20 });
  });

  it('settles every job when it is closed in the middle', async (t) => {
    const gate = new Gate();
    const schedule = fc.asyncProperty(options, fc.nat(60), async (chosen, turns) => {
      const pool = new TestCrew(t, { threads: 2, ...chosen });
      const jobs = Array.from({ length: 50 }, (_, i) =>
        pool.give(i % 10 === 9 ? { act: 'gate', gate: gate.shared } : i),
      );
      for (let i = 0; i < turns; i++) await turn();
      await pool.crew.close();
      for (const job of jobs) await job.done.catch((error) => assert.ok(isError(error, 'STOPPED'), String(error)));
    });
    await fc.assert(schedule, { numRuns: 15 });
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
