/**
 * The way in: validates, encodes and stores jobs.
 *
 *   const client = new Client({ backend, jobs: [mail] });
 *   const handle = await client.enqueue(mail, { address: 'ada@example.org' });
 *
 * When a promise of the client resolves, the job is stored as safely as the backend stores anything (its loss table says
 * how safely that is). Calls that are made at the same time leave in one batch, so a thousand concurrent `enqueue` cost a few
 * commits, not a thousand.
 */
import type { AddGroup, AddResult, Backend, ChangeResult, NewJob } from '../backend/backend.ts';
import { assertJob } from '../backend/check.ts';
import type { ScheduleRecord } from '../backend/schedule.ts';
import { Batcher } from '../batch.ts';
import { type Clock, systemClock } from '../clock.ts';
import { assertKnown, assertOption, isError, MillraceError } from '../errors.ts';
import type { JobDefinition, PayloadOf, ResultOf } from '../job/job.ts';
import { nextTick, parseRule, type ScheduleRule, scheduleHeader, serializeRule, tickHeader } from '../job/rule.ts';
import { validate } from '../job/schema.ts';
import { draftOf, jobOf, makeJob } from './draft.ts';
import { type EnqueueOptions, noOptions, type Template, templateOf } from './enqueue-options.ts';
import { type HandleHome, JobHandle, type JobUpdate } from './handle.ts';
import { type Inbox, validateNow } from './inbox.ts';
import { type EnqueueMiddleware, passThrough } from './middleware.ts';
import { Results } from './results.ts';

export interface ClientOptions<Jobs extends readonly JobDefinition[]> {
  readonly backend: Backend;
  /** Lets `enqueue` take a job by its name. A job may also be passed itself, registered here or not. */
  readonly jobs?: Jobs;
  /** Refuse jobs with QUEUE_FULL when their queue holds this many waiting ones. Minimum 1. Default: no bound. */
  readonly maxWaiting?: number;
  /** Refuse payloads of more encoded bytes than this with PAYLOAD_TOO_LARGE. Integer from 1. Default 1 MiB. */
  readonly maxPayload?: number;
  /** Around every enqueue, the first one outermost. Default: none. */
  readonly middleware?: readonly EnqueueMiddleware[];
  /** Ms between looks for results when nothing wakes the client. Minimum 1. Default 1,000. */
  readonly pollInterval?: number;
  readonly clock?: Clock;
}

/** What a schedule may say about the jobs that its ticks make; when they come is the rule's business. */
export type ScheduleOptions<Payload = unknown> = Omit<EnqueueOptions<Payload>, 'delay' | 'at' | 'id'>;

/** The definition in `Jobs` whose name is `Name`. */
type Lookup<Jobs extends readonly JobDefinition[], Name> = Extract<Jobs[number], { readonly name: Name }>;

/** A registered name or a definition. */
type JobRef<Jobs extends readonly JobDefinition[]> = Jobs[number]['name'] | JobDefinition;

/** The payload that a name or a definition asks for. */
type PayloadFor<Jobs extends readonly JobDefinition[], Ref> = Ref extends string
  ? PayloadOf<Lookup<Jobs, Ref>>
  : PayloadOf<Ref>;

type ResultFor<Jobs extends readonly JobDefinition[], Ref> = Ref extends string
  ? ResultOf<Lookup<Jobs, Ref>>
  : ResultOf<Ref>;

type HandleFor<Jobs extends readonly JobDefinition[], Ref> = JobHandle<ResultFor<Jobs, Ref>, PayloadFor<Jobs, Ref>>;

type Stored = Extract<AddResult, { readonly ids: readonly string[] }>;

const MAX_PAYLOAD = 1024 * 1024;

export class Client<const Jobs extends readonly JobDefinition[] = readonly []> {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #maxPayload: number;
  readonly #adds: Batcher<AddGroup, AddResult>;
  readonly #jobs = new Map<string, JobDefinition>();
  readonly #maxWaiting: number | undefined;
  readonly #middleware: readonly EnqueueMiddleware[];
  readonly #results: Results;
  readonly #home: HandleHome;
  /** What calls without options share. */
  readonly #plain = new WeakMap<JobDefinition, Template>();

