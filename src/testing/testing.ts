/**
 * Jobs in a test: a client, an inspector and a server in one process, in memory, in virtual time.
 *
 *   import { testJobs } from 'millrace/testing';
 *
 *   await using jobs = await testJobs({ jobs: [mail] });
 *   await signUp(jobs.client, 'ada@example.org');                        // the code under test
 *   await jobs.assertEnqueued(mail, { payload: { to: 'ada@example.org' } });
 *   await jobs.drain({ scheduled: true });                               // runs it, and its retries
 *   jobs.assertCompleted(mail);
 *
 * Nothing runs by itself: jobs wait until `drain`, and time stands still until it is told to pass. Jobs run one at a time,
 * in order, by a real JobServer; a batch handler gets its batches. Chance is always 0.5.
 */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { Backend } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { Client } from '../client/client.ts';
import { Inspector } from '../client/inspector.ts';
import type { EnqueueMiddleware } from '../client/middleware.ts';
import type { JobView } from '../client/view.ts';
import { VirtualClock } from '../clock.ts';
import { assertKnown } from '../errors.ts';
import type { JobDefinition, PayloadOf, ResultOf } from '../job/job.ts';
import type { PerformMiddleware } from '../server/middleware.ts';
import { Drain, type Drained, type DrainOptions, type Performed } from './drain.ts';
import { matches, type PartOf } from './match.ts';
import type { Outcome } from './perform.ts';

export type { Drained, DrainOptions, Performed } from './drain.ts';
export { type JobRun, type Outcome, type PerformOptions, performJob } from './perform.ts';

export interface TestJobsOptions<Jobs extends readonly JobDefinition[]> {
  /** What `drain` can run, and what the client knows by name. */
  readonly jobs: Jobs;
  /** As of a Client, and as of a JobServer. Default: none. */
  readonly middleware?: {
    readonly client?: readonly EnqueueMiddleware[];
    readonly server?: readonly PerformMiddleware[];
  };
  /** What the clock shows at first, ms since the epoch or a Date. Default 2026-01-01T00:00:00Z. */
  readonly now?: number | Date;
}

/** What is expected of a job; what is left out may be anything. */
export type Expected<Job> = PartOf<
  Pick<
    JobView<PayloadOf<Job>>,
    'id' | 'queue' | 'state' | 'priority' | 'key' | 'tags' | 'headers' | 'runAt' | 'attempt'
  >
> & { readonly payload?: PartOf<PayloadOf<Job>> };

const WAITING = ['scheduled', 'available', 'retryable', 'running'] as const;

export class TestJobs<const Jobs extends readonly JobDefinition[]> {
  readonly client: Client<Jobs>;
  readonly inspector: Inspector;
  readonly clock: VirtualClock;
  readonly backend: Backend;
  readonly #drain: Drain;

  /** Use `testJobs`, which also opens the backend. */
  constructor(options: TestJobsOptions<Jobs>) {
    assertKnown(options, { jobs: true, middleware: true, now: true });
    const { jobs, middleware = {}, now } = options;
    const clock = new VirtualClock(now === undefined ? undefined : Number(now));
    const backend = new MemoryBackend({ clock });
    this.clock = clock;
    this.backend = backend;
    this.client = new Client({ backend, clock, jobs, middleware: middleware.client ?? [] });
    this.inspector = new Inspector({ backend, clock, jobs });
    this.#drain = new Drain({ backend, clock, jobs, middleware: middleware.server ?? [] });
  }

  /**
   * Runs everything that can run now, and what that enqueues, until nothing is left. Resolves to how the runs ended.
   * A body that waits for the clock, or for its timeout, needs `advance`: without it the drain waits as long as the body.
   * Rejects with an AssertionError at `limit` jobs: they would go on for ever.
   */
  drain(options: DrainOptions = {}): Promise<Drained> {
    return this.#drain.run(options);
  }

