/**
 * Runs what the dispatcher hands to a worker, and turns however it ends into an outcome.
 *
 *   resolve definition ─▶ arm timeout ─▶ middleware ─▶ body ─▶ conclude ─▶ settle ─▶ the worker is free
 *                            │ timeout, or an order to cancel
 *                            └─▶ abort ─▶ grace ─▶ a thread is terminated; a function is settled and left behind
 *
 * Promises: `run` never rejects; each job it is given gets exactly one ending, whatever the body does (value, rejection,
 * synchronous throw, an undecodable payload, an unknown name, silence). What a body does after its job has an ending is
 * dropped. A body that was aborted because the server stops and then throws is handed back: a stop is not a failure of
 * the job.
 *
 * A job that turns out to be another server's has no ending here: it is not started, or its body is told to stop.
 *
 * A timeout concerns all jobs of a batch. An order to cancel one job of a batch aborts that job's own signal; if the batch
 * goes on for longer than the grace, the job is settled and the batch goes on without it.
 */
import type { ClaimedJob, Order } from '../backend/backend.ts';
import { MillraceError } from '../errors.ts';
import { decodePayload } from '../job/codec.ts';
import type { JobDefinition } from '../job/job.ts';
import { type Deadline, Deadlines } from '../pool/deadlines.ts';
import { performBatch } from './batch.ts';
import { type ConcludeOptions, cancelled, conclude, type Ended, givenUp } from './conclude.ts';
import type { LeftBehind } from './left-behind.ts';
import type { PerformMiddleware, Settled } from './middleware.ts';
import type { Reporter } from './reporter.ts';
import { Abortable, Attempt } from './run.ts';
import type { Threads } from './threads.ts';

/** What one worker is given at a time: one job, or the jobs of one batch. They share a name. */
export interface Work {
  readonly jobs: readonly ClaimedJob[];
}

export interface ExecutorOptions extends ConcludeOptions {
  readonly definitions: ReadonlyMap<string, JobDefinition>;
  readonly middleware: PerformMiddleware | undefined;
  readonly threads: Threads;
  readonly reporter: Reporter;
  readonly leftBehind: LeftBehind;
  readonly settle: (ended: readonly Ended[]) => void;
  /** Why a job that has not started should not, if so. */
  readonly orderFor: (job: ClaimedJob) => Order | undefined;
}

