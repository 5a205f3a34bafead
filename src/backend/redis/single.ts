/** One server for all keys: at a fixed place, or wherever the sentinels say that the master is. */
import type { Place } from './address.ts';
import type { Route, RouteOptions } from './route.ts';
import { checkMaster, Sentinels } from './sentinel.ts';
import { type Listener, Station } from './station.ts';

export class SingleRoute implements Route {
  readonly #station: Station;

  constructor({ address, clock, silence }: RouteOptions) {
    const [place] = address.places;
    const sentinels = address.sentinel && new Sentinels(address.places, address.sentinel, clock, silence);
    this.#station = new Station({
      backend: address.name,
      access: address.access,
      clock,
      silence,
      locate: sentinels ? (stop) => sentinels.locate(stop) : async () => place as Place,
      ...(sentinels && { check: checkMaster }),
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
  }

  close(): void {
    this.#station.close();
  }
}
