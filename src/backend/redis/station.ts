/**
 * One server, kept connected while anybody wants it, and the channels that are heard from it.
 *
 * A lost connection is replaced at once while calls wait or somebody listens, otherwise with the next call. After that
 * the channels are subscribed anew, and each listener gets an empty message: what was said meanwhile is lost.
 */
import type { Clock, Timer } from '../../clock.ts';
import { toError } from '../../errors.ts';
import type { Access, Place } from './address.ts';
import { Connection } from './connection.ts';
import { judge } from './failure.ts';
import { delayAfter } from './reconnect.ts';

export type Listener = (message: Buffer) => void;

export interface StationOptions {
  /** For messages. */
  readonly backend: string;
  readonly access: Access;
  readonly clock: Clock;
  readonly silence: number;
  /** Whether calls wait for an answer. */
  readonly isWanted: () => boolean;
  /** Where the server is now. */
  readonly locate: (stop: AbortSignal) => Promise<Place>;
}

const nothing = Buffer.alloc(0);

export class Station {
  readonly #options: StationOptions;
  readonly #stop = new AbortController();
  readonly #channels = new Map<string, Set<Listener>>();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #pause: { readonly timer: Timer; readonly end: () => void } | undefined;

  constructor(options: StationOptions) {
    this.#options = options;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  get hasListeners(): boolean {
    return this.#channels.size > 0;
  }

  /**
   * The connection, or the next one. Tries until nobody waits any more; then, and when the server refuses this program,
   * it rejects with the last reason.
   */
  connect(): Promise<Connection> {
    if (this.#connection) return Promise.resolve(this.#connection);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  listen(channel: string, listener: Listener): () => void {
    const listeners = this.#channels.get(channel);
    if (listeners) listeners.add(listener);
    else {
      this.#channels.set(channel, new Set([listener]));
      if (this.#connection) this.#subscribe(this.#connection, [channel]);
      else this.#keepListening();
    }
    return () => {
      const left = this.#channels.get(channel);
      if (!left?.delete(listener) || left.size > 0) return;
      this.#channels.delete(channel);
      this.#connection?.unsubscribe([channel]).catch(() => undefined); // a lost connection has no subscriptions
    };
  }

  /** Until it is wanted again. */
  disconnect(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  close(): void {
    this.#stop.abort();
    this.#pause?.end();
    this.#channels.clear();
    this.disconnect();
  }

  async #connect(): Promise<Connection> {
    const { clock, access, silence, locate, backend } = this.#options;
    const stop = this.#stop.signal;
    for (let failures = 1; ; failures++) {
      try {
        const place = await locate(stop);
        let connection: Connection | undefined;
        const lost = () => connection && this.#lose(connection);
        const message = (channel: string, bytes: Buffer) => this.#tell(channel, bytes);
        connection = await Connection.open(place, access, { clock, silence, message, lost }, stop);
        if (connection.isOver) throw new Error('the connection was closed at once');
        this.#connection = connection;
        if (this.#channels.size > 0) this.#subscribe(connection, [...this.#channels.keys()]);
        return connection;
      } catch (error) {
        const verdict = judge(error, backend);
        if (verdict.kind === 'final' && !this.hasListeners) throw verdict.error;
        if (stop.aborted || !(this.#options.isWanted() || this.hasListeners)) throw toError(error);
        await this.#wait(delayAfter(failures));
        if (stop.aborted) throw toError(error);
      }
    }
  }

  #lose(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (this.hasListeners) this.#keepListening();
  }

  #keepListening(): void {
    this.connect().catch(() => undefined); // tried until nobody listens
  }

  #subscribe(connection: Connection, channels: string[]): void {
    connection.subscribe(channels).then(
      () => {
        for (const channel of channels) this.#tell(channel, nothing);
      },
      (error) => {
        if (connection.isOver) return;
        process.emitWarning(`no messages from ${this.#options.backend}: ${toError(error).message}`, {
          code: 'MILLRACE_REDIS_SUBSCRIBE',
          detail: 'Jobs are found by polling.',
        });
      },
    );
  }

  #tell(channel: string, message: Buffer): void {
    for (const listener of [...(this.#channels.get(channel) ?? [])]) {
      try {
        listener(message);
      } catch (error) {
        // Not into the driver, which is in the middle of its bytes.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        this.#pause?.timer.cancel();
        this.#pause = undefined;
        resolve();
      };
      this.#pause = { timer: this.#options.clock.timer(ms, end, { unref: true }), end };
    });
  }
}
