/**
 * One job while it runs: what its body sees (`JobContext`), and the switch that aborts it.
 *
 * The AbortController is made only when somebody asks for the signal or the job has a timeout: most bodies never do.
 */
import type { ClaimedJob } from '../backend/backend.ts';
import type { Clock, Timer } from '../clock.ts';
import { decode } from '../job/codec.ts';
import type { BatchItem, JobContext } from '../job/job.ts';

/** Something that can be aborted once, with a reason. */
export class Abortable {
  #controller: AbortController | undefined;
  #reason: unknown;
  #timer: Timer | undefined;

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

  /** Aborts `ms` from now unless `disarm` comes first. */
  arm(clock: Clock, ms: number, reason: () => unknown): void {
    this.#timer = clock.timer(ms, () => this.abort(reason()));
  }

  disarm(): void {
    this.#timer?.cancel();
  }
}

export class Context implements JobContext {
  readonly #job: ClaimedJob;
  readonly #abortable: Abortable;

  constructor(job: ClaimedJob, abortable: Abortable) {
    this.#job = job;
    this.#abortable = abortable;
  }

  get id(): string {
    return this.#job.id;
  }
  get name(): string {
    return this.#job.name;
  }
  get queue(): string {
    return this.#job.queue;
  }
  get attempt(): number {
    return this.#job.attempt;
  }
  get maxAttempts(): number {
    return this.#job.maxAttempts;
  }
  get crashes(): number {
    return this.#job.crashes;
  }
  get addedAt(): number {
    return this.#job.addedAt;
  }
  get bytes(): Uint8Array {
    return this.#job.payload;
  }
  get signal(): AbortSignal {
    return this.#abortable.signal;
  }
}

/** One job of a batch, whose payload is decoded when it is first read. */
export class Item implements BatchItem<unknown> {
  readonly job: JobContext;
  #decoded = false;
  #payload: unknown;

  constructor(job: JobContext) {
    this.job = job;
  }

  get payload(): unknown {
    if (!this.#decoded) {
      this.#payload = decode(this.job.bytes);
      this.#decoded = true;
    }
    return this.#payload;
  }
}