  /** Jobs that have not ended, oldest first. */
  async enqueued<Job extends JobDefinition>(job: Job, expected: Expected<Job> = {}): Promise<readonly View<Job>[]> {
    const found: View<Job>[] = [];
    let after: string | undefined;
    do {
      const page = { limit: 1_000, ...(after !== undefined && { after }) };
      const { jobs, next } = await this.inspector.find({ name: job.name, states: WAITING }, page);
      found.push(...(jobs.filter((view) => matches(view, expected)) as View<Job>[]));
      after = next;
    } while (after !== undefined);
    return found;
  }

  /** Resolves to the oldest such job. Rejects with an AssertionError that tells which jobs there are instead. */
  async assertEnqueued<Job extends JobDefinition>(job: Job, expected: Expected<Job> = {}): Promise<View<Job>> {
    const [found] = await this.enqueued(job, expected);
    if (found) return found;
    const others = (await this.enqueued(job)).map((view) => `\n  ${inspect(brief(view), { breakLength: 120 })}`);
    assert.fail(`no ${sentence(job, expected)} is enqueued; there are: ${others.join('') || 'none of that name'}`);
  }

  /** Rejects with an AssertionError when there is such a job. */
  async refuteEnqueued<Job extends JobDefinition>(job: Job, expected: Expected<Job> = {}): Promise<void> {
    const [found] = await this.enqueued(job, expected);
    if (found) assert.fail(`a ${sentence(job, expected)} is enqueued: ${inspect(brief(found))}`);
  }

  /** What `drain` has run so far, in the order in which the runs ended. */
  performed<Job extends JobDefinition>(job: Job, expected: RunExpected<Job> = {}): readonly Performed<Job>[] {
    const runs = this.#drain.performed.filter((run) => run.job.name === job.name);
    return runs.filter((run) => matches({ ...run, payload: run.payload }, expected)) as unknown as Performed<Job>[];
  }

  /** Returns the first such run. Throws an AssertionError that tells which runs there were instead. */
  assertPerformed<Job extends JobDefinition>(job: Job, expected: RunExpected<Job> = {}): Performed<Job> {
    const [found] = this.performed(job, expected);
    if (found) return found;
    const others = this.performed(job).map(
      ({ outcome, payload, attempt }) => `\n  ${inspect({ outcome, payload, attempt }, { breakLength: 120 })}`,
    );
    assert.fail(`no ${sentence(job, expected)} was run; there were: ${others.join('') || 'none of that name'}`);
  }

  assertCompleted<Job extends JobDefinition>(job: Job, expected: RunExpected<Job> = {}): Ended<Job, 'completed'> {
    return this.assertPerformed(job, { ...expected, outcome: 'completed' }) as Ended<Job, 'completed'>;
  }

  assertDiscarded<Job extends JobDefinition>(job: Job, expected: RunExpected<Job> = {}): Ended<Job, 'discarded'> {
    return this.assertPerformed(job, { ...expected, outcome: 'discarded' }) as Ended<Job, 'discarded'>;
  }

  /** Ends waiting for results, and lets go of all jobs. */
  async close(): Promise<void> {
    await this.client.close();
    await this.backend.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A run that ended in this way. */
export type Ended<Job, How extends Outcome['outcome']> = Extract<Performed<Job>, { readonly outcome: How }>;

type View<Job> = JobView<PayloadOf<Job>, ResultOf<Job>>;

/** What is expected of a run; what is left out may be anything. */
export interface RunExpected<Job> {
  readonly outcome?: Performed<Job>['outcome'];
  readonly payload?: PartOf<PayloadOf<Job>>;
  readonly attempt?: number;
  readonly value?: unknown;
}

/** A fresh set, with nothing in it. */
export async function testJobs<const Jobs extends readonly JobDefinition[]>(
  options: TestJobsOptions<Jobs>,
): Promise<TestJobs<Jobs>> {
  const jobs = new TestJobs(options);
  await jobs.backend.open();
  return jobs;
}

function sentence(job: JobDefinition, expected: object): string {
  const parts = Object.keys(expected).length > 0 ? ` with ${inspect(expected, { breakLength: 120 })}` : '';
  return `job "${job.name}"${parts}`;
}

function brief({ state, payload, queue, runAt }: JobView): object {
  return { state, payload, queue, runAt: new Date(runAt).toISOString() };
}