/** A work while its body runs. */
interface Running {
  readonly attempts: readonly Attempt[];
  /** The signal of a batch; of a single job its own. */
  readonly whole: Abortable;
  readonly definition: JobDefinition | undefined;
  readonly startedAt: number;
  /** Of its timeout and of its grace. */
  readonly deadlines: Deadline[];
  /** Its attempts are settled, and its worker is free, or will be. */
  left: boolean;
  readonly free: () => void;
}

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #running = new Set<Running>();
  /** Others have them, as was found out before they started. */
  readonly #lost = new WeakSet<ClaimedJob>();
  readonly #deadlines: Deadlines;

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(options.clock);
  }

  /** Jobs that run and have no outcome yet. */
  get running(): readonly ClaimedJob[] {
    const jobs: ClaimedJob[] = [];
    for (const { attempts } of this.#running) for (const { job, settled } of attempts) if (!settled) jobs.push(job);
    return jobs;
  }

  /** Resolves when the worker is free. */
  run({ jobs }: Work): Promise<void> {
    const wanted = jobs.filter((job) => !this.#isDropped(job));
    return wanted.length === 0 ? Promise.resolve() : new Promise((free) => this.#begin(wanted, free));
  }

  /** Tells a running job to stop, for good. False when it does not run here. */
  cancel(order: Order): boolean {
    const found = this.#find((job) => isFor(order, job));
    if (!found) return false;
    const { running, attempt } = found;
    if (attempt.settled) return true; // its outcome is on its way
    const isFirst = attempt.cancelled === undefined;
    attempt.cancelled = asError(order);
    if (isFirst) this.#stop(running, [attempt], attempt.cancelled);
    return true;
  }

  /** Others have the job: what it does from now on is done twice, and how it ends here is nobody's concern. */
  lose(job: ClaimedJob): void {
    const found = this.#find((held) => held === job);
    if (!found) {
      this.#lost.add(job);
      return;
    }
    const { running, attempt } = found;
    if (attempt.settled) return;
    attempt.settled = true;
    this.#options.observe?.({ type: 'stale', id: job.id });
    this.#stop(running, [attempt], new MillraceError('JOB_TAKEN_OVER', { id: job.id }));
  }

  /** Settles a job that has not started. */
  drop(job: ClaimedJob, order: Order): void {
    this.#options.settle([{ job, ending: cancelled(job, asError(order), this.#options) }]);
  }

  /** Tells every running body to stop. */
  abort(reason: Error): void {
    for (const { attempts, whole } of this.#running) {
      for (const attempt of attempts) attempt.abort(reason);
      whole.abort(reason);
    }
  }

  /** Hands back what runs on in spite of `abort`; its late outcome is dropped. */
  giveUp(): void {
    const given: Ended[] = [];
    for (const running of this.#running) {
      this.#disarm(running);
      for (const attempt of running.attempts) {
        if (attempt.settled) continue;
        attempt.settled = true;
        given.push({ job: attempt.job, ending: givenUp(attempt, this.#options) });
      }
    }
    this.#running.clear();
    this.#options.settle(given);
  }

  #find(isWanted: (job: ClaimedJob) => boolean): { readonly running: Running; readonly attempt: Attempt } | undefined {
    for (const running of this.#running) {
      const attempt = running.attempts.find(({ job }) => isWanted(job));
      if (attempt) return { running, attempt };
    }
    return undefined;
  }

  #isDropped(job: ClaimedJob): boolean {
    if (this.#lost.has(job)) {
      this.#options.observe?.({ type: 'stale', id: job.id });
      return true;
    }
    const order = this.#options.orderFor(job);
    if (order) this.drop(job, order);
    return order !== undefined;
  }

  #begin(jobs: readonly ClaimedJob[], free: () => void): void {
    const { definitions, clock, observe, reporter } = this.#options;
    const definition = definitions.get(jobs[0]?.name ?? '');
    const attempts = jobs.map((job) => new Attempt(job, reporter));
    const whole = definition?.handler.kind === 'batch' ? new Abortable() : (attempts[0] as Attempt);
    const startedAt = observe ? clock.monotonic() : 0;
    const running: Running = { attempts, whole, definition, startedAt, deadlines: [], left: false, free };
    this.#running.add(running);
    if (observe) for (const job of jobs) observe({ type: 'started', job });
    void this.#perform(running).then((ends) => this.#ended(running, ends));
  }

  /** Never rejects. */
  async #perform(running: Running): Promise<readonly Settled[]> {
    const { definition, attempts, whole } = running;
    const { middleware, definitions } = this.#options;
    const [attempt] = attempts as readonly [Attempt];
    try {
      if (!definition) {
        throw new MillraceError('JOB_UNKNOWN', { name: attempt.job.name, known: [...definitions.keys()] });
      }
      const { handler } = definition;
      // A body in a thread may have to wait for one: its time runs from when it says that it has begun.
      if (handler.kind !== 'thread') this.#limit(running);
      if (handler.kind === 'batch') {
        return await performBatch(attempts, definition.codec, handler, whole.signal, middleware);
      }
      const body = () => {
        const payload = decodePayload(attempt.job, definition.codec);
        if (handler.kind === 'single') return handler.run(payload, attempt.context);
        return this.#options.threads.run(attempt, payload, () => this.#limit(running));
      };
      return [{ value: await (middleware ? middleware(attempt.context, async () => body()) : body()) }];
    } catch (error) {
      return attempts.map(() => ({ error }));
    }
  }

  #ended(running: Running, ends: readonly Settled[]): void {
    this.#disarm(running);
    this.#running.delete(running);
    this.#conclude(running, ends);
    if (running.left) this.#options.leftBehind.ended(running);
    else running.free();
  }

  /** Starts the time of the body. */
  #limit(running: Running): void {
    const { attempts, definition } = running;
    if (definition?.timeout === undefined || !this.#running.has(running)) return;
    const { name, timeout } = definition;
    const over = () => this.#stop(running, attempts, new MillraceError('JOB_TIMEOUT', { name, timeout }));
    running.deadlines.push(this.#deadlines.add(timeout, over));
  }

  /** Tells the bodies of these attempts to stop, and gives them their grace. Threads are ended by those who run them. */
  #stop(running: Running, attempts: readonly Attempt[], reason: Error): void {
    const { definition, whole } = running;
    for (const attempt of attempts) attempt.abort(reason);
    if (running.attempts.every((attempt) => attempt.reason !== undefined)) whole.abort(reason);
    if (!definition || definition.handler.kind === 'thread' || definition.grace === Number.POSITIVE_INFINITY) return;
    running.deadlines.push(this.#deadlines.add(definition.grace, () => this.#overdue(running, attempts)));
  }

  /** The grace of these attempts is over. When no attempt of the body is left, the body itself is left behind. */
  #overdue(running: Running, attempts: readonly Attempt[]): void {
    const { observe, leftBehind } = this.#options;
    this.#conclude(
      running,
      running.attempts.map((attempt) => (attempts.includes(attempt) ? { error: attempt.reason } : undefined)),
    );
    if (running.left || running.attempts.some(({ settled }) => !settled)) return;
    this.#disarm(running);
    running.left = true;
    const held = !leftBehind.leave(running, running.free);
    for (const { job } of running.attempts) observe?.({ type: 'abandoned', job, held });
  }

  /** Settles the attempts that have an end and were not settled before. */
  #conclude(running: Running, ends: readonly (Settled | undefined)[]): void {
    const { clock, observe, settle } = this.#options;
    const took = observe ? clock.monotonic() - running.startedAt : 0;
    const ended: Ended[] = [];
    running.attempts.forEach((attempt, i) => {
      const end = ends[i];
      if (attempt.settled || !end) return;
      attempt.settled = true;
      ended.push({ job: attempt.job, ending: conclude(attempt, end, running.definition, took, this.#options) });
    });
    settle(ended);
  }

  #disarm({ deadlines }: Running): void {
    for (const deadline of deadlines) this.#deadlines.delete(deadline);
  }
}

/** Of this very run: the job may have run before. */
export function isFor(order: Order, job: ClaimedJob): boolean {
  return order.id === job.id && order.claim === job.claim;
}

function asError({ reason }: Order): MillraceError<'JOB_CANCELLED'> {
  return new MillraceError('JOB_CANCELLED', { reason });
}
