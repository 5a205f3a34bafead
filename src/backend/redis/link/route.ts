/** Which server has a key: one for all keys, or, in a cluster, the one that has the key's slot. */
import type { Clock } from '../../../clock.ts';
import type { Address, Place } from './address.ts';
import type { Listener, Station } from './station.ts';

export interface Route {
  /** Rejects when no server could be asked which one it is. */
  find(key: string | undefined): Station | Promise<Station>;
  /** `from` said that the key is at `place`: `once`, then that is the one to ask; or for good, then ask `find` again. */
  moved(from: Station, place: Place, once: boolean): Station | undefined;
  /** What is known of the servers may be old. */
  doubt(): void;
  /** Hears a channel of the server that has `key`, wherever that goes. */
  listen(key: string, channel: string, listener: Listener): () => void;
  /** Until it is wanted again. */
  disconnect(): void;
  close(): void;
}

export interface RouteOptions {
  readonly address: Address;
  readonly clock: Clock;
  readonly silence: number;
  /** Longest pause between two tries to connect, ms. */
  readonly longest: number;
}
