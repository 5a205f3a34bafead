/**
 * The npm package `redis`, loaded when the first Redis backend is opened, and the little of it that is used here: one
 * client is one connection. Its own reconnecting, queueing and time limits are switched off; `Station` and `RedisLink` do
 * that, because only they know what may be sent again.
 */
import { MillraceError } from '../../../errors.ts';

/** What goes over the wire. Strings and bytes only: the caller has made strings of its numbers. */
export type Arguments = readonly (string | Buffer)[];

export interface DriverClient {
  connect(): Promise<unknown>;
  /** Pipelined: calls made in one turn leave in one write. */
  sendCommand(args: Arguments): Promise<unknown>;
  subscribe(channels: string[], listener: (message: Buffer, channel: Buffer) => void, buffers: true): Promise<unknown>;
  unsubscribe(channels: string[], listener?: undefined, buffers?: true): Promise<unknown>;
  /** Ends the connection; what waits for an answer is rejected. */
  destroy(): void;
  unref(): void;
  on(event: 'error' | 'terminated', listener: (error: Error) => void): unknown;
}

export interface Driver {
  createClient(options: object): DriverClient;
  /** What the server answered, as opposed to what befell the connection. */
  readonly ErrorReply: new (
    message: string,
  ) => Error;
}

let loading: Promise<Driver> | undefined;
let loaded: Driver | undefined;

/** Rejects with PEER_MISSING when the package is not installed. */
export function loadDriver(): Promise<Driver> {
  loading ??= import('redis').then(
    (module) => {
      loaded = module as unknown as Driver;
      return loaded;
    },
    (cause) => {
      loading = undefined;
      throw new MillraceError('PEER_MISSING', { package: 'redis', purpose: 'the Redis backend' }, { cause });
    },
  );
  return loading;
}

/** True for what a server said; false for what befell the connection. */
export function isReply(error: unknown): error is Error {
  return loaded !== undefined && error instanceof loaded.ErrorReply;
}
