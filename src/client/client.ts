/**
 * The way in: validates, encodes and stores jobs.
 *
 *   const client = new Client({ backend, jobs: [mail] });
 *   await client.enqueue(mail, { address: 'ada@example.org' });
 *
 * When a promise of the client resolves, the job is stored as safely as the backend stores anything (its loss table says
 * how safely that is). Calls that are made at the same time leave in one batch, so a thousand concurrent `enqueue` cost a few
 * commits, not a thousand.
 */
import type { AddGroup, AddResult, Backend, NewJob } from '../backend/backend.ts';
import { Batcher } from '../batch.ts';
import { type Clock, systemClock } from '../clock.ts';
import { assertOption, MillraceError } from '../errors.ts';
import { encode } from '../job/codec.ts';
import type { JobDefinition, PayloadOf } from '../job/job.ts';
import { validate } from '../job/schema.ts';

export interface ClientOptions<Jobs extends readonly JobDefinition[]> {
  readonly backend: Backend;
  /** Lets `enqueue` take a job by its name. A job may also be passed itself, registered here or not. */
  readonly jobs?: Jobs;
  /** Refuse jobs with QUEUE_FULL when their queue holds this many waiting ones. Minimum 1. Default: no bound. */
  readonly maxWaiting?: number;
  readonly clock?: Clock;
}

export interface EnqueueOptions {
  /** Default: the queue of the definition. */
  readonly queue?: string;
  /** 0 is served first. Integer 0–9. Default: that of the definition. */
  readonly priority?: number;
  /** Not before this much time has passed, ms. Minimum 0. Default 0. Excludes `at`. */
  readonly delay?: number;
  /** Not before this moment, ms since the epoch or a Date. Excludes `delay`. */
  readonly at?: number | Date;
}

/** The definition in `Jobs` whose name is `Name`. */
type Lookup<Jobs extends readonly JobDefinition[], Name> = Extract<Jobs[number], { readonly name: Name }>;

/** A registered name or a definition. */
type JobRef<Jobs extends readonly JobDefinition[]> = Jobs[number]['name'] | JobDefinition;

/** The payload that a name or a definition asks for. */
type PayloadFor<Jobs extends readonly JobDefinition[], Ref> = Ref extends string
  ? PayloadOf<Lookup<Jobs, Ref>>
  : PayloadOf<Ref>;

export class Client<const Jobs extends readonly JobDefinition[] = readonly []> {
  readonly #adds: Batcher<AddGroup, AddResult>;
  readonly #jobs = new Map<string, JobDefinition>();
  readonly #clock: Clock;
  readonly #maxWaiting: number | undefined;

  constructor(options: ClientOptions<Jobs>) {
    const { backend, jobs, maxWaiting, clock = systemClock } = options;
    assertOption('maxWaiting', maxWaiting, maxWaiting === undefined || maxWaiting >= 1, 'a number from 1');
    for (const job of jobs ?? []) {
      if (this.#jobs.has(job.name)) throw new MillraceError('JOB_DUPLICATE', { name: job.name });
      this.#jobs.set(job.name, job);
    }
    this.#clock = clock;
    this.#maxWaiting = maxWaiting;
    this.#adds = new Batcher({ run: (groups) => backend.add(groups) });
  }

  /**
   * Stores one job and resolves to its id.
   * Throws PAYLOAD_INVALID, PAYLOAD_NOT_JSON, JOB_UNKNOWN, QUEUE_FULL, or the backend's reason; then nothing was stored.
   */
  async enqueue<Ref extends JobRef<Jobs>>(
    job: Ref,
    payload: PayloadFor<Jobs, Ref>,
    options: EnqueueOptions = {},
  ): Promise<string> {
    const [id] = await this.enqueueMany(job, [payload], options);
    return id as string;
  }

  /** Stores all of them or none, in order; resolves to their ids. Throws like `enqueue`. */
  async enqueueMany<Ref extends JobRef<Jobs>>(
    job: Ref,
    payloads: readonly PayloadFor<Jobs, Ref>[],
    options: EnqueueOptions = {},
  ): Promise<readonly string[]> {
    const definition = this.#resolve(job);
    const template = this.#template(definition, options);
    const { name, schema } = definition;
    const jobs: NewJob[] = [];
    for (const payload of payloads) {
      jobs.push({ ...template, payload: encode(name, schema ? await validate(name, schema, payload) : payload) });
    }
    return jobs.length === 0 ? [] : this.#store({ jobs, ...(this.#maxWaiting && { maxWaiting: this.#maxWaiting }) });
  }

  /** A group that is already encoded, as the front door makes them. Resolves to what the backend said; throws only when it is away. */
  add(group: AddGroup): Promise<AddResult> {
    return this.#adds.add(group);
  }

  /** Resolves when everything handed over so far is stored or refused; later calls reject with STOPPED. */
  close(): Promise<void> {
    return this.#adds.close();
  }

  async #store(group: AddGroup): Promise<readonly string[]> {
    const result = await this.#adds.add(group);
    switch (result.status) {
      case 'stored':
      case 'repeated':
        return result.ids;
      case 'full':
        throw new MillraceError('QUEUE_FULL', result);
      case 'mismatch':
        throw new MillraceError('IDEMPOTENCY_MISMATCH', { key: group.once?.key ?? '' });
    }
  }

  #resolve(job: string | JobDefinition): JobDefinition {
    if (typeof job !== 'string') return job;
    const definition = this.#jobs.get(job);
    if (!definition) throw new MillraceError('JOB_UNKNOWN', { name: job, known: [...this.#jobs.keys()] });
    return definition;
  }

  #template(definition: JobDefinition, options: EnqueueOptions): Omit<NewJob, 'payload'> {
    const { queue = definition.queue, priority = definition.priority, delay, at } = options;
    assertOption('queue', queue, typeof queue === 'string' && queue.length > 0, 'a non-empty string');
    assertOption(
      'priority',
      priority,
      Number.isInteger(priority) && priority >= 0 && priority <= 9,
      'an integer from 0 to 9',
    );
    assertOption('delay', delay, delay === undefined || delay >= 0, 'a number of milliseconds from 0');
    assertOption('at', at, at === undefined || delay === undefined, 'absent when `delay` is given');
    const runAt = at === undefined ? delay && this.#clock.now() + delay : Number(at);
    assertOption(
      'at',
      at,
      runAt === undefined || Number.isFinite(runAt),
      'milliseconds since the epoch, or a valid Date',
    );
    const { name, maxAttempts } = definition;
    return { queue, name, priority, maxAttempts, ...(runAt && { runAt }) };
  }
}
