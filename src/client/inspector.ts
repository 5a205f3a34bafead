/**
 * Looking at jobs, and acting on them, from outside: for people, dashboards and scripts.
 *
 *   const inspector = new Inspector({ backend, jobs: [mail] });
 *   await inspector.retry('state:discarded name:mail error:"timed out"', { rate: { limit: 100, per: 60_000 } });
 *
 * Jobs are chosen by filter words (words.ts) or by a JobFilter. An action goes through the backend page by page, so each
 * call is short and nothing is held; it resolves to how many jobs it acted on. One that rejects half way has acted on the
 * pages before that. A filter that narrows nothing means every job to a look, and is refused by an action, which cannot be
 * undone: an empty field of a form would do. Whoever means every job says `all: true`.
 */
import type { Backend } from '../backend/backend.ts';
import type { Action, JobFilter } from '../backend/filter.ts';
import type { JobRecord, QueueCounts, ServerRecord } from '../backend/records.ts';
import type { QueueSettings, SettingsChange } from '../backend/settings.ts';
import { type Clock, systemClock } from '../clock.ts';
import { assertKnown, assertOption } from '../errors.ts';
import { json } from '../job/codec.ts';
import type { JobDefinition } from '../job/job.ts';
import { type EventsOptions, readEvents } from './event-stream.ts';
import { JobView } from './view.ts';
import { parseFilter } from './words.ts';

export interface InspectorOptions {
  readonly backend: Backend;
  /** Reads payloads and results of these jobs with their codecs. Jobs of other names are read as JSON. */
  readonly jobs?: readonly JobDefinition[];
  /** Ms between looks for events when nothing wakes the reader. Minimum 1. Default 1,000. */
  readonly pollInterval?: number;
  readonly clock?: Clock;
}

export interface FindOptions {
  /** Go on behind this one: the `next` of the call before. */
  readonly after?: string;
  /** At most this many jobs. Integer from 1. Default 100. */
  readonly limit?: number;
  /** Gives up between two pages and rejects with its reason: few matches among many jobs can take long to find. */
  readonly signal?: AbortSignal;
}

export interface Found<View = JobView> {
  /** Oldest first. */
  readonly jobs: readonly View[];
  /** Absent: that was all. */
  readonly next?: string;
}

export interface ActOptions {
  /** Acts on at most this many jobs, the oldest. Integer from 1. Default: all. */
  readonly limit?: number;
  /** The filter may be empty, and means every job then. Default false: an empty one is refused with OPTION_INVALID. */
  readonly all?: boolean;
  /** Stops between two pages and rejects with its reason. */
  readonly signal?: AbortSignal;
}

export interface RetryOptions extends ActOptions {
  /** Spreads the jobs over time, `limit` of them per `per` ms, so that what failed together does not come back together. */
  readonly rate?: { readonly limit: number; readonly per: number };
}

const PAGE = 1_000;

export class Inspector {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #pollInterval: number;
  readonly #jobs = new Map<string, JobDefinition>();

  constructor(options: InspectorOptions) {
    assertKnown(options, { backend: true, jobs: true, pollInterval: true, clock: true });
    const { backend, jobs = [], pollInterval = 1_000, clock = backend.clock ?? systemClock } = options;
    assertOption('pollInterval', pollInterval, pollInterval >= 1, 'a number of milliseconds from 1');
    for (const job of jobs) this.#jobs.set(job.name, job);
    this.#backend = backend;
    this.#clock = clock;
    this.#pollInterval = pollInterval;
  }

