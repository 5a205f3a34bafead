/**
 * Asks sentinels where the master is, and hears from one of them when that changes. A sentinel may be behind, so the server
 * that it names is asked whether it is a master.
 *
 * Hearing of it matters: a master that was replaced goes on taking writes, until it is told ten seconds later, and then
 * throws them away.
 */
import { MillraceError, toError } from '../../../errors.ts';
import { type Address, type Place, showPlace } from './address.ts';
import { Connection } from './connection.ts';
import { isReply } from './driver.ts';
import type { RouteOptions } from './route.ts';
import { Station } from './station.ts';

/** A sentinel has little to do; one that is silent for so long is left for the next one, ms. */
const patience = 2_000;

export class Sentinels {
  /** The one that knew it last comes first. */
  readonly #places: Place[];
  readonly #sentinel: NonNullable<Address['sentinel']>;
  readonly #options: RouteOptions;
  /** Of the one that is heard; of the next one after each failure. */
  readonly #watch: Station;
  #turns = 0;
  #stopWatching: (() => void) | undefined;

  constructor(sentinel: NonNullable<Address['sentinel']>, options: RouteOptions) {
    const { address, clock, silence, longest } = options;
    this.#places = [...address.places];
    this.#sentinel = sentinel;
    this.#options = { ...options, silence: Math.min(silence, patience) };
    this.#watch = new Station({
      backend: address.name,
      access: sentinel.access,
      clock,
      silence,
      longest,
      locate: async () => this.#places[this.#turns++ % this.#places.length] as Place,
    });
  }

  /** Rejects with what the last one said when none knows it. */
  async locate(stop: AbortSignal): Promise<Place> {
    let last = '';
    for (const place of [...this.#places]) {
      try {
        const master = await this.#ask(place, stop);
        this.#prefer(place);
        return master;
      } catch (error) {
        if (stop.aborted) throw error;
        // It refuses this program, or the driver is missing: no other sentinel will help, and waiting will not.
        if (isReply(error) || error instanceof MillraceError) throw error;
        last = `${showPlace(place)}: ${toError(error).message}`;
      }
    }
    throw new Error(`no sentinel knows the master ${this.#sentinel.master} (${last})`);
  }

  /** Calls `moved` with the place of the master when it may have changed, until `unwatch`. */
  watch(moved: (place: Place) => void): void {
    const stop = new AbortController();
    const stopListening = this.#watch.listen('+switch-master', (message) => {
      const place = this.#watch.connection?.place;
      if (place) this.#prefer(place);
      // `main 10.0.0.1 6379 10.0.0.2 6379`: the old one and the new one. Empty: something may have been missed.
      const [master, , , host, port] = String(message).split(' ');
      if (master === this.#sentinel.master && host) moved({ host, port: Number(port) });
      else if (master === '') this.locate(stop.signal).then(moved, () => undefined); // another one will be heard
    });
    this.#stopWatching?.();
    this.#stopWatching = () => {
      stop.abort();
      stopListening();
    };
  }

  unwatch(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.#watch.disconnect();
  }

  close(): void {
    this.unwatch();
    this.#watch.close();
  }

  #prefer(place: Place): void {
    this.#places.sort((a, b) => Number(b === place) - Number(a === place));
  }

  async #ask(place: Place, stop: AbortSignal): Promise<Place> {
    const { master, access } = this.#sentinel;
    const question = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master];
    const answer = await askOnce(place, access, this.#options, stop, question);
    if (!Array.isArray(answer)) throw new Error('it is not known there');
    return { host: String(answer[0]), port: Number(answer[1]) };
  }
}

/** Rejects unless the server takes writes, as seen by itself. */
export async function checkMaster(connection: Connection): Promise<void> {
  const [role] = (await connection.send(['ROLE'])) as unknown[];
  if (String(role) !== 'master') throw new Error(`${showPlace(connection.place)} is not a master (yet)`);
}

/** One question on a connection of its own. */
export async function askOnce(
  place: Place,
  access: Address['access'],
  { clock, silence }: Pick<RouteOptions, 'clock' | 'silence'>,
  stop: AbortSignal,
  question: readonly string[],
): Promise<unknown> {
  const nobody = () => undefined;
  const connection = await Connection.open(place, access, { clock, silence, message: nobody, lost: nobody }, stop);
  const close = () => connection.close();
  stop.addEventListener('abort', close);
  try {
    return await connection.send(question);
  } finally {
    stop.removeEventListener('abort', close);
    close();
  }
}
