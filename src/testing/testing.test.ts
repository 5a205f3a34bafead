import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { conformance } from '../backend/conformance.ts';
import { sleep, VirtualClock } from '../clock.ts';
import { fixed } from '../job/backoff.ts';
import { cancel, discard, snooze } from '../job/control.ts';
import { type BatchItem, defineJob } from '../job/job.ts';
import { losslessJson } from '../job/lossless-json.ts';
import { performJob } from './perform.ts';
import { testJobs } from './testing.ts';

conformance('millrace/testing', {
  async open() {
    const { backend, clock } = await testJobs({ jobs: [] });
    return { backend, advance: (ms) => clock.advance(ms) };
  },
});

const mail = defineJob({
  name: 'mail',
  queue: 'mail',
  run: async ({ to }: { to: string; cc?: string[] }) => `sent to ${to}`,
});
const flaky = defineJob({
  name: 'flaky',
  maxAttempts: 3,
  backoff: fixed(60_000),
  run: (_: { until: number }, { attempt }) => {
    if (attempt < _.until) throw new Error(`attempt ${attempt}`);
    return attempt;
  },
});

describe('testJobs', () => {
  it('runs nothing by itself, and everything when it is drained', async () => {
    await using jobs = await testJobs({ jobs: [mail] });
    const handle = await jobs.client.enqueue('mail', { to: 'ada' }, { keepFor: 1_000 });
    assert.equal((await handle.get())?.state, 'available');
    assert.deepEqual(await jobs.drain(), {
      completed: 1,
      failed: 0,
      discarded: 0,
      cancelled: 0,
      snoozed: 0,
      returned: 0,
    });
    assert.equal(await handle.result(), 'sent to ada');
    assert.equal(jobs.clock.pending, 0, 'no timer is left');
  });

  it('drains what jobs enqueue, and only the queue that is asked for', async () => {
    const order: string[] = [];
    const second = defineJob({ name: 'second', run: (n: number) => void order.push(`second ${n}`) });
    const first = defineJob({
      name: 'first',
      queue: 'one',
      async run(n: number) {
        order.push(`first ${n}`);
        await jobs.client.enqueue(second, n);
      },
    });
    await using jobs = await testJobs({ jobs: [first, second] });
    await jobs.client.enqueueMany(first, [1, 2]);
    assert.equal((await jobs.drain({ queue: 'one' })).completed, 2);
    assert.deepEqual(order, ['first 1', 'first 2']);
    await jobs.client.enqueue(first, 3);
    assert.equal((await jobs.drain()).completed, 4);
    assert.deepEqual(new Set(order), new Set(['first 1', 'first 2', 'first 3', 'second 1', 'second 2', 'second 3']));
  });

  it('leaves what is not due, or moves the clock to it', async () => {
    await using jobs = await testJobs({ jobs: [flaky] });
    const start = jobs.clock.now();
    await jobs.client.enqueue(flaky, { until: 3 });
    await jobs.client.enqueue(flaky, { until: 1 }, { delay: 3_600_000 });
    assert.deepEqual(await jobs.drain(), {
      completed: 0,
      failed: 1,
      discarded: 0,
      cancelled: 0,
      snoozed: 0,
      returned: 0,
    });
    assert.equal(jobs.clock.now(), start);
    const { completed, failed } = await jobs.drain({ scheduled: true });
    assert.deepEqual([completed, failed, jobs.clock.now()], [2, 1, start + 3_600_000]);
    assert.deepEqual(
      jobs.performed(flaky).map(({ outcome, attempt }) => `${outcome} ${attempt}`),
      ['failed 1', 'failed 2', 'completed 3', 'completed 1'],
    );
  });

  it('makes the ticks of schedules while time passes', async () => {
    await using jobs = await testJobs({ jobs: [mail] });
    await jobs.client.schedule('hourly', mail, { to: 'ada' }, { every: 3_600_000 });
    assert.equal((await jobs.drain({ scheduled: true })).completed, 0, 'a schedule alone is nothing that waits');
    const start = jobs.clock.now();
    assert.equal((await jobs.drain({ advance: 3 * 3_600_000 })).completed, 3);
    assert.equal(jobs.clock.now(), start + 3 * 3_600_000);
  });

  it('keeps rates in virtual time', async () => {
    await using jobs = await testJobs({ jobs: [mail] });
    await jobs.inspector.configure('mail', { rate: { limit: 1, per: 1_000 } });
    await jobs.client.enqueueMany(mail, [{ to: 'a' }, { to: 'b' }, { to: 'c' }]);
    assert.equal((await jobs.drain()).completed, 1);
    const start = jobs.clock.now();
    assert.equal((await jobs.drain({ scheduled: true })).completed, 2);
    assert.equal(jobs.clock.now(), start + 2_000);
  });

  it('gives batch handlers their batches', async () => {
    const sizes: number[] = [];
    const batched = defineJob({
      name: 'batched',
      batch: {
        size: 3,
        wait: 1_000,
        run: async (items: readonly BatchItem<number>[]) => void sizes.push(items.length),
      },
    });
    await using jobs = await testJobs({ jobs: [batched] });
    await jobs.client.enqueueMany(batched, [1, 2, 3, 4, 5]);
    assert.equal((await jobs.drain()).completed, 5);
    assert.deepEqual(sizes, [3, 2]);
  });

  it('gives up on jobs that go on for ever', async () => {
    const forever = defineJob({ name: 'forever', run: () => snooze(0) as unknown as undefined });
    await using jobs = await testJobs({ jobs: [forever] });
    await jobs.client.enqueue(forever, {});
    await assert.rejects(jobs.drain({ scheduled: true, limit: 5 }), { name: 'AssertionError', message: /"forever"/ });
  });

  it('lets the clock go on for bodies that wait for it, as far as it was told', async () => {
    const slow = defineJob({
      name: 'slow',
      timeout: 100,
      run: (ms: number, { signal }): Promise<void> => sleep(jobs.clock, ms, signal),
    });
    await using jobs = await testJobs({ jobs: [slow] });
    const began = jobs.clock.now();
    await jobs.client.enqueue(slow, 50);
    await jobs.client.enqueue(slow, 1_000, { maxAttempts: 1 });
    assert.deepEqual(
      await jobs.drain({ advance: 200 }).then(({ completed, discarded }) => [completed, discarded]),
      [1, 1],
    );
    assert.equal(jobs.clock.now() - began, 200);
    assert.match(jobs.assertDiscarded(slow).error.message, /longer than its timeout/);
  });

  it('says what is enqueued, and what is there instead', async () => {
    await using jobs = await testJobs({ jobs: [mail] });
    await jobs.client.enqueue(mail, { to: 'ada', cc: ['bob'] }, { delay: 1_000, tags: ['welcome'] });
    const view = await jobs.assertEnqueued(mail, { payload: { to: 'ada' }, state: 'scheduled', tags: ['welcome'] });
    assert.deepEqual(view.payload.cc, ['bob']);
    await jobs.refuteEnqueued(mail, { payload: { to: 'bob' } });
    await jobs.refuteEnqueued(flaky);
    await assert.rejects(jobs.assertEnqueued(mail, { payload: { cc: [] } }), {
      name: 'AssertionError',
      message: /no job "mail" with .*cc.* is enqueued; there are:\s+\{.*'ada'/s,
    });
    await assert.rejects(jobs.refuteEnqueued(mail), {
      name: 'AssertionError',
      message: /a job "mail" is enqueued: .*'ada'/s,
    });
    assert.equal((await jobs.enqueued(mail)).length, 1);
  });

  it('says what was run, and what was run instead', async () => {
    await using jobs = await testJobs({ jobs: [mail, flaky] });
    await jobs.client.enqueue(mail, { to: 'ada' });
    await jobs.client.enqueue(flaky, { until: 9 }, { maxAttempts: 1 });
    await jobs.drain();
    assert.equal(jobs.assertCompleted(mail, { payload: { to: 'ada' } }).outcome, 'completed');
    const run = jobs.assertDiscarded(flaky);
    assert.ok(run.outcome === 'discarded' && run.error.message === 'attempt 1');
    assert.throws(() => jobs.assertCompleted(flaky), {
      name: 'AssertionError',
      message: /there were:\s+\{ outcome: 'discarded'/,
    });
  });

  it('passes through middleware on both sides', async () => {
    const said: unknown[] = [];
    await using jobs = await testJobs({
      jobs: [mail],
      middleware: {
        client: [
          async (draft, next) => {
            draft.headers.trace = 't1';
            await next();
          },
        ],
        server: [
          async (job, next) => {
            said.push(job.headers.trace, await next());
          },
        ],
      },
    });
    await jobs.client.enqueue(mail, { to: 'ada' });
    await jobs.drain();
    assert.deepEqual(said, ['t1', 'sent to ada']);
  });
});

describe('performJob', () => {
  it('runs a body once, and says how it ended', async () => {
    const run = await performJob(mail, { to: 'ada' });
    assert.ok(run.outcome === 'completed');
    const value: string = run.value;
    assert.equal(value, 'sent to ada');
    assert.deepEqual(await performJob(flaky, { until: 2 }, { attempt: 2 }).then(({ outcome }) => outcome), 'completed');
    const failed = await performJob(flaky, { until: 3 }, { attempt: 2 });
    assert.ok(failed.outcome === 'failed');
    assert.deepEqual([failed.error.message, failed.retryIn], ['attempt 2', 60_000]);
    assert.equal((await performJob(flaky, { until: 9 }, { attempt: 3 })).outcome, 'discarded');
  });

  it('knows snoozed, discarded and cancelled ones', async () => {
    const job = defineJob({
      name: 'moody',
      run(mood: string): undefined {
        if (mood === 'later') throw snooze(5_000);
        throw mood === 'never' ? discard('no') : cancel('stop');
      },
    });
    assert.deepEqual(await performJob(job, 'later'), {
      outcome: 'snoozed',
      delay: 5_000,
      progress: undefined,
      log: [],
    });
    assert.equal((await performJob(job, 'never')).outcome, 'discarded');
    assert.equal((await performJob(job, 'stop')).outcome, 'cancelled');
  });

  it('gives the body its context, and tells what it reported', async () => {
    const job = defineJob({
      name: 'telling',
      codec: losslessJson,
      tags: ['own'],
      run(n: bigint, context) {
        context.progress({ half: true });
        context.log(`on ${context.queue}`);
        return [n, context.attempt, context.crashes, context.tags, context.headers.trace, context.id];
      },
    });
    const options = { attempt: 4, crashes: 2, queue: 'q', tags: ['more'], headers: { trace: 't' }, id: 'x' };
    const run = await performJob(job, 2n ** 64n, options);
    assert.ok(run.outcome === 'completed');
    assert.deepEqual(run.value, [2n ** 64n, 4, 2, ['own', 'more'], 't', 'x']);
    assert.deepEqual([run.progress, run.log], [{ half: true }, ['on q']]);
  });

  it('lets a timeout pass on the clock it is given, and leaves no timer there', async () => {
    const clock = new VirtualClock();
    const begun = Promise.withResolvers<void>();
    const job = defineJob({
      name: 'slow',
      timeout: 1_000,
      run(_: null, { signal }) {
        begun.resolve();
        return new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    const running = performJob(job, null, { clock });
    await begun.promise;
    await clock.advance(1_000);
    const run = await running;
    assert.ok(run.outcome === 'failed');
    assert.equal((run.error as { code?: string }).code, 'MILLRACE_JOB_TIMEOUT');
    assert.equal(clock.pending, 0);
  });

  it('runs a batch of one', async () => {
    const job = defineJob({
      name: 'batched',
      batch: {
        size: 10,
        wait: 60_000,
        run: async (items: readonly BatchItem<number>[]) => items.map(({ payload }) => ({ value: payload * 2 })),
      },
    });
    const run = await performJob(job, 4);
    assert.ok(run.outcome === 'completed');
    assert.equal(run.value, 8);
  });

  it('refuses what an enqueue would refuse', async () => {
    await assert.rejects(performJob(mail, { to: 1n as unknown as string }), { code: 'MILLRACE_PAYLOAD_NOT_JSON' });
    await assert.rejects(performJob(mail, { to: 'ada' }, { attempt: 0 }), { code: 'MILLRACE_OPTION_INVALID' });
    await assert.rejects(performJob(mail, { to: 'ada' }, { attempts: 1 } as object), {
      code: 'MILLRACE_OPTION_UNKNOWN',
    });
  });
});
