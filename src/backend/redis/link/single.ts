/** One server for all keys: at a fixed place, or wherever the sentinels say that the master is. */
import { type Place, showPlace } from './address.ts';
import type { Connection } from './connection.ts';
import type { Route, RouteOptions } from './route.ts';
import { checkMaster, Sentinels } from './sentinel.ts';
import { type Listener, Station } from './station.ts';

export class SingleRoute implements Route {
  readonly #station: Station;
  readonly #sentinels: Sentinels | undefined;
  #isWatching = false;

  constructor(options: RouteOptions) {
    const { address, clock, silence, longest } = options;
    const [place] = address.places;
    const sentinels = address.sentinel && new Sentinels(address.sentinel, options);
    this.#sentinels = sentinels;
    this.#station = new Station({
      backend: address.name,
      access: address.access,
      clock,
      silence,
      longest,
      locate: sentinels ? (stop) => sentinels.locate(stop) : async () => place as Place,
      ...(sentinels && { check: (connection) => this.#check(connection, sentinels) }),
    });
  }

  find(): Station {
    return this.#station;
  }

  moved(): undefined {}

  doubt(): void {}

  listen(_key: string, channel: string, listener: Listener): () => void {
    return this.#station.listen(channel, listener);
  }

  disconnect(): void {
    this.#station.disconnect();
    this.#sentinels?.unwatch();
    this.#isWatching = false;
  }

  close(): void {
    this.#station.close();
    this.#sentinels?.close();
  }

  async #check(connection: Connection, sentinels: Sentinels): Promise<void> {
    await checkMaster(connection);
    if (this.#isWatching) return;
    this.#isWatching = true;
    sentinels.watch((place) => {
      const current = this.#station.connection;
      if (current && showPlace(current.place) !== showPlace(place)) current.drop('another server is the master now');
    });
  }
}
