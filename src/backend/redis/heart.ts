/**
 * Beats for the servers of this process, from a thread with a connection of its own: a handler that blocks the event loop does
 * not cost its server the lease.
 *
 *   start ──▶ the thread, made for the first server ──beat──▶ Redis        until its first one the beats come from here
 *   stop  ──▶ no beat is under way any more, and none follows; the thread ends with the last server
 *
 * When the thread cannot be made or dies, a warning says so and the beats go on from here, where a blocked loop holds them
 * up. Costs a thread and a connection while a server runs. It keeps no process alive.
 */
import { Worker } from 'node:worker_threads';
import { toError } from '../../errors.ts';
import type { HeartOptions, ServerInfo } from '../backend.ts';
import { Hearts } from '../hearts.ts';
import type { Address } from './link/address.ts';
import type { Script } from './link/link.ts';

/** What the thread is made of. */
export interface HeartMake {
  readonly address: Address;
  /** That of a beat. */
  readonly script: Script;
}

/** A server, and the keys of the places where it beats. */
export interface Beating {
  readonly server: ServerInfo;
  readonly keys: readonly string[];
  readonly options: HeartOptions;
}

export type ToHeart = ({ readonly kind: 'start' } & Beating) | { readonly kind: 'stop'; readonly server: string };

/** `beats`: its first beat from there was answered. `stopped`: none is under way any more. */
export interface FromHeart {
  readonly kind: 'beats' | 'stopped';
  readonly server: string;
}

export class Heart {
  readonly #beat: (server: ServerInfo) => Promise<unknown>;
  readonly #beating = new Map<string, Beating>();
  /** Of those that do not beat from the thread yet, or any more. */
  readonly #orphans: Hearts;
  readonly #stopping = new Map<string, () => void>();
  #worker: Worker | undefined;

  /** @param beat does it from this thread */
  constructor(beat: (server: ServerInfo) => Promise<unknown>) {
    this.#beat = beat;
    // A beat that fails is made good by the next one.
    this.#orphans = new Hearts((server) => void this.#beat(server).catch(() => undefined));
  }

  /** The first beat is the caller's. A second start for the same server replaces the first. */
  start(beating: Beating, make: () => HeartMake): void {
    const { id } = beating.server;
    this.#orphans.start(beating.server, beating.options);
    this.#beating.set(id, beating);
    try {
      this.#worker ??= this.#launch(make());
      this.#worker.postMessage({ kind: 'start', ...beating } satisfies ToHeart);
    } catch (error) {
      this.#lose(toError(error));
    }
  }

  async stop(server: string): Promise<void> {
    if (!this.#beating.delete(server)) return;
    this.#orphans.stop(server);
    const worker = this.#worker;
    if (!worker) return;
    await new Promise<void>((resolve) => {
      this.#stopping.set(server, resolve);
      worker.ref();
      worker.postMessage({ kind: 'stop', server } satisfies ToHeart);
    });
    if (this.#beating.size === 0) await this.#end();
  }

  async close(): Promise<void> {
    this.#beating.clear();
    this.#orphans.stopAll();
    await this.#end();
  }

  #launch(make: HeartMake): Worker {
    // The thread gets no flags of this process: a debugger or a preload is meant for the main thread. What there is to warn of
    // has been said by the connection of the main thread.
    const execArgv = ['--disable-warning=MILLRACE_REDIS_EVICTION'];
    const url = new URL('./heart-thread.ts', import.meta.url);
    const worker = new Worker(url, { name: 'millrace-heart', workerData: make, execArgv });
    let cause: Error | undefined;
    worker.unref();
    worker.on('message', ({ kind, server }: FromHeart) => {
      if (kind === 'stopped') this.#stopped(server);
      else this.#orphans.stop(server);
    });
    worker.on('error', (error) => {
      cause = toError(error);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#lose(cause);
      else this.#release();
    });
    return worker;
  }

  #stopped(server: string): void {
    this.#stopping.get(server)?.();
    this.#stopping.delete(server);
    if (this.#stopping.size === 0) this.#worker?.unref();
  }

  /** Nobody waits for a thread that is gone. */
  #release(): void {
    for (const resolve of this.#stopping.values()) resolve();
    this.#stopping.clear();
  }

  #lose(cause: Error | undefined): void {
    this.#worker = undefined;
    this.#release();
    process.emitWarning(`the thread that beats for job servers is gone: ${cause?.message ?? 'it has ended'}`, {
      code: 'MILLRACE_REDIS_HEART',
      detail: 'Beats go on from the main thread: a handler that blocks it costs its server the lease.',
    });
    for (const { server, options } of this.#beating.values()) this.#orphans.start(server, options);
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
