/**
 * What the backend holds, asked once a second: for the door (how full is the queue, how fast does it drain), the live
 * line and the metrics. Between two counts everybody reads the last one, so asking costs nothing on the path of a request.
 */
import type { Backend } from '../backend/backend.ts';
import type { QueueCounts } from '../backend/records.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Metric } from '../http/metrics.ts';
import { Service } from '../lifecycle.ts';

export interface CensusOptions {
  readonly backend: Backend;
  readonly queue: string;
  readonly clock: Clock;
  /** Called after each count, or with why it failed. */
  readonly onCount?: (error?: unknown) => void;
}

/** ms between two counts. */
const EVERY = 1_000;
/** Weight of the newest second in the drain rate: a few seconds are smoothed. */
const ALPHA = 0.3;

const states = ['available', 'scheduled', 'retryable', 'running', 'discarded', 'cancelled', 'quarantined'] as const;

export class Census extends Service {
  readonly #options: CensusOptions;
  #queues: readonly QueueCounts[] = [];
  #last: { completed: number; at: number } | undefined;
  #drainRate: number | undefined;
  #timer: Timer | undefined;

  constructor(options: CensusOptions) {
    super();
    this.#options = options;
  }

  /** Jobs of the queue that wait for a worker, as last counted. */
  get waiting(): number {
    const own = this.#own;
    return own ? own.available + own.scheduled + own.retryable : 0;
  }

  /** Jobs of the queue that ended well, over all processes. */
  get completed(): number {
    return this.#own?.completed ?? 0;
  }

  get discarded(): number {
    return this.#own?.discarded ?? 0;
  }

  /** Jobs per second that leave the queue; undefined until two counts were made. */
  get drainRate(): number | undefined {
    return this.#drainRate;
  }

  /** Asks now, and rejects when the backend does not answer. */
  async count(): Promise<void> {
    const { backend, clock } = this.#options;
    this.#queues = await backend.counts();
    const now = { completed: this.completed, at: clock.monotonic() };
    const seconds = this.#last ? (now.at - this.#last.at) / 1000 : 0;
    if (this.#last && seconds > 0.5) {
      const rate = (now.completed - this.#last.completed) / seconds;
      this.#drainRate = this.#drainRate === undefined ? rate : this.#drainRate + ALPHA * (rate - this.#drainRate);
    }
    if (!this.#last || seconds > 0.5) this.#last = now;
  }

  *metrics(): Iterable<Metric> {
    const samples = this.#queues.flatMap((queue) =>
      states.map((state) => ({ value: queue[state], labels: { queue: queue.queue, state } })),
    );
    const done = this.#queues.map(({ queue, completed }) => ({ value: completed, labels: { queue } }));
    yield { name: 'millrace_jobs', help: 'Jobs by queue and state.', type: 'gauge', samples };
    yield { name: 'millrace_jobs_completed_total', help: 'Jobs that ended well.', type: 'counter', samples: done };
  }

  protected override async onStart(): Promise<void> {
    await this.count();
    this.#next();
  }

  protected override onStop(): void {
    this.#timer?.cancel();
  }

  get #own(): QueueCounts | undefined {
    return this.#queues.find(({ queue }) => queue === this.#options.queue);
  }

  #next(): void {
    this.#timer = this.#options.clock.timer(EVERY, async () => {
      const error = await this.count().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (this.state !== 'running') return;
      this.#options.onCount?.(error);
      this.#next();
    });
  }
}