  /** Fills one page, however many jobs it has to go through. Throws FILTER_INVALID. */
  async find(filter: string | JobFilter = {}, options: FindOptions = {}): Promise<Found> {
    assertKnown(options, { after: true, limit: true, signal: true });
    const { limit = 100, signal } = options;
    assertLimit(limit);
    const wanted = this.#filter(filter);
    const jobs: JobView[] = [];
    let { after } = options;
    do {
      signal?.throwIfAborted();
      const page = { limit: Math.min(PAGE, limit - jobs.length), ...(after !== undefined && { after }) };
      const found = await this.#backend.list(wanted, page);
      for (const record of found.jobs) jobs.push(this.#view(record));
      after = found.next;
    } while (after !== undefined && jobs.length < limit);
    return after === undefined ? { jobs } : { jobs, next: after };
  }

  async get(id: string): Promise<JobView | undefined> {
    const record = await this.#backend.get(id);
    return record && this.#view(record);
  }

  /**
   * Scheduled, retryable and ended jobs become available, now or at the given rate; ended ones start over at attempt 1, their
   * history kept. Completed and quarantined ones only when the filter names their state or their ids.
   */
  async retry(filter: string | JobFilter, options: RetryOptions = {}): Promise<number> {
    const { rate, ...rest } = options;
    if (rate === undefined) return this.#act(filter, rest, () => ({ kind: 'retry' }));
    assertKnown(rate, { limit: true, per: true }, 'rate');
    const { limit, per } = rate;
    assertOption('rate.limit', limit, limit > 0 && Number.isFinite(limit), 'a number above 0');
    assertOption('rate.per', per, per > 0 && Number.isFinite(per), 'a number of milliseconds above 0');
    const every = per / limit;
    const start = this.#clock.now();
    return this.#act(filter, rest, (done) => ({ kind: 'retry', at: Math.ceil(start + done * every), every }));
  }

  /** Waiting jobs are cancelled now, running ones are told to stop. */
  cancel(filter: string | JobFilter, reason: string, options: ActOptions = {}): Promise<number> {
    return this.#act(filter, options, () => ({ kind: 'cancel', reason }));
  }

  /** Waiting jobs are given up as if their last attempt had failed. */
  discard(filter: string | JobFilter, reason: string, options: ActOptions = {}): Promise<number> {
    return this.#act(filter, options, () => ({ kind: 'discard', reason }));
  }

  /** Jobs that are not running are removed without a trace. */
  remove(filter: string | JobFilter, options: ActOptions = {}): Promise<number> {
    return this.#act(filter, options, () => ({ kind: 'remove' }));
  }

  /** The queue gives no jobs to anybody until it is resumed; those that run go on. */
  pause(queue: string): Promise<QueueSettings> {
    return this.configure(queue, { paused: true });
  }

  resume(queue: string): Promise<QueueSettings> {
    return this.configure(queue, { paused: false });
  }

  /** Resolves to the settings as they are now. Throws OPTION_INVALID and OPTION_UNKNOWN. */
  configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    return this.#backend.configure(queue, change);
  }

  /** How many jobs of each queue are in which state, and what the queue was told. */
  queues(): Promise<readonly QueueCounts[]> {
    return this.#backend.counts();
  }

  servers(): Promise<readonly ServerRecord[]> {
    return this.#backend.servers();
  }

  /** What happens, see event-stream.ts. Each call is a reader of its own. */
  events(options: EventsOptions = {}): ReturnType<typeof readEvents> {
    return readEvents(this.#backend, this.#clock, this.#pollInterval, options);
  }

  /** @param actionAfter what to do with a page, given how many jobs were acted on before it */
  async #act(filter: string | JobFilter, options: ActOptions, actionAfter: (done: number) => Action): Promise<number> {
    assertKnown(options, { limit: true, all: true, signal: true });
    const { limit = Number.MAX_SAFE_INTEGER, all = false, signal } = options;
    assertLimit(limit);
    const wanted = this.#filter(filter);
    assertOption('filter', filter, all || !isEveryJob(wanted), 'one that narrows, unless `all: true` says every job');
    let done = 0;
    let after: string | undefined;
    do {
      signal?.throwIfAborted();
      const page = { limit: Math.min(PAGE, limit - done), ...(after !== undefined && { after }) };
      const { count, next } = await this.#backend.act(actionAfter(done), wanted, page);
      done += count;
      after = next;
    } while (after !== undefined && done < limit);
    return done;
  }

  #filter(filter: string | JobFilter): JobFilter {
    return typeof filter === 'string' ? parseFilter(filter, () => this.#clock.now()) : filter;
  }

  #view(record: JobRecord): JobView {
    return new JobView(record, this.#jobs.get(record.name)?.codec ?? json);
  }
}

function isEveryJob({ where = [], ...rest }: JobFilter = {}): boolean {
  return where.length === 0 && Object.values(rest).every((value) => value === undefined);
}

function assertLimit(limit: number): void {
  assertOption('limit', limit, Number.isSafeInteger(limit) && limit >= 1, 'an integer from 1');
}
