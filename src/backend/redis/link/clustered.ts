/**
 * The masters of a cluster, and which of them has which slots. One connection per master that is used.
 *
 * The map is read from any node, first when it is needed, then whenever a server is lost or says that a slot has moved.
 * While it is being read calls wait for it; when nobody can tell, the old one stays. A server that is not in it any more is
 * left: what it owes is sent again elsewhere.
 */
import { MillraceError, toError } from '../../../errors.ts';
import { type Place, showPlace } from './address.ts';
import { wrongScheme } from './info.ts';
import type { Route, RouteOptions } from './route.ts';
import { askOnce } from './sentinel.ts';
import { slotOf } from './slot.ts';
import { type Listener, Station } from './station.ts';

interface Subscription {
  readonly key: string;
  readonly channel: string;
  readonly listener: Listener;
  station?: Station;
  stop?: () => void;
}

/** A node that does not tell within so many ms is left for the next one. */
const patience = 1_000;

type Range = readonly [from: number, to: number, master: readonly unknown[], ...replicas: unknown[]];

export class ClusterRoute implements Route {
  readonly #options: RouteOptions;
  readonly #stop = new AbortController();
  /** By what `showPlace` makes of the place. */
  readonly #stations = new Map<string, { readonly place: Place; readonly station: Station }>();
  /** Slot → place of its master. */
  #owners: string[] = [];
  readonly #subscriptions = new Set<Subscription>();
  #reading: Promise<void> | undefined;

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  find(key: string | undefined): Station | Promise<Station> {
    if (this.#owners.length === 0) this.doubt();
    return this.#reading ? this.#reading.then(() => this.#ownerOf(key)) : this.#ownerOf(key);
  }

  moved(from: Station, place: Place, once: boolean): Station | undefined {
    if (!once) {
      this.doubt();
      return undefined;
    }
    // An empty host is the one that has answered.
    const host = 'host' in place && place.host === '' ? (from.connection?.place ?? place) : place;
    return this.#stationAt({ ...place, ...('host' in host && { host: host.host }) });
  }

  doubt(): void {
    if (this.#stop.signal.aborted) return;
    this.#reading ??= this.#read()
      .catch((error) => {
        if (this.#owners.length === 0) throw error;
      })
      .finally(() => {
        this.#reading = undefined;
      });
    this.#reading.catch(() => undefined); // those who wait for it hear of it
  }

  listen(key: string, channel: string, listener: Listener): () => void {
    const subscription: Subscription = { key, channel, listener };
    this.#subscriptions.add(subscription);
    if (this.#owners.length > 0) this.#place(subscription);
    else this.doubt();
    return () => {
      this.#subscriptions.delete(subscription);
      subscription.stop?.();
    };
  }

  disconnect(): void {
    for (const { station } of this.#stations.values()) station.disconnect();
  }

  close(): void {
    this.#stop.abort(new Error('closed'));
    this.#subscriptions.clear();
    for (const { station } of this.#stations.values()) station.close();
    this.#stations.clear();
  }

  #ownerOf(key: string | undefined): Station {
    const owner = key === undefined ? this.#owners.find(Boolean) : this.#owners[slotOf(key)];
    const known = owner === undefined ? undefined : this.#stations.get(owner);
    if (known) return known.station;
    throw new Error(key === undefined ? 'no node of the cluster has any slot' : `no node has the slot of ${key}`);
  }

  #stationAt(place: Place): Station {
    const name = showPlace(place);
    const known = this.#stations.get(name);
    if (known) return known.station;
    const { address, clock, silence, longest } = this.#options;
    const station = new Station({
      backend: address.name,
      access: address.access,
      clock,
      silence,
      longest,
      locate: async () => place,
      failed: () => this.doubt(),
    });
    this.#stations.set(name, { place, station });
    return station;
  }

  /** Asks the nodes in any order, so that one which is behind does not always come first. */
  async #read(): Promise<void> {
    const { address, clock, silence } = this.#options;
    const known = [...this.#stations.values()].map(({ place }) => place);
    const places = new Map([...known, ...address.places].map((place) => [showPlace(place), place]));
    let last = '';
    for (const place of shuffled([...places.values()])) {
      try {
        const least = Math.min(silence, patience);
        const question = ['CLUSTER', 'SLOTS'];
        const ranges = await askOnce(place, address.access, { clock, silence: least }, this.#stop.signal, question);
        this.#take(ranges as Range[], place);
        return;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (error instanceof MillraceError) throw error;
        const { message } = toError(error);
        if (/cluster support disabled/.test(message)) throw wrongScheme(false, address.name);
        if (/^(NOAUTH|WRONGPASS|NOPERM) /.test(message)) throw error; // no other node will let it in
        last = `${showPlace(place)}: ${message}`;
      }
    }
    throw new Error(`no node of the cluster can be asked (${last})`);
  }

  #take(ranges: readonly Range[], asked: Place): void {
    const owners: string[] = [];
    const masters = new Set<string>();
    for (const [from, to, [host, port]] of ranges) {
      const own = 'host' in asked ? asked.host : '';
      const place = { host: host === null || String(host) === '' ? own : String(host), port: Number(port) };
      this.#stationAt(place);
      masters.add(showPlace(place));
      for (let slot = from; slot <= to; slot++) owners[slot] = showPlace(place);
    }
    if (masters.size === 0) throw new Error('it knows of no slots');
    this.#owners = owners;
    const gone = [...this.#stations].filter(([name]) => !masters.has(name));
    for (const [name] of gone) this.#stations.delete(name);
    for (const subscription of this.#subscriptions) this.#place(subscription);
    for (const [, { station }] of gone) station.close();
  }

  /** Where `key` is now; stays where it is while that is in the map, for a message reaches all nodes of a cluster. */
  #place(subscription: Subscription): void {
    const { key, channel, listener, station } = subscription;
    if (station && [...this.#stations.values()].some((known) => known.station === station)) return;
    const [first] = this.#stations.values();
    const owner = this.#stations.get(this.#owners[slotOf(key)] ?? '') ?? first;
    if (!owner) return;
    subscription.stop?.();
    subscription.station = owner.station;
    subscription.stop = owner.station.listen(channel, listener);
  }
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}
