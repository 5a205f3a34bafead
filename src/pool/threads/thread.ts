/**
 * The main thread's side of one thread: its life, and the posts to and from it.
 *
 *   starting ──ready──▶ ready ──────▶ leaving ──end──▶ ending ──exit──▶ gone
 *      └── failed, exit ──▶ …           exit by itself, from any state ──▲
 *
 *   starting   imports the module; takes no jobs
 *   ready      takes jobs
 *   leaving    takes no more, finishes what it has started
 *   ending     is being terminated
 *   gone       has ended. What it had not started goes back to the crew, what it had started has failed
 *
 * Jobs given in one tick leave as one message. A thread object is never used again, so a late message of a dead thread
 * cannot be taken for one of its successor. It keeps the process alive while it starts, holds jobs, or ends.
 */
import type { Readable, Writable } from 'node:stream';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { MillraceError, toError } from '../../errors.ts';
import type { CrewJob } from './job.ts';
import type { Settings } from './options.ts';
import { type Placed, Places } from './places.ts';
import { Slots } from './slots.ts';
import { type Burst, type FromThread, flatCopy, type Init, whyNotCloneable } from './wire.ts';
import { packError, unpackError } from './wire-error.ts';

/** Messages of a thread that are taken in one turn of the event loop. */
const MOST_MESSAGES = 64;

export type ThreadState = 'starting' | 'ready' | 'leaving' | 'ending' | 'gone';

/** What is left when a thread has gone. */
export interface Remains {
  /** Never started, oldest first. */
  readonly unstarted: readonly Placed[];
  /** Started, oldest first; they fail with `error`, or with the reason of their abort. */
  readonly started: readonly { readonly job: CrewJob; readonly error: unknown }[];
  /** Whether the crew had it ended. If not, and nothing was started, the blame may be with a job that was arriving. */
  readonly wanted: boolean;
  readonly error: MillraceError<'THREAD_DIED'>;
}

export interface ThreadHost {
  ready(thread: Thread): void;
  /** It will never be ready; the host ends it, if it has not ended. */
  startFailed(thread: Thread, error: Error): void;
  /** Before the results of a burst are given to their jobs, and after. */
  burstBegins(): void;
  burstEnds(thread: Thread): void;
  gone(thread: Thread, remains: Remains): void;
}

export interface ThreadInit {
  readonly module: URL;
  readonly settings: Settings;
  /** Slots of its table. */
  readonly size: number;
  /** Added to a slot to make the `seat` of a job. */
  readonly base: number;
}

export class Thread {
  state: ThreadState = 'starting';
  /** Jobs it may hold, if that is less than the others may: 0 for one that is to be left alone. */
  most = Number.POSITIVE_INFINITY;
  /** Jobs whose results have come. */
  ended = 0;
  /** When it last said something or got its first job, or since when it has none. `clock.monotonic()`, the crew's. */
  seenAt = 0;
  readonly places: Places;
  readonly #host: ThreadHost;
  readonly #slots: Slots;
  readonly #port: MessagePort;
  readonly #worker: Worker;
  /** Of the bodies that were told to stop. */
  readonly #reasons = new Map<number, unknown>();
  #outbox: Burst = [];
  readonly #objects = new Set<unknown>();
  #runTime = 0;
  #bodies = 0;
  #cause: Error | undefined;
  readonly #exit = Promise.withResolvers<void>();

