/**
 * The ingest program as one service: the flow of jobs with a front door at one end and a sink at the other.
 *
 *   FrontDoor ─▶ Client ─▶ Backend ─▶ JobServer ─▶ upload job ─▶ GatedSink
 *
 * Starts from the back to the front, so nothing is accepted that could not be carried off; stops from the front to the
 * back, so what was accepted is carried as far as the deadline allows. Either end can be left out: `--no-workers` makes a
 * door, `--no-door` makes workers.
 */
import type { Backend } from '../backend/backend.ts';
import { openBackend } from '../backend/open.ts';
import { Client } from '../client/client.ts';
import { type Clock, systemClock } from '../clock.ts';
import { isError, MillraceError } from '../errors.ts';
import { FrontDoor } from '../http/door.ts';
import { gauge, type Metric } from '../http/metrics.ts';
import { Service } from '../lifecycle.ts';
import { Aimd } from '../pool/limits/aimd.ts';
import type { ServerEvent } from '../server/events.ts';
import { JobServer } from '../server/server.ts';
import { GatedSink } from '../sink/gated.ts';
import { compileKeyTemplate } from '../sink/key.ts';
import { openSink } from '../sink/open.ts';
import { Census } from './census.ts';
import type { Totals } from './live.ts';
import type { Log } from './log.ts';
import type { ServeOptions } from './serve-options.ts';
import { s3Options } from './serve-options.ts';
import { PAYLOADS, uploadJob } from './upload.ts';

/** Many: the handlers are ours and a payload cannot be what kills the process, so a crash says nothing of what it held. */
const MAX_CRASHES = 1_000;

export class Ingest extends Service {
  readonly #options: ServeOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  /** How to release what was made, newest last. */
  readonly #releases: (() => Promise<void>)[] = [];
  #door: FrontDoor | undefined;
  #sink: GatedSink | undefined;
  #census: Census | undefined;
  #gateState = 'open';

  constructor(options: ServeOptions, log: Log, clock: Clock = systemClock) {
    super();
    this.#options = options;
    this.#log = log;
    this.#clock = clock;
  }

  /** Where the door listens; undefined without one. */
  get url(): string | undefined {
    return this.#door?.url;
  }

  totals(): Totals {
    const census = this.#census;
    return {
      accepted: this.#door?.stored ?? 0,
      waiting: census?.waiting ?? 0,
      uploaded: census?.completed ?? 0,
      failed: census?.discarded ?? 0,
    };
  }

