/** Which server has a key: one for all keys, or, in a cluster, the one that has the key's slot. */
import type { Place } from './address.ts';
import type { Station } from './station.ts';

export interface Route {
  /** Rejects when no server could be asked which one it is. */
  find(key: string | undefined): Station | Promise<Station>;
  /** The server at `place`, which another one named. From now on it is the one to ask for `key`, unless `once`. */
  moved(key: string | undefined, place: Place, once: boolean): Station;
  /** `station` could not be reached: what is known of it may be old. */
  doubt(station: Station): void;
  stations(): Iterable<Station>;
  close(): void;
}
