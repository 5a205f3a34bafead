/**
 * One job while it runs: what its body sees (`JobContext`), and the switch that aborts it.
 *
 * The AbortController is made only when somebody asks for the signal: most bodies never do.
 */
import type { ClaimedJob } from '../backend/backend.ts';
import type { MillraceError } from '../errors.ts';
import { type Codec, decodePayload } from '../job/codec.ts';
import type { BatchItem, JobContext } from '../job/job.ts';
import { progressText, type Reporter } from './reporter.ts';

/** Something that can be aborted once, with a reason. */
export class Abortable {
  #controller: AbortController | undefined;
  #reason: unknown;

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why it was aborted; undefined while it was not. */
  get reason(): unknown {
    return this.#reason;
  }

  abort(reason: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** One run of one job, from its start until it has an outcome. */
export class Attempt extends Abortable {
  readonly job: ClaimedJob;
  /** Made for bodies that get one. */
  readonly context: JobContext;
  /** Somebody wants it ended: the reason of the latest order. */
  cancelled: MillraceError<'JOB_CANCELLED'> | undefined;
  /** It has its outcome, whatever its body still does. */
  settled = false;

  constructor(job: ClaimedJob, reporter: Reporter) {
    super();
    this.job = job;
    this.context = new Context(this, reporter);
  }
}

const NO_TAGS: readonly string[] = Object.freeze([]);
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

class Context implements JobContext {
  readonly #attempt: Attempt;
  readonly #reporter: Reporter;

  constructor(attempt: Attempt, reporter: Reporter) {
    this.#attempt = attempt;
    this.#reporter = reporter;
  }

  get id(): string {
    return this.#attempt.job.id;
  }
  get name(): string {
    return this.#attempt.job.name;
  }
  get queue(): string {
    return this.#attempt.job.queue;
  }
  get attempt(): number {
    return this.#attempt.job.attempt;
  }
  get maxAttempts(): number {
    return this.#attempt.job.maxAttempts;
  }
  get crashes(): number {
    return this.#attempt.job.crashes;
  }
  get addedAt(): number {
    return this.#attempt.job.addedAt;
  }
  get key(): string | undefined {
    return this.#attempt.job.key;
  }
  get tags(): readonly string[] {
    return this.#attempt.job.tags ?? NO_TAGS;
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#attempt.job.headers ?? NO_HEADERS;
  }
  get bytes(): Uint8Array {
    return this.#attempt.job.payload;
  }
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  progress(value: unknown): void {
    const text = progressText(value);
    if (!this.#attempt.settled) this.#reporter.progress(this.#attempt.job, text);
  }

  log(text: string): void {
    if (!this.#attempt.settled) this.#reporter.log(this.#attempt.job, String(text));
  }
}

/** One job of a batch, whose payload is decoded when it is first read. */
export class Item implements BatchItem<unknown> {
  readonly job: JobContext;
  readonly #attempt: Attempt;
  readonly #codec: Codec;
  #decoded = false;
  #payload: unknown;

  constructor(attempt: Attempt, codec: Codec) {
    this.job = attempt.context;
    this.#attempt = attempt;
    this.#codec = codec;
  }

  get payload(): unknown {
    if (!this.#decoded) {
      this.#payload = decodePayload(this.#attempt.job, this.#codec);
      this.#decoded = true;
    }
    return this.#payload;
  }
}
