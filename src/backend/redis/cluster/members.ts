/**
 * The servers of a cluster of shards. Each has a home, by its id, which says whether it is known and where else it is: in the
 * shards of its queues, and in others that it claimed from. Each of those has its lease and its jobs.
 *
 * So a beat costs a call at home and one for each shard that has to do with the server, all at the same time. A lease that ran
 * out in one of them only is lost there: what it held is stale, and its claims there are refused until its next beat.
 */
import type { ServerInfo } from '../../backend.ts';
import type { ServerRecord } from '../../records.ts';
import type { Shards } from './shards.ts';

export class Members {
  readonly #shards: Shards;
  readonly #moved: (server: string) => void;
  /** Of the servers that beat through this process: the shards where they are. */
  readonly #places = new Map<string, Set<number>>();

  /** @param moved hears of a server that is in another shard, too */
  constructor(shards: Shards, moved: (server: string) => void) {
    this.#shards = shards;
    this.#moved = moved;
  }

  /** The shards where a server of this process has to beat. */
  placesOf(server: string): ReadonlySet<number> {
    return this.#places.get(server) ?? new Set();
  }

  async beat(server: ServerInfo): Promise<void> {
    const { id, queues } = server;
    const home = this.#shards.of(id);
    const places = this.#placesOf(id).add(home);
    for (const queue of queues) places.add(this.#shards.of(queue));
    const request = { id, info: JSON.stringify(server) };
    const beat = (place: number) => this.#shards.at(place).ask('beat', request);
    const others = [...places].filter((place) => place !== home);
    const [where] = await Promise.all([
      this.#shards.at(home).ask('beat', { ...request, where: others }),
      ...others.map(beat),
    ]);
    const more = (where as number[]).filter((place) => !places.has(place));
    await Promise.all(more.map(beat));
    for (const place of more) places.add(place);
  }

  /** Makes a server that shard `place` does not know known there. False: it is not to be; it left, or has lost its lease. */
  async admit(id: string, place: number): Promise<boolean> {
    const home = this.#shards.of(id);
    if (place === home) return false;
    const answer = await this.#shards.at(home).change('roam', { id, shard: place });
    if (answer === false) return false;
    const { info, beatAt, new: isNew } = answer as unknown as { info: Buffer; beatAt: number; new: boolean };
    if (!isNew) return false;
    await this.#shards.at(place).ask('beat', { id, info, beatAt });
    this.#placesOf(id).add(place);
    this.#moved(id);
    return true;
  }

  async leave(id: string): Promise<void> {
    const home = this.#shards.of(id);
    const places = await this.everywhere(id, async (place) => place);
    const leave = async (place: number) => {
      const shard = this.#shards.at(place);
      await shard.change('leave', { id });
      shard.forget(id);
    };
    await Promise.all(places.filter((place) => place !== home).map(leave));
    // Last: until then it can be tried again.
    await leave(home);
    this.#places.delete(id);
  }

  /** Asks in every shard where the server may hold jobs. */
  async everywhere<T>(id: string, ask: (place: number) => Promise<T>): Promise<T[]> {
    const home = this.#shards.of(id);
    const known = new Set([home, ...this.placesOf(id)]);
    const [where, ...first] = await Promise.all([
      this.#shards.at(home).ask('where', { id }) as Promise<unknown> as Promise<number[]>,
      ...[...known].map(ask),
    ]);
    const more = await Promise.all(where.filter((place) => !known.has(place)).map(ask));
    return [...first, ...more];
  }

  #placesOf(id: string): Set<number> {
    const known = this.#places.get(id);
    if (known) return known;
    const places = new Set<number>();
    this.#places.set(id, places);
    return places;
  }
}

/** What the shards say of each server, as one. */
export function mergeServers(lists: readonly (readonly ServerRecord[])[]): ServerRecord[] {
  const all = new Map<string, ServerRecord>();
  for (const record of lists.flat()) {
    const other = all.get(record.id);
    const latest = other && other.beatAt > record.beatAt ? other : record;
    all.set(record.id, { ...latest, running: record.running + (other?.running ?? 0) });
  }
  return [...all.values()];
}
