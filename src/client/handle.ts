/**
 * One job in the hands of whoever enqueued it, or knows its id.
 *
 *   const handle = await client.enqueue(render, { page: 3 }, { keepFor: 60_000 });
 *   const image = await handle.result({ timeout: 30_000 });
 *
 * It holds an id and nothing of the job, costs nothing while it is not used, and works in any process that reaches the
 * same backend: `client.handle(id, render)` is the same thing after a restart.
 */
import type { Backend, ChangeResult } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';
import { assertKnown, assertOption, MillraceError } from '../errors.ts';
import { type Codec, json } from '../job/codec.ts';
import type { JobDefinition } from '../job/job.ts';
import { validate } from '../job/schema.ts';
import { write } from './draft.ts';
import { momentOf } from './enqueue-options.ts';
import type { Results, WaitOptions } from './results.ts';
import { JobView } from './view.ts';

/** Of a job that waits; what is left out stays. */
export interface JobUpdate<Payload = unknown> {
  readonly payload?: Payload;
  /** Integer 0–9. */
  readonly priority?: number;
  /** Integer from 1. */
  readonly maxAttempts?: number;
  /** Not before this much time has passed from now, ms. 0: at once. Excludes `at`. */
  readonly delay?: number;
  /** Not before this moment, ms since the epoch or a Date. Excludes `delay`. */
  readonly at?: number | Date;
  /** In place of those it has. */
  readonly tags?: readonly string[];
}

/** What handles need of the client that made them. */
export interface HandleHome {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly results: Results;
  readonly maxPayload: number;
}

const known = {
  payload: true,
  priority: true,
  maxAttempts: true,
  delay: true,
  at: true,
  tags: true,
} as const satisfies Record<keyof JobUpdate, true>;

export class JobHandle<Result = unknown, Payload = unknown> {
  readonly id: string;
  /** False: an id or a unique rule led to a job that was there before. */
  readonly isNew: boolean;
  readonly #home: HandleHome;
  readonly #definition: JobDefinition | undefined;

  constructor(home: HandleHome, id: string, isNew: boolean, definition: JobDefinition | undefined) {
    this.id = id;
    this.isNew = isNew;
    this.#home = home;
    this.#definition = definition;
  }

  /** The job as it is now; undefined when it is not known, or not any more. */
  async get(): Promise<JobView<Payload, Result> | undefined> {
    const record = await this.#home.backend.get(this.id);
    return record && new JobView<Payload, Result>(record, this.#codec);
  }

  /**
   * Resolves to what the handler returned, once it has, in whichever process. The job must be kept for that long: give it
   * `keepFor`.
   * Throws JOB_FAILED when the job was discarded, cancelled or quarantined, with the reason; RESULT_NOT_KEPT when it is not
   * known any more; RESULT_TIMEOUT; the signal's reason; STOPPED when the client is closed. None of it touches the job.
   */
  async result(options: WaitOptions = {}): Promise<Result> {
    assertKnown(options, { signal: true, timeout: true });
    const { timeout } = options;
    assertOption('timeout', timeout, timeout === undefined || timeout >= 0, 'a number of milliseconds from 0');
    const { id } = this;
    const record = await this.#home.results.wait(id, options);
    if (!record) throw new MillraceError('RESULT_NOT_KEPT', { id });
    const { state, errors, result } = record;
    if (state !== 'completed') {
      throw new MillraceError('JOB_FAILED', { id, state, reason: errors.at(-1)?.message ?? 'no reason was given' });
    }
    return (result && this.#codec.decode(result)) as Result;
  }

  /**
   * A job that waits is cancelled now, one that runs is told to stop: its signal aborts with JOB_CANCELLED.
   * Resolves to false when it had ended, or is not known.
   */
  async cancel(reason = 'it was not wanted any more'): Promise<boolean> {
    const { count } = await this.#home.backend.act({ kind: 'cancel', reason }, { ids: [this.id] });
    return count > 0;
  }

  /**
   * Changes a job that waits. Resolves to `'busy'` when it runs or has ended, `'unknown'` when there is none.
   * Throws like an enqueue; then nothing was changed.
   */
  async update(change: JobUpdate<Payload>): Promise<ChangeResult> {
    assertKnown(change, known);
    const { backend, clock } = this.#home;
    const { priority, maxAttempts, tags, delay } = change;
    const runAt = momentOf(change, () => clock.now()) ?? (delay === 0 ? clock.now() : undefined);
    const [result] = await backend.update([
      {
        id: this.id,
        ...(Object.hasOwn(change, 'payload') && { payload: await this.#write(change.payload) }),
        ...(priority !== undefined && { priority }),
        ...(maxAttempts !== undefined && { maxAttempts }),
        ...(runAt !== undefined && { runAt }),
        ...(tags !== undefined && { tags }),
      },
    ]);
    return result as ChangeResult;
  }

  get #codec(): Codec {
    return this.#definition?.codec ?? json;
  }

  async #write(payload: unknown): Promise<Uint8Array> {
    const definition = this.#definition;
    assertOption('payload', payload, definition !== undefined, 'given to the handle of a known job');
    const { name, schema } = definition as JobDefinition;
    const checked = schema ? await validate(name, schema, payload) : payload;
    return write(definition as JobDefinition, checked, this.#home.maxPayload);
  }
}