  protected override async onStart(): Promise<void> {
    const clock = this.#clock;
    const backend = await openBackend(this.#options.backend, { clock });
    this.#releases.push(() => backend.close());

    this.#census = new Census({ backend, queue: PAYLOADS, clock, onCount: (error) => this.#tick(error) });
    await this.#begin(this.#census);
    if (!this.#options['no-workers']) await this.#startWorkers(backend);
    if (!this.#options['no-door']) await this.#startDoor(backend, this.#census);
  }

  /** Releases everything, whatever fails on the way, and then rejects with the first failure. */
  protected override async onStop(): Promise<void> {
    const failures: unknown[] = [];
    for (let release = this.#releases.pop(); release; release = this.#releases.pop()) {
      await release().catch((error: unknown) => failures.push(error));
    }
    this.#door = undefined;
    if (failures.length > 0) throw failures[0];
  }

  async #begin(service: Service): Promise<void> {
    this.#releases.push(() => service.stop());
    await service.start();
  }

  async #startWorkers(backend: Backend): Promise<void> {
    const { sink: url, batch, compress: compression, key } = this.#options;
    const workers = this.#options['max-workers'];
    const keyOf = compileKeyTemplate(key);
    const clock = this.#clock;
    const opened = await openSink(url, { s3: s3Options(this.#options, clock) });
    const sink = new GatedSink(opened, { clock, limit: new Aimd({ clock, max: workers }) });
    this.#sink = sink;
    this.#releases.push(() => sink.close());

    const put = sink.put.bind(sink);
    const queue = (await backend.counts()).find((each) => each.queue === PAYLOADS);
    const isTold = queue?.settings.maxCrashes === MAX_CRASHES; // a start writes nothing needlessly
    if (!isTold) await backend.configure(PAYLOADS, { maxCrashes: MAX_CRASHES });

    const upload = uploadJob({ put, keyOf, compression, batch, batchWait: this.#options['batch-wait'] });
    const server = new JobServer({
      backend,
      jobs: [upload],
      workers,
      stopDeadline: this.#options['stop-deadline'],
      observe: (event) => this.#observe(event),
      clock: this.#clockOf(backend),
    });
    await this.#begin(server);
  }

  async #startDoor(backend: Backend, census: Census): Promise<void> {
    const maxQueue = this.#options['max-queue'];
    const client = new Client({ backend, clock: this.#clockOf(backend) });
    this.#releases.push(() => client.close());
    this.#door = new FrontDoor({
      add: (group) => client.add(group),
      job: PAYLOADS,
      queue: PAYLOADS,
      host: this.#options.host,
      port: this.#options.port,
      tokens: this.#options.token,
      insecure: this.#options.insecure,
      maxQueue,
      maxLength: this.#options['max-length'],
      ...(this.#options.rate && { rate: this.#options.rate }),
      readiness: async () => {
        await census.count();
        const { waiting } = census;
        if (waiting >= maxQueue) throw new MillraceError('QUEUE_FULL', { queue: PAYLOADS, waiting, limit: maxQueue });
      },
      waiting: () => census.waiting,
      drainRate: () => census.drainRate,
      metrics: () => this.#metrics(census),
      log: this.#log,
      clock: this.#clock,
    });
    await this.#begin(this.#door);
  }

  /** Jobs are due by the clock of their backend; all the rest goes by ours. */
  #clockOf(backend: Backend): Clock {
    return backend.clock ?? this.#clock;
  }

  *#metrics(census: Census): Iterable<Metric> {
    yield* census.metrics();
    const stats = this.#sink?.stats();
    if (!stats) return;
    yield gauge('millrace_sink_limit', 'Puts that may be under way at once.', stats.limit);
    yield gauge('millrace_sink_in_flight', 'Puts under way.', stats.inFlight);
    yield gauge('millrace_sink_away', '1 while the store does not take objects.', Number(stats.state === 'away'));
    const puts = (['stored', 'refused', 'overloads', 'failures'] as const).map((result) => ({
      value: stats[result],
      labels: { result },
    }));
    yield { name: 'millrace_sink_puts_total', help: 'Puts that ended, by result.', type: 'counter', samples: puts };
    const bytes = [{ value: stats.bytes }];
    yield { name: 'millrace_sink_bytes_total', help: 'Bytes stored.', type: 'counter', samples: bytes };
  }

  /** Once a second: says when the store went away or came back, and when the backend does not answer. */
  #tick(error: unknown): void {
    if (error) this.#log('warn', 'the backend does not answer', { error });
    const stats = this.#sink?.stats();
    if (!stats || stats.state === this.#gateState) return;
    const gone = stats.state === 'away';
    if (gone) this.#log('warn', 'the store is away; payloads wait', { error: stats.lastError?.message });
    else if (this.#gateState === 'away') this.#log('info', 'the store is back');
    this.#gateState = stats.state;
  }

  #observe(event: ServerEvent): void {
    switch (event.type) {
      case 'failed': {
        const { job, error, retryAt } = event;
        const level = retryAt === undefined ? 'error' : 'warn';
        const what = retryAt === undefined ? 'a payload was discarded' : 'an upload failed and is tried again';
        this.#log(level, what, { id: job.id, attempt: job.attempt, error });
        return;
      }
      case 'refused': {
        const { job, error, kept } = event;
        const what = kept
          ? 'a payload was discarded'
          : 'an upload cannot end; it is repeated when this server has stopped';
        this.#log('error', what, { id: job.id, error });
        return;
      }
      case 'rescued':
        this.#log('info', 'took over the payloads of a server that died', { count: event.count });
        return;
      case 'backend-error':
        if (!isError(event.error, 'BACKEND_CLOSED')) {
          this.#log('warn', 'the backend does not answer', { doing: event.doing, error: event.error });
        }
        return;
      default:
    }
  }
}
