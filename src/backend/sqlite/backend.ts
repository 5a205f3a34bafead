/**
 * Jobs in one file, durable: the default backend. This is the caller's side; the connection lives in `thread.ts`.
 *
 *   caller's thread                        thread
 *   add ─ pack ──── one buffer, moved ───▶ insert ┐
 *   claim ───────────────────────────────▶ update ├─ one COMMIT, synced
 *   settle ─ pack ───────────────────────▶ delete ┘
 *   ids, payload views ◀── one buffer, moved ── answers
 *
 * Loss table (what an acknowledged `add` or `settle` survives):
 *
 *                       this process killed   machine loses power
 *   synchronous: full   survives              survives, if the disk keeps what it has synced
 *   synchronous: normal survives              the last moments may be lost; the file stays sound
 *
 * Several processes may share the file on one machine. Not on a network file system: SQLite's log needs shared memory.
 *
 * Bounded by its callers: calls that were not answered yet wait in the port, whole. Whoever calls without waiting should
 * limit what it has under way, as the client's and the settler's batchers do (one batch each).
 */
import { Worker } from 'node:worker_threads';
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption, MillraceError, toError } from '../../errors.ts';
import type {
  AddGroup,
  AddResult,
  Backend,
  ClaimedJob,
  ClaimRequest,
  ClaimResult,
  HeartOptions,
  JobFilter,
  JobRecord,
  Outcome,
  QueueCounts,
  ServerInfo,
  ServerRecord,
  SettleResult,
} from '../backend.ts';
import { assertLimit } from '../check.ts';
import { Ids } from '../ids.ts';
import { Listeners } from '../listeners.ts';
import type { DatabaseOptions } from './database.ts';
import type { NumberedRecord } from './desk.ts';
import { fromWire } from './failure.ts';
import {
  type AddAnswer,
  type Answer,
  type ClaimAnswer,
  type FromThread,
  packAdd,
  packSettle,
  type Request,
  type Template,
  type ToThread,
  transfers,
  type WireFilter,
} from './wire.ts';

export interface SqliteOptions {
  /** Default: the system's. `startHeart` keeps to the system's in any case. */
  readonly clock?: Clock;
  /** `full`: a commit is on the disk when it is acknowledged. `normal`: faster alone, see the loss table. Default `full`. */
  readonly synchronous?: 'full' | 'normal';
  /** Longest wait for another process's transaction, ms; then BACKEND_UNAVAILABLE. Minimum 0. Default 5000. */
  readonly busyTimeout?: number;
  /**
   * Largest size of the file without its log, bytes; an `add` beyond it rejects with BACKEND_DISK_FULL, and succeeds
   * again when jobs have gone. Minimum 65536. Default: no bound but the disk's.
   */
  readonly maxBytes?: number;
}

interface Pending {
  resolve(value: never): void;
  reject(error: unknown): void;
}

export class SqliteBackend implements Backend {
  readonly name: string;
  readonly #database: DatabaseOptions;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Listeners();
  #worker: Worker | undefined;
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Set when the thread ended by itself. */
  #lost: MillraceError | undefined;
  #ids = new Ids('');
  #call = 0;
  #listening = false;
  #held = false;

  /** @param path the file; it and its folder are made when they are not there */
  constructor(path: string, options: SqliteOptions = {}) {
    const {
      clock = systemClock,
      synchronous = 'full',
      busyTimeout = 5000,
      maxBytes = Number.POSITIVE_INFINITY,
    } = options;
    assertOption('path', path, typeof path === 'string' && path.length > 0, 'a non-empty string');
    assertOption('synchronous', synchronous, ['full', 'normal'].includes(synchronous), '"full" or "normal"');
    assertOption('busyTimeout', busyTimeout, busyTimeout >= 0, 'a number of milliseconds from 0');
    assertOption('maxBytes', maxBytes, maxBytes >= 65_536, 'a number of bytes from 65536');
    this.name = `sqlite:${path}`;
    this.#database = { path, synchronous, busyTimeout, maxBytes };
    this.#clock = clock;
  }