  /** Throws what `new Worker` throws. */
  constructor(host: ThreadHost, { module, settings, size, base }: ThreadInit) {
    this.#host = host;
    this.#slots = new Slots(size);
    this.places = new Places(this.#slots, base);
    this.#worker = spawn(settings);
    this.#worker.on('error', (error) => {
      this.#cause = toError(error);
    });
    this.#worker.once('exit', (code) => this.#gone(code));
    this.#port = this.#open(module, settings);
  }

  /** Jobs it has, started or not, less those that were taken back. */
  get held(): number {
    return this.places.held;
  }

  /** What it last said about its heap, bytes. */
  get heap(): number {
    return this.#slots.heap;
  }

  /** Bodies that have ended since the last call, and their run time in ms. */
  takePace(): { readonly runTime: number; readonly bodies: number } {
    const { runTime, bodies } = this.#slots;
    const pace = { runTime: runTime - this.#runTime, bodies: bodies - this.#bodies };
    this.#runTime = runTime;
    this.#bodies = bodies;
    return pace;
  }

  /** Puts a job into a free slot. It leaves with the next `flush`. */
  give(job: CrewJob, order: number): void {
    if (this.places.held === 0) this.#worker.ref();
    const slot = this.places.take(job, order);
    const { transfer } = job;
    let { payload } = job;
    if (transfer !== undefined) {
      // By itself: whether its buffers can move must not depend on what travels with it.
      this.flush();
      this.#outbox.push(slot, payload);
      this.flush();
      return;
    }
    if (typeof payload === 'object' && payload !== null) {
      // Two payloads that are one object must arrive as two, as if each had gone by itself.
      if (this.#objects.has(payload)) {
        const copy = flatCopy(payload);
        if (copy) payload = copy;
        else this.flush();
      }
      this.#objects.add(payload);
    }
    this.#outbox.push(slot, payload);
  }

  /** Posts what was given. Jobs that cannot be cloned fail, later: never inside this call. */
  flush(): void {
    const outbox = this.#outbox;
    if (outbox.length === 0) return;
    this.#outbox = [];
    this.#objects.clear();
    const transfer = outbox.length === 2 ? this.places.job(outbox[0] as number)?.transfer : undefined;
    try {
      this.#port.postMessage(outbox, transfer);
    } catch {
      // One of them cannot be cloned. Nothing has left: each goes by itself, and fails by itself.
      const failures: [CrewJob, Error][] = [];
      for (let i = 0; i < outbox.length; i += 2) this.#post(outbox[i] as number, outbox[i + 1], failures);
      if (failures.length > 0) queueMicrotask(() => this.#fail(failures));
    }
  }

  /** Takes the job in the slot back. False when its body has begun. */
  revoke(slot: number): boolean {
    const isBack = this.places.revoke(slot);
    if (isBack) this.#rest();
    return isBack;
  }

  /** Takes back up to `most` jobs that have not begun, oldest first; not those whose buffers have moved. */
  takeBack(most?: number): Placed[] {
    const placed = this.places.takeBack(most);
    this.#rest();
    return placed;
  }

  /** Tells the body in the slot to stop. False when it has ended, or was told before. */
  stop(slot: number, reason: unknown): boolean {
    if (!this.places.stop(slot)) return false;
    this.#reasons.set(slot, reason);
    this.#port.postMessage({ kind: 'abort', slot, reason: packError(reason) });
    return true;
  }

  /** Terminates it. Resolves when it is gone. */
  end(): Promise<void> {
    if (this.state !== 'ending' && this.state !== 'gone') {
      this.state = 'ending';
      this.#worker.ref();
      void this.#worker.terminate();
    }
    return this.#exit.promise;
  }

  /** It does not end: it counts as gone, and nothing more is expected of it. */
  giveUp(): void {
    if (this.state === 'gone') return;
    this.#worker.unref();
    this.#gone(-1);
  }

  #open(module: URL, { concurrency, maxHeap }: Settings): MessagePort {
    const { port1, port2 } = new MessageChannel();
    const { size, shared } = this.#slots;
    const heap = maxHeap !== Number.POSITIVE_INFINITY;
    const init: Init = { port: port2, module: module.href, shared, size, concurrency, heap };
    this.#worker.postMessage(init, [port2]);
    port1.on('message', (message: FromThread) => {
      // Whatever has arrived since belongs to the same burst: one refill answers all of it.
      this.#burst(() => {
        this.#take(message);
        this.#drain(MOST_MESSAGES);
      });
    });
    port1.on('messageerror', (error) => {
      this.#cause ??= toError(error);
      void this.#worker.terminate();
    });
    port1.unref(); // the worker keeps the process alive when that is wanted
    return port1;
  }

  #burst(act: () => void): void {
    this.#host.burstBegins();
    act();
    this.#host.burstEnds(this);
  }

  #drain(most: number): void {
    for (let i = 0; i < most && this.state !== 'gone'; i++) {
      const mail = receiveMessageOnPort(this.#port);
      if (!mail) return;
      this.#take(mail.message);
    }
  }

  #take(message: FromThread): void {
    if (this.state === 'gone') return;
    if (Array.isArray(message)) this.#settle(message);
    else if (message.kind === 'sent') this.places.job(message.slot)?.message(message.value);
    else if (this.state !== 'starting') return;
    else if (message.kind === 'ready') {
      if (this.most === 0) return; // it has ended since
      this.state = 'ready';
      this.#rest();
      this.#host.ready(this);
    } else this.#host.startFailed(this, toError(unpackError(message.error)));
  }

  #settle(results: Burst): void {
    for (let i = 0; i < results.length; i += 2) {
      const key = results[i] as number;
      const slot = key < 0 ? ~key : key;
      const reason = this.#reasons.size > 0 ? this.#takeReason(slot) : undefined;
      const job = this.places.free(slot);
      this.ended++;
      if (key < 0) job.failed(unpackError(results[i + 1] as never, reason));
      else job.ended(results[i + 1]);
    }
    this.#rest();
  }

  #post(slot: number, payload: unknown, failures: [CrewJob, Error][]): void {
    const job = this.places.job(slot);
    if (!job) {
      this.places.forget(slot); // taken back meanwhile
      return;
    }
    try {
      this.#port.postMessage([slot, payload], job.transfer);
    } catch (error) {
      const reason = whyNotCloneable(payload, error);
      failures.push([job, new MillraceError('TASK_NOT_CLONEABLE', { what: 'payload', reason }, { cause: error })]);
      this.places.free(slot);
    }
  }

  #fail(failures: readonly [CrewJob, Error][]): void {
    this.#rest();
    this.#burst(() => {
      for (const [job, error] of failures) job.failed(error);
    });
  }

  /** Without jobs it does not keep the process alive. */
  #rest(): void {
    if (this.places.held === 0 && !this.places.isPassing && (this.state === 'ready' || this.state === 'leaving'))
      this.#worker.unref();
  }

  #takeReason(slot: number): unknown {
    const reason = this.#reasons.get(slot);
    this.#reasons.delete(slot);
    return reason;
  }

  /** DANGER: every job it holds must leave here: with its result, back to the crew, or failed. */
  #gone(exitCode: number): void {
    if (this.state === 'gone') return;
    const was = this.state;
    const error = this.#death(exitCode);
    if (was !== 'starting') this.state = 'ending';
    this.most = 0;
    // What it posted before it ended. Nothing, if it has not ended: its bodies may go on.
    if (exitCode >= 0) this.#burst(() => this.#drain(Number.POSITIVE_INFINITY));
    // It may just have told why; if it has not, this is all there is to know.
    if (this.state === 'starting') this.#host.startFailed(this, this.#cause ?? new Error(error.fields.reason));
    this.state = 'gone';
    this.#port.close();
    const unstarted = this.places.takeBack();
    const started = this.places.takeAll().map(({ job, slot }) => ({
      job,
      error: this.#reasons.has(slot) ? this.#takeReason(slot) : this.places.hasEnded(slot) ? lost(error) : error,
    }));
    this.#exit.resolve();
    this.#host.gone(this, { unstarted, started, wanted: was === 'ending', error });
  }

  #death(exitCode: number): MillraceError<'THREAD_DIED'> {
    const cause = this.#cause;
    const itself =
      exitCode < 0
        ? 'it did not end when it was terminated'
        : this.state === 'ending'
          ? 'it was terminated, because another body in it did not stop when it was aborted'
          : `it ended by itself with exit code ${exitCode}`;
    return new MillraceError('THREAD_DIED', { exitCode, reason: cause?.message ?? itself }, cause && { cause });
  }
}

function lost({ fields, cause }: MillraceError<'THREAD_DIED'>): MillraceError<'THREAD_DIED'> {
  const reason = `its body had ended, but its result was lost with the thread: ${fields.reason}`;
  return new MillraceError('THREAD_DIED', { ...fields, reason }, { cause });
}

function spawn({ resourceLimits, workerData, env, argv, execArgv, stdout, stderr }: Settings): Worker {
  const worker = new Worker(new URL('./entry.ts', import.meta.url), {
    workerData,
    stdout: stdout !== undefined,
    stderr: stderr !== undefined,
    ...(resourceLimits && { resourceLimits }),
    ...(env !== undefined && { env }),
    ...(argv && { argv: [...argv] }),
    ...(execArgv && { execArgv: [...execArgv] }),
  });
  if (stdout) copy(worker.stdout, stdout);
  if (stderr) copy(worker.stderr, stderr);
  return worker;
}

/** As `pipe` does, but without its five listeners per thread on a stream that all threads share. */
function copy(from: Readable, to: Writable): void {
  from.on('data', (chunk) => {
    if (to.write(chunk)) return;
    from.pause();
    to.once('drain', () => from.resume());
  });
}
