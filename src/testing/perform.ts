/**
 * One run of one job, without a queue: what a unit test of a job's body needs.
 *
 *   const run = await performJob(mail, { to: 'ada' }, { attempt: 3 });
 *   assert.equal(run.outcome, 'completed');
 *
 * The run is a JobServer's: the schema checks the payload, the codec writes and reads it, middleware goes around the body,
 * and its end is decided by the same rules. Nothing is kept.
 */
import type { ClaimedJob, ClaimResult, Report, SettleResult } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { makeJob } from '../client/draft.ts';
import { type EnqueueOptions, enqueueOptions, noOptions, templateOf } from '../client/enqueue-options.ts';
import { type Clock, VirtualClock } from '../clock.ts';
import { assertKnown, assertOption } from '../errors.ts';
import type { JobDefinition } from '../job/job.ts';
import { validate } from '../job/schema.ts';
import type { ServerEvent } from '../server/events.ts';
import type { PerformMiddleware } from '../server/middleware.ts';
import { JobServer } from '../server/server.ts';

/** How one run of a job ended. */
export type Outcome<Result = unknown> =
  | { readonly outcome: 'completed'; readonly value: Result }
  /** It will run again after `retryIn` ms. */
  | { readonly outcome: 'failed'; readonly error: Error; readonly retryIn: number }
  /** That was the last attempt, or it gave up by itself, or `retryIf` said no. */
  | { readonly outcome: 'discarded'; readonly error: Error }
  | { readonly outcome: 'cancelled'; readonly error: Error }
  /** It asked to run again after `delay` ms. */
  | { readonly outcome: 'snoozed'; readonly delay: number }
  /** It did not end before its server stopped. */
  | { readonly outcome: 'returned' };

export type JobRun<Result = unknown> = Outcome<Result> & {
  /** What the body reported last. */
  readonly progress: unknown;
  readonly log: readonly string[];
};

export interface PerformOptions<Payload = unknown> extends EnqueueOptions<Payload> {
  /** 1 for the first. Integer from 1. Default 1. */
  readonly attempt?: number;
  /** How often a server died with it before. Integer from 0. Default 0. */
  readonly crashes?: number;
  /** Goes around the body, as a server's would. Default: none. */
  readonly middleware?: readonly PerformMiddleware[];
  /** Default: a VirtualClock. Give one to let a body's timeout pass. */
  readonly clock?: Clock;
  /** For the jitter of the back-off, uniform in [0, 1). Default: always 0.5. */
  readonly random?: () => number;
}

/** Throws PAYLOAD_INVALID and what an enqueue of it would throw; what the body throws is an outcome. */
export async function performJob<Payload, Result>(
  job: JobDefinition<string, Payload, Result>,
  payload: Payload,
  options: PerformOptions<Payload> = noOptions,
): Promise<JobRun<Result>> {
  const {
    attempt = 1,
    crashes = 0,
    middleware = [],
    clock = new VirtualClock(),
    random = () => 0.5,
    ...rest
  } = options;
  assertKnown(options, known);
  assertOption('attempt', attempt, Number.isInteger(attempt) && attempt >= 1, 'an integer from 1');
  assertOption('crashes', crashes, Number.isInteger(crashes) && crashes >= 0, 'an integer from 0');
  const definition = job as JobDefinition;
  const { name, schema } = definition;
  const value = schema ? await validate(name, schema, payload) : payload;
  const now = clock.now();
  const made = makeJob(
    templateOf(definition, rest as EnqueueOptions<never>, () => now),
    value,
    Number.POSITIVE_INFINITY,
  );
  const claimed: ClaimedJob = { runAt: now, ...made, id: made.id ?? 'job', attempt, crashes, claim: 1, addedAt: now };

  const backend = new OneJob(claimed, clock);
  await backend.open();
  const ended = Promise.withResolvers<Outcome>();
  const server = new JobServer({
    backend,
    jobs: [definition],
    queues: [claimed.queue],
    workers: 1,
    prefetch: 0,
    stopDeadline: Number.MAX_SAFE_INTEGER,
    middleware,
    clock,
    random,
    observe(event) {
      const outcome = outcomeOf(event, clock);
      if (outcome) ended.resolve(outcome);
      if (event.type === 'backend-error') ended.reject(event.error);
    },
  });
  try {
    await server.start();
    await backend.taken;
    // It stops when the body has ended; a batch that waits for company runs as it is.
    await server.stop();
    ended.resolve({ outcome: 'returned' });
    const outcome = (await ended.promise) as Outcome<Result>;
    return { ...outcome, progress: backend.progress, log: backend.lines };
  } finally {
    await server.stop();
    await backend.close();
  }
}

const known = {
  ...enqueueOptions,
  attempt: true,
  crashes: true,
  middleware: true,
  clock: true,
  random: true,
} as const satisfies Record<keyof PerformOptions, true>;

/** The outcome that an event of a server tells of, if it does. */
export function outcomeOf(event: ServerEvent, clock: Clock): Outcome | undefined {
  switch (event.type) {
    case 'completed':
      return { outcome: 'completed', value: event.value };
    case 'failed': {
      const { error, retryAt } = event;
      if (retryAt === undefined) return { outcome: 'discarded', error };
      return { outcome: 'failed', error, retryIn: retryAt - clock.now() };
    }
    case 'cancelled':
      return { outcome: 'cancelled', error: event.error };
    case 'snoozed':
      return { outcome: 'snoozed', delay: event.runAt - clock.now() };
    case 'returned':
      return { outcome: 'returned' };
    default:
      return undefined;
  }
}

/** Gives one job, once, and remembers what that says. */
class OneJob extends MemoryBackend {
  /** Resolves when the job was claimed. */
  readonly taken: Promise<void>;
  progress: unknown;
  readonly lines: string[] = [];
  readonly #take: () => void;
  #job: ClaimedJob | undefined;

  constructor(job: ClaimedJob, clock: Clock) {
    super({ clock });
    this.#job = job;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.taken = promise;
    this.#take = resolve;
  }

  override async claim(): Promise<ClaimResult> {
    const jobs = this.#job ? [this.#job] : [];
    this.#job = undefined;
    this.#take();
    return { jobs };
  }

  override async settle(_: string, outcomes: readonly unknown[]): Promise<readonly SettleResult[]> {
    return outcomes.map(() => 'taken');
  }

  override async report(_: string, reports: readonly Report[]): Promise<readonly SettleResult[]> {
    for (const { progress, log = [] } of reports) {
      if (progress !== undefined) this.progress = JSON.parse(progress);
      this.lines.push(...log.map(({ text }) => text));
    }
    return reports.map(() => 'taken');
  }
}
