/**
 * The caller's end of the thread: starts it, asks it, hears from it, and knows when it may keep the process alive.
 *
 * Every call settles: answered, or rejected when the thread has ended, for whatever reason.
 */
import { Worker } from 'node:worker_threads';
import { MillraceError, toError } from '../../errors.ts';
import type { DatabaseOptions } from './database.ts';
import { fromWire } from './failure.ts';
import { type FromThread, type Heard, type Request, type ToThread, transfers } from './wire.ts';

interface Pending {
  resolve(value: never): void;
  reject(error: unknown): void;
}

export class Port {
  readonly #name: string;
  readonly #database: DatabaseOptions;
  readonly #heard: (heard: Heard) => void;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #opening: Promise<string> | undefined;
  #closing: Promise<void> | undefined;
  /** Set when the thread ended by itself. */
  #lost: MillraceError | undefined;
  #call = 0;
  #listening = false;
  #held = false;

  /** @param heard is called with what this process and others did */
  constructor(name: string, database: DatabaseOptions, heard: (heard: Heard) => void) {
    this.#name = name;
    this.#database = database;
    this.#heard = heard;
  }

  /** Resolves to the id of the store. After a failure it may be tried again. */
  open(): Promise<string> {
    if (this.#closing) return Promise.reject(this.#closedError());
    this.#opening ??= this.#start().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Throws BACKEND_CLOSED, or why the thread is gone. */
  assertOpen(): void {
    if (!this.#closing && this.#lost) throw this.#lost;
    if (this.#closing || !this.#worker) throw this.#closedError();
  }

  ask<T>(request: Request): Promise<T> {
    return new Promise((resolve, reject) => {
      this.assertOpen();
      const call = this.#call++;
      this.post({ ...request, call }); // throws for what cannot be copied to another thread
      this.#pending.set(call, { resolve, reject });
      this.#hold();
    });
  }

  post(message: ToThread): void {
    this.#worker?.postMessage(message, transfers(message));
  }

  /** The thread watches the file for other processes while somebody here wants to know. */
  listen(on: boolean): void {
    if (on === this.#listening || this.#closing) return;
    this.#listening = on;
    this.post({ kind: 'listen', on });
    this.#hold();
  }

  #start(): Promise<string> {
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
            this.#receive(message);
            return;
          case 'failed':
            cause = fromWire(message.error);
            return;
          case 'open':
            this.#worker = worker;
            worker.unref();
            resolve(message.store);
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

  #closedError(): MillraceError {
    return new MillraceError('BACKEND_CLOSED', { backend: this.#name });
  }

  #unavailable(cause: Error | undefined): MillraceError {
    const reason = cause?.message ?? 'its thread has ended';
    return new MillraceError('BACKEND_UNAVAILABLE', { backend: this.#name, reason }, cause && { cause });
  }

  /** The thread has ended: as asked, or because it died; then nobody else will answer what is pending. */
  #lose(error: MillraceError): void {
    this.#worker = undefined;
    this.#lost = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  /** A call under way, a listener or closing keeps the process alive; a backend that was only left open does not. */
  #hold(): void {
    const held = this.#pending.size > 0 || this.#listening || this.#closing !== undefined;
    if (held === this.#held) return;
    this.#held = held;
    if (held) this.#worker?.ref();
    else this.#worker?.unref();
  }

  #receive({ answers, heard }: Extract<FromThread, { kind: 'answers' }>): void {
    for (const answer of answers) {
      const pending = this.#pending.get(answer.call);
      this.#pending.delete(answer.call);
      if ('error' in answer) pending?.reject(fromWire(answer.error));
      else pending?.resolve(answer.value as never);
    }
    this.#hold();
    if (heard) this.#heard(heard);
  }
}
