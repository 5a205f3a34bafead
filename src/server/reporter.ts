/**
 * What running jobs say about themselves, on its way to the backend: progress, of which the latest counts, and log lines.
 *
 *   job ─▶ waiting, per job: one progress, at most `maxLogLines` lines ─▶ one `report` for all, every 100 ms at most
 *
 * Promises: a job's reports are stored before its outcome is (the Settler flushes first). A backend that refuses them costs
 * the reports and never the job. One that finds them stale says that others have the job; `ask` is a report that says nothing
 * and is made to hear just that. Costs nothing for jobs that do not report; one timer while
 * something waits.
 */
import {
  type Backend,
  type ClaimedJob,
  type LogLine,
  maxLogLine,
  maxLogLines,
  maxProgress,
  type Report,
} from '../backend/backend.ts';
import type { Clock, Timer } from '../clock.ts';
import { assertOption, isError, toError } from '../errors.ts';
import type { Observer } from './events.ts';

export interface ReporterOptions {
  readonly backend: Backend;
  readonly server: string;
  readonly clock: Clock;
  readonly observe: Observer | undefined;
  /** Called with a job that this server does not hold any more. */
  readonly onStale: (job: ClaimedJob) => void;
}

interface Waiting {
  progress: string | undefined;
  log: LogLine[];
}

/** ms that reports are gathered. */
const EVERY = 100;
/** ms until the next try when the backend was away. */
const RETRY = 1_000;

export class Reporter {
  readonly #options: ReporterOptions;
  #waiting = new Map<ClaimedJob, Waiting>();
  #timer: Timer | undefined;
  #sending = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Something waits or is on its way. */
  get busy(): boolean {
    return this.#waiting.size > 0 || this.#sending > 0;
  }

  /** @param text JSON, see `progressText` */
  progress(job: ClaimedJob, text: string): void {
    this.#of(job).progress = text;
  }

  log(job: ClaimedJob, text: string): void {
    const { log } = this.#of(job);
    log.push({ at: this.#options.clock.now(), text: text.slice(0, maxLogLine) });
    if (log.length >= 2 * maxLogLines) log.splice(0, log.length - maxLogLines);
  }

  /** Finds out whether these jobs are still held here. */
  ask(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) this.#of(job);
  }

  /** Resolves when everything that was reported before has been sent. Rejects with BACKEND_UNAVAILABLE: it waits on. */
  flush(): Promise<void> {
    this.#sending++;
    this.#last = this.#last.then(
      () => this.#send(),
      () => this.#send(),
    );
    return this.#last;
  }

  /** Drops what waits. */
  stop(): void {
    this.#waiting.clear();
    this.#disarm();
  }

  #of(job: ClaimedJob): Waiting {
    let waiting = this.#waiting.get(job);
    if (!waiting) {
      waiting = { progress: undefined, log: [] };
      this.#waiting.set(job, waiting);
      this.#arm(EVERY);
    }
    return waiting;
  }

  async #send(): Promise<void> {
    const { backend, server, observe, onStale } = this.#options;
    this.#disarm();
    const sent = this.#waiting;
    this.#waiting = new Map();
    try {
      if (sent.size === 0) return;
      const results = await backend.report(server, [...sent].map(toReport));
      [...sent.keys()].forEach((job, i) => {
        if (results[i] === 'stale') onStale(job);
      });
    } catch (error) {
      const isAway = isError(error, 'BACKEND_UNAVAILABLE');
      observe?.({ type: 'backend-error', error: toError(error), doing: 'report', retryIn: isAway ? RETRY : 0 });
      if (!isAway) return;
      this.#putBack(sent);
      throw error;
    } finally {
      this.#sending--;
    }
  }

  /** Before what was reported meanwhile. */
  #putBack(sent: Map<ClaimedJob, Waiting>): void {
    for (const [job, { progress, log }] of sent) {
      const since = this.#waiting.get(job);
      const lines = since ? [...log, ...since.log] : log;
      this.#waiting.set(job, { progress: since?.progress ?? progress, log: lines.slice(-maxLogLines) });
    }
    if (this.#waiting.size > 0) this.#arm(RETRY);
  }

  #arm(ms: number): void {
    this.#timer ??= this.#options.clock.timer(ms, () => {
      this.#timer = undefined;
      this.flush().catch(() => undefined); // it waits on, and the observer knows
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/** What `job.progress` was given, as JSON. Throws OPTION_INVALID. */
export function progressText(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // the sentence below
  }
  const fits = text !== undefined && Buffer.byteLength(text) <= maxProgress;
  assertOption('progress', value, fits, `a JSON value of at most ${maxProgress} bytes`);
  return text as string;
}

function toReport([job, { progress, log }]: [ClaimedJob, Waiting]): Report {
  return {
    id: job.id,
    claim: job.claim,
    ...(progress !== undefined && { progress }),
    ...(log.length > 0 && { log: log.slice(-maxLogLines) }),
  };
}
