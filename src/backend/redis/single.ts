/** One server for all keys: at a fixed place, or wherever the sentinels say that the master is. */
import type { Place } from './address.ts';
import type { Route } from './route.ts';
import { Station, type StationOptions } from './station.ts';

export class SingleRoute implements Route {
  readonly #station: Station;

  constructor(options: StationOptions) {
    this.#station = new Station(options);
  }

  find(): Station {
    return this.#station;
  }

  /** A server of a cluster says this; `RedisLink.open` has refused those. */
  moved(_key: string | undefined, _place: Place): Station {
    return this.#station;
  }

  doubt(): void {}

  stations(): Iterable<Station> {
    return [this.#station];
  }

  close(): void {
    this.#station.close();
  }
}