  /**
   * Rejects with NOT_A_DATABASE, SCHEMA_TOO_NEW, BACKEND_READ_ONLY, BACKEND_DISK_FULL or BACKEND_UNAVAILABLE, and then
   * holds nothing; it may be tried again.
   */
  open(): Promise<void> {
    if (this.#closing) return Promise.reject(this.#closedError());
    this.#opening ??= this.#start().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  close(): Promise<void> {
    this.#listeners.clear();
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async add(groups: readonly AddGroup[]): Promise<readonly AddResult[]> {
    const answer = await this.#ask<AddAnswer>(packAdd(groups, this.#now()));
    return answer.map((each, i) => this.#toResult(each, groups[i]?.maxWaiting ?? 0));
  }

  async claim({ server, queues, limit }: ClaimRequest): Promise<ClaimResult> {
    assertLimit(limit);
    const answer = await this.#ask<ClaimAnswer>({ kind: 'claim', now: this.#now(), server, queues, limit });
    const jobs = this.#toClaimed(answer);
    return answer.nextAt === undefined ? { jobs } : { jobs, nextAt: answer.nextAt };
  }

  async settle(server: string, outcomes: readonly Outcome[]): Promise<readonly SettleResult[]> {
    const taken = await this.#ask<Uint8Array>(packSettle(server, outcomes, this.#ids, this.#now()));
    return Array.from(taken, (each) => (each === 1 ? 'taken' : 'stale'));
  }

  beat(server: ServerInfo): Promise<void> {
    return this.#ask({ kind: 'beat', now: this.#now(), server });
  }

  async startHeart(server: ServerInfo, options: HeartOptions): Promise<void> {
    const { every, stallTimeout, pulse } = options;
    assertOption('every', every, every >= 1, 'a number of milliseconds from 1');
    assertOption('stallTimeout', stallTimeout, stallTimeout > 0, 'a number of milliseconds above 0');
    assertOption('pulse', pulse, pulse.buffer instanceof SharedArrayBuffer, 'an Int32Array on a SharedArrayBuffer');
    await this.#ask({ kind: 'beat', now: Date.now(), server });
    this.#post({ kind: 'heart', server, options: { every, stallTimeout, pulse } });
  }

  leave(server: string): Promise<void> {
    return this.#ask({ kind: 'leave', server });
  }

  rescue(lease: number): Promise<number> {
    return this.#ask({ kind: 'rescue', now: this.#now(), lease });
  }

  wake(queues: readonly string[], listener: () => void): () => void {
    this.#assertOpen();
    const remove = this.#listeners.add(queues, listener);
    this.#listen();
    return () => {
      remove();
      this.#listen();
    };
  }

  counts(): Promise<readonly QueueCounts[]> {
    return this.#ask({ kind: 'counts' });
  }

  servers(): Promise<readonly ServerRecord[]> {
    return this.#ask({ kind: 'servers' });
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return (await this.list({ ids: [id] }, 1))[0];
  }

  async list(filter: JobFilter, limit = 100): Promise<readonly JobRecord[]> {
    assertLimit(limit);
    const found = await this.#ask<NumberedRecord[]>({ kind: 'list', filter: this.#toWire(filter), limit });
    return found.map(({ number, ...rest }) => ({ id: this.#ids.format(number), ...rest }));
  }

  retry(filter: JobFilter): Promise<number> {
    return this.#ask({ kind: 'retry', now: this.#now(), filter: this.#toWire(filter) });
  }

  cancel(filter: JobFilter, reason: string): Promise<number> {
    return this.#ask({ kind: 'cancel', now: this.#now(), filter: this.#toWire(filter), reason });
  }

  remove(filter: JobFilter): Promise<number> {
    return this.#ask({ kind: 'remove', filter: this.#toWire(filter) });
  }

  pause(queue: string): Promise<void> {
    return this.#ask({ kind: 'pause', queue, paused: true });
  }

  resume(queue: string): Promise<void> {
    return this.#ask({ kind: 'pause', queue, paused: false });
  }

  #now(): number {
    return Math.ceil(this.#clock.now());
  }

  #closedError(): MillraceError {
    return new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  #assertOpen(): void {
    if (!this.#closing && this.#lost) throw this.#lost;
    if (this.#closing || !this.#worker) throw this.#closedError();
  }

  #start(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The thread gets no flags of this process: a debugger or a preload is meant for the main thread.
      const execArgv = ['--disable-warning=ExperimentalWarning'];
      const worker = new Worker(new URL('./thread.ts', import.meta.url), {
        name: 'millrace-sqlite',
        workerData: this.#database,
        execArgv,
      });
      let cause: Error | undefined;
      worker.on('error', (error) => {
        cause = toError(error);
      });
      worker.on('message', (message: FromThread) => {
        switch (message.kind) {
          case 'answers':
            this.#receive(message.answers, message.woken);
            return;
          case 'failed':
            cause = fromWire(message.error);
            return;
          case 'open':
            this.#ids = new Ids(message.store);
            this.#worker = worker;
            worker.unref();
            resolve();
        }
      });
      worker.on('exit', () => {
        // Not when the reason comes: a second try must not meet the thread of the first.
        const error = cause instanceof MillraceError ? cause : this.#unavailable(cause);
        reject(error);
        if (this.#worker) this.#lose(error);
      });
    });
  }

  async #end(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    const worker = this.#worker;
    if (!worker) return;
    this.#hold();
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    // Comes after every call in the port, so those are answered first.
    worker.postMessage({ kind: 'close' } satisfies ToThread);
    await ended;
  }

  #unavailable(cause: Error | undefined): MillraceError {
    const reason = cause?.message ?? 'its thread has ended';
    return new MillraceError('BACKEND_UNAVAILABLE', { backend: this.name, reason }, cause && { cause });
  }

  /** The thread has ended: as asked, or because it died; then nobody else will answer what is pending. */
  #lose(error: MillraceError): void {
    this.#worker = undefined;
    this.#lost = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #ask<T>(request: Request): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#assertOpen();
      const call = this.#call++;
      this.#post({ ...request, call }); // throws for what cannot be copied to another thread
      this.#pending.set(call, { resolve, reject });
      this.#hold();
    });
  }