  constructor(options: ClientOptions<Jobs>) {
    assertKnown(options, known);
    const { backend, jobs, maxWaiting, maxPayload = MAX_PAYLOAD, middleware = [] } = options;
    const { pollInterval = 1_000, clock = backend.clock ?? systemClock } = options;
    assertOption('maxWaiting', maxWaiting, maxWaiting === undefined || maxWaiting >= 1, 'a number from 1');
    assertOption('maxPayload', maxPayload, Number.isInteger(maxPayload) && maxPayload >= 1, 'an integer from 1');
    assertOption('pollInterval', pollInterval, pollInterval >= 1, 'a number of milliseconds from 1');
    const areFunctions = Array.isArray(middleware) && middleware.every((each) => typeof each === 'function');
    assertOption('middleware', middleware, areFunctions, 'an array of functions');
    for (const job of jobs ?? []) {
      if (this.#jobs.has(job.name)) throw new MillraceError('JOB_DUPLICATE', { name: job.name });
      this.#jobs.set(job.name, job);
    }
    this.#backend = backend;
    this.#clock = clock;
    this.#maxPayload = maxPayload;
    this.#maxWaiting = maxWaiting;
    this.#middleware = middleware;
    const ahead = backend.ahead?.add;
    this.#adds = new Batcher({ ...(ahead !== undefined && { ahead }), run: (groups) => addAll(backend, groups) });
    this.#results = new Results({ backend, clock, poll: pollInterval });
    this.#home = { backend, clock, results: this.#results, maxPayload };
  }

  /**
   * Stores one job and resolves to a handle of it.
   * Throws PAYLOAD_INVALID, PAYLOAD_NOT_JSON, PAYLOAD_TOO_LARGE, OPTION_INVALID, OPTION_UNKNOWN, JOB_UNKNOWN, QUEUE_FULL, what
   * a middleware throws, or the backend's reason; then nothing was stored.
   */
  async enqueue<Ref extends JobRef<Jobs>>(
    job: Ref,
    payload: PayloadFor<Jobs, Ref>,
    options: EnqueueOptions<PayloadFor<Jobs, Ref>> = noOptions,
  ): Promise<HandleFor<Jobs, Ref>> {
    const definition = this.#resolve(job);
    const template = this.#template(definition, options);
    const { name, schema } = definition;
    const value = schema ? await validate(name, schema, payload) : payload;
    if (this.#middleware.length > 0) return (await this.#pass(template, [value]))[0] as HandleFor<Jobs, Ref>;
    const made = makeJob(template, value, this.#maxPayload);
    return this.#handle(stored(await this.#adds.add(this.#group([made]))), 0, definition) as HandleFor<Jobs, Ref>;
  }

  /** Stores all of them or none, in order; resolves to their handles. Throws like `enqueue`. */
  async enqueueMany<Ref extends JobRef<Jobs>>(
    job: Ref,
    payloads: readonly PayloadFor<Jobs, Ref>[],
    options: EnqueueOptions<PayloadFor<Jobs, Ref>> = noOptions,
  ): Promise<readonly HandleFor<Jobs, Ref>[]> {
    const definition = this.#resolve(job);
    const template = this.#template(definition, options);
    assertOption('id', options.id, options.id === undefined || payloads.length < 2, 'absent for several payloads');
    const { name, schema } = definition;
    const values: unknown[] = [];
    for (const payload of payloads) values.push(schema ? await validate(name, schema, payload) : payload);
    if (values.length === 0) return [];
    if (this.#middleware.length > 0) return this.#pass(template, values) as Promise<HandleFor<Jobs, Ref>[]>;
    const made = values.map((value) => makeJob(template, value, this.#maxPayload));
    return this.#handles(stored(await this.#adds.add(this.#group(made))), definition) as HandleFor<Jobs, Ref>[];
  }

  /**
   * Stores one job in the transaction that the caller has open: it is there when that commits, and never was when that is
   * rolled back. Waits for nothing, so the handle must not be waited for before the commit.
   * Throws like `enqueue`; and OPTION_INVALID for a schema, ENQUEUE_REFUSED for a middleware, that cannot answer at once.
   */
  enqueueIn<Ref extends JobRef<Jobs>>(
    inbox: Inbox,
    job: Ref,
    payload: PayloadFor<Jobs, Ref>,
    options: EnqueueOptions<PayloadFor<Jobs, Ref>> = noOptions,
  ): HandleFor<Jobs, Ref> {
    const definition = this.#resolve(job);
    const template = this.#template(definition, options);
    const draft = draftOf(template, validateNow(definition, payload));
    let result: Stored | undefined;
    let failure: { readonly error: unknown } | undefined;
    const store = async () => {
      try {
        result = stored(inbox.add([this.#group([jobOf(draft, definition, this.#maxPayload)])])[0] as AddResult);
        draft.id = result.ids[0];
      } catch (error) {
        failure = { error };
        throw error;
      }
    };
    const passage = passThrough(this.#middleware, [draft], store);
    // Whoever called has its answer when this returns; what a middleware throws after its `next` has nobody to go to.
    passage.done.catch(() => undefined);
    if (failure) throw failure.error;
    if (!result) {
      const reason = 'a middleware did not call next() at once, and enqueueIn cannot wait';
      const error = new MillraceError('ENQUEUE_REFUSED', { name: definition.name, reason });
      passage.refuse(error);
      throw error;
    }
    return this.#handle(result, 0, definition) as HandleFor<Jobs, Ref>;
  }

  /** The handle of a job by its id, wherever and whenever it was enqueued. Asks nothing: `get()` tells whether there is one. */
  handle<Ref extends JobRef<Jobs>>(id: string, job: Ref): HandleFor<Jobs, Ref>;
  handle(id: string): JobHandle;
  handle(id: string, job?: string | JobDefinition): JobHandle {
    assertOption('id', id, typeof id === 'string' && id.length > 0, 'a non-empty string');
    return new JobHandle(this.#home, id, false, job === undefined ? undefined : this.#resolve(job));
  }

  /**
   * Changes a job that waits: its payload (then say of which job), priority, attempts, tags, or time.
   * Throws like `enqueue`; then nothing was changed.
   */
  update<Ref extends JobRef<Jobs>>(
    id: string,
    change: JobUpdate<PayloadFor<Jobs, Ref>>,
    job: Ref,
  ): Promise<ChangeResult>;
  update(id: string, change: Omit<JobUpdate, 'payload'>): Promise<ChangeResult>;
  update(id: string, change: JobUpdate, job?: string | JobDefinition): Promise<ChangeResult> {
    const handle = job === undefined ? this.handle(id) : this.handle(id, this.#resolve(job));
    return handle.update(change);
  }

  /**
   * Makes jobs come by themselves, or changes how: a schedule of the same key is replaced, and keeps its place in time
   * while its rule is the same. So a program may say its schedules at every start. Its jobs are made by servers, so they
   * pass no middleware of a client.
   * Throws SCHEDULE_INVALID, PEER_MISSING (cron needs `croner`), and what `enqueue` throws; then nothing was changed.
   */
  async schedule<Ref extends JobRef<Jobs>>(
    key: string,
    job: Ref,
    payload: PayloadFor<Jobs, Ref>,
    rule: ScheduleRule,
    options: ScheduleOptions<PayloadFor<Jobs, Ref>> = noOptions,
  ): Promise<void> {
    const definition = this.#resolve(job);
    for (const name of ['delay', 'at', 'id']) {
      if (Object.hasOwn(options, name)) throw new MillraceError('OPTION_UNKNOWN', { option: name });
    }
    const template = this.#template(definition, options);
    const parsed = await parseRule(rule, key);
    const { name, schema } = definition;
    const draft = draftOf(template, schema ? await validate(name, schema, payload) : payload);
    const nextAt = nextTick(parsed, this.#clock.now());
    const made = jobOf(draft, definition, this.#maxPayload);
    // As it will be stored at a tick: what is refused only then would be refused where nobody sees it.
    const tick = new Date(8.64e15).toISOString();
    assertJob({ ...made, headers: { ...made.headers, [scheduleHeader]: key, [tickHeader]: tick } });
    await this.#backend.putSchedule({ key, rule: serializeRule(parsed), job: made, nextAt });
  }

  /** Ends a schedule; jobs that it has made stay. False when there was none. */
  unschedule(key: string): Promise<boolean> {
    return this.#backend.removeSchedule(key);
  }

  /** In the order of their keys. */
  schedules(): Promise<readonly ScheduleRecord[]> {
    return this.#backend.schedules();
  }

  /** A group that is already encoded, as the front door makes them. Resolves to what the backend said; throws only when it is away. */
  add(group: AddGroup): Promise<AddResult> {
    return this.#adds.add(group);
  }

  /**
   * Resolves when everything handed over so far is stored or refused; later calls reject with STOPPED, and so do calls that
   * wait for results.
   */
  close(): Promise<void> {
    this.#results.close();
    return this.#adds.close();
  }

  async #pass(template: Template, values: readonly unknown[]): Promise<readonly JobHandle[]> {
    const { definition } = template;
    const drafts = values.map((value) => draftOf(template, value));
    const { done } = passThrough(this.#middleware, drafts, async () => {
      const made = drafts.map((draft) => jobOf(draft, definition, this.#maxPayload));
      const result = stored(await this.#adds.add(this.#group(made)));
      for (const [i, draft] of drafts.entries()) draft.id = result.ids[i];
      return result;
    });
    return this.#handles(await done, definition);
  }

  #group(jobs: readonly NewJob[]): AddGroup {
    return this.#maxWaiting === undefined ? { jobs } : { jobs, maxWaiting: this.#maxWaiting };
  }

  #handles(result: Stored, definition: JobDefinition): readonly JobHandle[] {
    return result.ids.map((_, i) => this.#handle(result, i, definition));
  }

  #handle(result: Stored, index: number, definition: JobDefinition): JobHandle {
    const isNew = result.status === 'stored' && !result.existing?.includes(index);
    return new JobHandle(this.#home, result.ids[index] as string, isNew, definition);
  }

  #resolve(job: string | JobDefinition): JobDefinition {
    if (typeof job !== 'string') return job;
    const definition = this.#jobs.get(job);
    if (!definition) throw new MillraceError('JOB_UNKNOWN', { name: job, known: [...this.#jobs.keys()] });
    return definition;
  }

  #template(definition: JobDefinition, options: EnqueueOptions<never>): Template {
    if (options !== noOptions) return templateOf(definition, options, () => this.#clock.now());
    let template = this.#plain.get(definition);
    if (!template) {
      template = templateOf(definition, noOptions, () => this.#clock.now());
      this.#plain.set(definition, template);
    }
    return template;
  }
}

const known = {
  backend: true,
  jobs: true,
  maxWaiting: true,
  maxPayload: true,
  middleware: true,
  pollInterval: true,
  clock: true,
} as const satisfies Record<keyof ClientOptions<[]>, true>;

/**
 * All groups in one call. When the backend finds something in one of them that it does not take, each goes alone, so that
 * nobody is refused for what another one asked.
 */
async function addAll(
  backend: Backend,
  groups: readonly AddGroup[],
): Promise<readonly (AddResult | Promise<AddResult>)[]> {
  try {
    return await backend.add(groups);
  } catch (error) {
    const isRefusal = isError(error, 'OPTION_INVALID') || isError(error, 'NOT_SUPPORTED');
    if (!isRefusal || groups.length === 1) throw error;
    const results: Promise<AddResult>[] = [];
    for (const group of groups) {
      const result = backend.add([group]).then(([only]) => only as AddResult);
      results.push(result);
      await result.catch(() => undefined); // one after the other: their order is that of the calls
    }
    return results;
  }
}

function stored(result: AddResult): Stored {
  switch (result.status) {
    case 'stored':
    case 'repeated':
      return result;
    case 'full':
      throw new MillraceError('QUEUE_FULL', result);
    case 'mismatch':
      throw new MillraceError('IDEMPOTENCY_MISMATCH', { key: '' });
  }
}
