/**
 * Runs what the dispatcher hands to a worker, and turns however it ends into an outcome.
 *
 *   resolve definition ─▶ arm timeout ─▶ run the body ─▶ conclude ─▶ settle
 *
 * Promises: `run` never rejects; each job it is given gets exactly one ending, whatever the body does (value, rejection,
 * synchronous throw, an undecodable payload, an unknown name). A body that was aborted because the server stops and then
 * throws is handed back: a stop is not a failure of the job.
 */
import type { AttemptError, ClaimedJob, Ending, Outcome } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';
import { isError, MillraceError, toError } from '../errors.ts';
import { type Backoff, exponential } from '../job/backoff.ts';
import { decode } from '../job/codec.ts';
import type { ItemResult, JobDefinition } from '../job/job.ts';
import type { Observer } from './events.ts';
import { Abortable, Context, Item } from './run.ts';

/** What one worker is given at a time: one job, or the jobs of one batch. They share a name. */
export interface Work {
  readonly jobs: readonly ClaimedJob[];
}

export interface ExecutorOptions {
  readonly definitions: ReadonlyMap<string, JobDefinition>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly settle: (outcomes: readonly Outcome[]) => void;
  readonly observe: Observer | undefined;
}

/** A message or a stack longer than this is cut: error histories are kept with the job. */
const MAX_ERROR_TEXT = 4096;

const COMPLETED: Ending = { kind: 'completed' };
const RETURNED: Ending = { kind: 'returned' };

/** For jobs whose definition is not known here. */
const unknownBackoff = exponential();

type Settled = { readonly value: unknown } | { readonly error: unknown };

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #running = new Map<Abortable, Work>();

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** Jobs whose bodies have not ended. */
  get running(): number {
    let count = 0;
    for (const work of this.#running.values()) count += work.jobs.length;
    return count;
  }

  async run(work: Work): Promise<void> {
    const { definitions, clock, observe } = this.#options;
    const definition = definitions.get(work.jobs[0]?.name ?? '');
    const abortable = new Abortable();
    this.#running.set(abortable, work);
    if (observe) for (const job of work.jobs) observe({ type: 'started', job });
    const startedAt = observe ? clock.monotonic() : 0;

    const results = definition
      ? await this.#perform(work, definition, abortable)
      : work.jobs.map((job) => ({ error: this.#unknown(job) }));

    // A work that was given up at the stop deadline has its outcome already.
    if (!this.#running.delete(abortable)) return;
    const took = observe ? clock.monotonic() - startedAt : 0;
    this.#options.settle(
      work.jobs.map((job, i) => {
        const ending = this.#conclude(job, results[i] ?? { value: undefined }, definition, abortable.reason, took);
        return { id: job.id, claim: job.claim, ending };
      }),
    );
  }

  /** Tells every running body to stop. */
  abort(reason: Error): void {
    for (const abortable of this.#running.keys()) abortable.abort(reason);
  }

  /** Hands back what runs on in spite of `abort`; its late outcome is dropped. Returns how many jobs that were. */
  giveUp(): number {
    const abandoned = [...this.#running.values()].flatMap((work) => work.jobs);
    this.#running.clear();
    for (const job of abandoned) this.#options.observe?.({ type: 'returned', job });
    this.#options.settle(abandoned.map((job) => ({ id: job.id, claim: job.claim, ending: RETURNED })));
    return abandoned.length;
  }

  async #perform(work: Work, definition: JobDefinition, abortable: Abortable): Promise<readonly Settled[]> {
    const { name, timeout, handler } = definition;
    if (timeout !== undefined) {
      abortable.arm(this.#options.clock, timeout, () => new MillraceError('JOB_TIMEOUT', { name, timeout }));
    }
    try {
      if (handler.kind === 'single') {
        const job = work.jobs[0] as ClaimedJob;
        return [{ value: await handler.run(decode(job.payload), new Context(job, abortable)) }];
      }
      const items = work.jobs.map((job) => new Item(new Context(job, abortable)));
      const results = (await handler.run(items, abortable.signal)) as readonly ItemResult<unknown>[] | undefined;
      return work.jobs.map((_, i) => results?.[i] ?? { value: undefined });
    } catch (error) {
      return work.jobs.map(() => ({ error }));
    } finally {
      abortable.disarm();
    }
  }

  #conclude(
    job: ClaimedJob,
    settled: Settled,
    definition: JobDefinition | undefined,
    aborted: unknown,
    took: number,
  ): Ending {
    const { clock, observe } = this.#options;
    if (!('error' in settled)) {
      observe?.({ type: 'completed', job, value: settled.value, took });
      return COMPLETED;
    }
    const thrown = settled.error;
    if (isError(aborted, 'STOPPED')) {
      observe?.({ type: 'returned', job });
      return RETURNED;
    }
    if (isError(thrown, 'JOB_SNOOZED')) {
      const runAt = clock.now() + thrown.fields.delay;
      observe?.({ type: 'snoozed', job, runAt });
      return { kind: 'snoozed', runAt };
    }
    // The reason of the abort says more than the AbortError that the body made of it.
    const error = toError(aborted ?? thrown);
    if (isError(error, 'JOB_DISCARDED')) {
      observe?.({ type: 'failed', job, error });
      return { kind: 'discarded', error: this.#describe(job, error) };
    }
    if (job.attempt >= job.maxAttempts) {
      observe?.({ type: 'failed', job, error });
      return { kind: 'failed', error: this.#describe(job, error) };
    }
    const retryAt = clock.now() + this.#backoff(definition?.backoff ?? unknownBackoff, job.attempt);
    observe?.({ type: 'failed', job, error, retryAt });
    return { kind: 'failed', error: this.#describe(job, error), retryAt };
  }

  /** A back-off of the user's that throws or answers nonsense must not cost the job its retry. */
  #backoff(backoff: Backoff, attempt: number): number {
    const { random } = this.#options;
    try {
      const wait = backoff(attempt, random);
      if (wait >= 0 && Number.isFinite(wait)) return wait;
    } catch {
      // the default below
    }
    return unknownBackoff(attempt, random);
  }

  #unknown(job: ClaimedJob): Error {
    return new MillraceError('JOB_UNKNOWN', { name: job.name, known: [...this.#options.definitions.keys()] });
  }

  #describe(job: ClaimedJob, error: Error): AttemptError {
    const { code } = error as { code?: unknown };
    return {
      attempt: job.attempt,
      at: this.#options.clock.now(),
      message: error.message.slice(0, MAX_ERROR_TEXT),
      ...(typeof code === 'string' && { code }),
      ...(error.stack && { stack: error.stack.slice(0, MAX_ERROR_TEXT) }),
    };
  }
}