  #post(message: ToThread): void {
    this.#worker?.postMessage(message, transfers(message));
  }

  /** The thread watches the file for other processes while somebody here wants to know. */
  #listen(): void {
    const on = this.#listeners.size > 0;
    if (on === this.#listening || this.#closing) return;
    this.#listening = on;
    this.#post({ kind: 'listen', on });
    this.#hold();
  }

  /** A call under way, a listener or closing keeps the process alive; a backend that was only left open does not. */
  #hold(): void {
    const held = this.#pending.size > 0 || this.#listening || this.#closing !== undefined;
    if (held === this.#held) return;
    this.#held = held;
    if (held) this.#worker?.ref();
    else this.#worker?.unref();
  }

  #receive(answers: readonly Answer[], woken: readonly string[]): void {
    for (const answer of answers) {
      const pending = this.#pending.get(answer.call);
      this.#pending.delete(answer.call);
      if ('error' in answer) pending?.reject(fromWire(answer.error));
      else pending?.resolve(answer.value as never);
    }
    this.#hold();
    for (const queue of woken) this.#listeners.wake(queue);
  }

  #toResult(answer: AddAnswer[number], limit: number): AddResult {
    switch (answer[0]) {
      case 2:
        return { status: 'mismatch' };
      case 3:
        return { status: 'full', queue: answer[1], waiting: answer[2], limit };
      default: {
        const [repeated, first, count] = answer;
        const ids: string[] = [];
        for (let i = 0; i < count; i++) ids.push(this.#ids.format(first + i));
        return { status: repeated ? 'repeated' : 'stored', ids };
      }
    }
  }

  /** The payloads are views into the one block that came: a job that is kept keeps the block of its claim. */
  #toClaimed({ templates, times, jobs, bytes }: ClaimAnswer): ClaimedJob[] {
    const claimed: ClaimedJob[] = [];
    let end = 0;
    for (let i = 0; 5 * i < jobs.length; i++) {
      const [queue, name, priority, maxAttempts] = templates[jobs[5 * i] as number] as Template;
      const start = end;
      end += jobs[5 * i + 4] as number;
      claimed.push({
        id: this.#ids.format(times[3 * i] as number),
        queue,
        name,
        payload: bytes.subarray(start, end),
        priority,
        attempt: jobs[5 * i + 1] as number,
        maxAttempts,
        crashes: jobs[5 * i + 2] as number,
        claim: jobs[5 * i + 3] as number,
        addedAt: times[3 * i + 1] as number,
        runAt: times[3 * i + 2] as number,
      });
    }
    return claimed;
  }

  #toWire({ ids, ...rest }: JobFilter): WireFilter {
    return ids ? { ...rest, numbers: ids.map((id) => this.#ids.parse(id)) } : rest;
  }
}
