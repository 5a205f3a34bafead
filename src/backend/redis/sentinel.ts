/**
 * Asks sentinels where the master is. A sentinel may be behind, so the server that it names is asked whether it is one.
 * After a failover sentinels cut the connections of the old master's clients, so nobody has to listen to them.
 */
import type { Clock } from '../../clock.ts';
import { toError } from '../../errors.ts';
import { type Address, type Place, showPlace } from './address.ts';
import { Connection } from './connection.ts';
import { isReply } from './driver.ts';

/** A sentinel has little to do; one that is silent for so long is left for the next one, ms. */
const patience = 1_000;

export class Sentinels {
  /** The one that knew it last comes first. */
  readonly #places: Place[];
  readonly #sentinel: NonNullable<Address['sentinel']>;
  readonly #clock: Clock;
  readonly #silence: number;

  constructor(places: readonly Place[], sentinel: NonNullable<Address['sentinel']>, clock: Clock, silence: number) {
    this.#places = [...places];
    this.#sentinel = sentinel;
    this.#clock = clock;
    this.#silence = Math.min(silence, patience);
  }

  /** Rejects with what the last one said when none knows it. */
  async locate(stop: AbortSignal): Promise<Place> {
    let last = '';
    for (const place of [...this.#places]) {
      try {
        const master = await this.#ask(place, stop);
        this.#places.splice(this.#places.indexOf(place), 1);
        this.#places.unshift(place);
        return master;
      } catch (error) {
        if (stop.aborted) throw error;
        // Its own greeting refuses this program: no other sentinel will help, and waiting will not.
        if (isReply(error)) throw error;
        last = `${showPlace(place)}: ${toError(error).message}`;
      }
    }
    throw new Error(`no sentinel knows the master ${this.#sentinel.master} (${last})`);
  }

  async #ask(place: Place, stop: AbortSignal): Promise<Place> {
    const { master, access } = this.#sentinel;
    const answer = await askOnce(place, access, this.#clock, this.#silence, stop, [
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      master,
    ]);
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
  clock: Clock,
  silence: number,
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
