/**
 * One server, kept connected while anybody wants it, and the channels that are heard from it.
 *
 * A lost connection is replaced with the next call, or at once while somebody listens. Tries that fail are spaced out,
 * however many calls wait for them. With a new connection the channels are subscribed anew, and each listener gets an empty
 * message: what was said meanwhile is lost.
 */
import type { Clock, Timer } from '../../../clock.ts';
import { toError } from '../../../errors.ts';
import type { Access, Place } from './address.ts';
import { Connection } from './connection.ts';
import { delayAfter } from './reconnect.ts';

export type Listener = (message: Buffer) => void;

export interface StationOptions {
  /** For messages. */
  readonly backend: string;
  readonly access: Access;
  readonly clock: Clock;
  readonly silence: number;
  /** Longest pause between two tries to connect, ms. */
  readonly longest: number;
  /** Where the server is now. */
  readonly locate: (stop: AbortSignal) => Promise<Place>;
  /** Rejects when it is not the server that it should be. */
  readonly check?: (connection: Connection) => Promise<void>;
  /** A connection could not be made, or was lost. */
  readonly failed?: () => void;
}

const nothing = Buffer.alloc(0);

export class Station {
  readonly #options: StationOptions;
  readonly #stop = new AbortController();
  readonly #channels = new Map<string, Set<Listener>>();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  /** Goes up when what is being connected is not wanted any more. */
  #era = 0;
  #failures = 0;
  #trouble = 'no connection yet';
  #pause: { readonly timer: Timer; readonly end: () => void } | undefined;
  #isListening = false;

  constructor(options: StationOptions) {
    this.#options = options;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Why there is no connection. */
  get trouble(): string {
    return this.#trouble;
  }

  /** The connection, or the outcome of the next try to make one; all who wait share it. */
  connect(): Promise<Connection> {
    if (this.#connection) return Promise.resolve(this.#connection);
    if (!this.#connecting) {
      const connecting = this.#try().finally(() => {
        if (this.#connecting === connecting) this.#connecting = undefined;
      });
      this.#connecting = connecting;
    }
    return this.#connecting;
  }

  listen(channel: string, listener: Listener): () => void {
    const listeners = this.#channels.get(channel);
    if (listeners) listeners.add(listener);
    else {
      this.#channels.set(channel, new Set([listener]));
      if (this.#connection) this.#subscribe(this.#connection, [channel]);
      else void this.#keepListening();
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
    this.#era++;
    this.#connecting = undefined; // the next call begins anew
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** What is under way on it is rejected. */
  close(): void {
    this.#stop.abort();
    this.#pause?.end();
    this.#channels.clear();
    this.disconnect();
  }

  async #try(): Promise<Connection> {
    const { clock, access, silence, longest, locate, check, failed } = this.#options;
    const stop = this.#stop.signal;
    const era = this.#era;
    if (this.#failures > 0) await this.#wait(delayAfter(this.#failures, longest));
    let connection: Connection | undefined;
    try {
      const place = await locate(stop);
      const lost = (reason: string) => connection && this.#lose(connection, reason);
      const message = (channel: string, bytes: Buffer) => this.#tell(channel, bytes);
      connection = await Connection.open(place, access, { clock, silence, message, lost }, stop);
      await check?.(connection);
      stop.throwIfAborted();
      if (connection.isOver) throw new Error('the connection was closed at once');
      if (era !== this.#era) throw new Error('the connection is not wanted any more');
    } catch (error) {
      connection?.close();
      this.#failures++;
      this.#trouble = toError(error).message;
      if (!stop.aborted) failed?.();
      throw error;
    }
    this.#failures = 0;
    this.#connection = connection;
    // A call may have wanted it before the listeners were awake.
    if (this.#channels.size > 0) this.#subscribe(connection, [...this.#channels.keys()]);
    return connection;
  }

  #lose(connection: Connection, reason: string): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#trouble = reason;
    // The first try comes at once, or nearly: all who lost the same server do the same.
    this.#failures = 1;
    this.#options.failed?.();
    void this.#keepListening();
  }

  async #keepListening(): Promise<void> {
    if (this.#isListening) return;
    this.#isListening = true;
    while (this.#channels.size > 0 && !this.#connection && !this.#stop.signal.aborted) {
      await this.connect().catch(() => undefined); // calls tell the reason
    }
    this.#isListening = false;
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
