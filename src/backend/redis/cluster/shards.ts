/**
 * The shards of a cluster, and which of them has what: a queue by its name, a job by its id, a server, a schedule's lock or a
 * `once` key by a hash of its name.
 *
 * Their hash tags are spread over the slots in equal steps, so nodes with ranges of slots of the same size have the same number
 * of shards, within one.
 */
import type { Clock } from '../../../clock.ts';
import type { Link } from '../link/link.ts';
import { slotOf } from '../link/slot.ts';
import type { ServerClock } from '../server-clock.ts';
import { newName, Shard } from '../shard.ts';

const SLOTS = 16_384;
/** Names whose places are remembered. */
const MANY = 10_000;

export class Shards {
  readonly all: readonly Shard[];
  /** What the channels of all shards begin with. */
  readonly channels: string;
  /** What this process calls itself. */
  readonly who = newName();
  /** The latest stamp that this process has seen: what it adds next comes behind it, in whatever shard. */
  #stamp = 0;
  /** Of names that were asked for. */
  readonly #places = new Map<string, number>();

  constructor(link: Link, namespace: string, count: number, clock: Clock | undefined, time: ServerClock) {
    this.channels = `{${namespace}}:`;
    const common = () => ({ seen: this.#stamp, channels: this.channels });
    this.all = tagsOf(namespace, count).map((tag) => new Shard(link, tag, this.who, { clock, common, time }));
  }

  at(place: number): Shard {
    return this.all[place] as Shard;
  }

  /** Where a queue is; and what else has no place of its own, by its name. */
  of(name: string): number {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    if (this.#places.size >= MANY) this.#places.clear();
    const place = hash(name) % this.all.length;
    this.#places.set(name, place);
    return place;
  }

  /** -1: no shard has given this id, it is a caller's own or of another store. */
  ofId(id: string): number {
    return this.all.findIndex(({ ids }) => ids.parse(id) >= 0);
  }

  seen(stamp: number): void {
    if (stamp > this.#stamp) this.#stamp = stamp;
  }

  /** Which shards have own ids of jobs or keys of schedules. Asks all of them. */
  async having(where: 'own' | 'schedules', names: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
    const found = new Map<string, number[]>();
    await Promise.all(
      this.all.map(async (shard, place) => {
        for (const at of (await shard.ask('known', { where, names })) as number[]) {
          const name = names[at - 1] as string;
          found.set(name, [...(found.get(name) ?? []), place]);
        }
      }),
    );
    return found;
  }
}

/** The tag of shard `i` of `n` is the first of `namespace:i`, `namespace:i.1`, … that has a slot in the i-th of n ranges. */
export function tagsOf(namespace: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    for (let tries = 0; ; tries++) {
      const tag = `${namespace}:${i}${tries > 0 ? `.${tries}` : ''}`;
      if (Math.floor((slotOf(`{${tag}}`) * count) / SLOTS) === i) return tag;
    }
  });
}

/**
 * FNV-1a, 32 bits. It has to stay as it is: it says where jobs are. Names that differ in their last digit only are in different
 * ones of 16 shards, or of 32, 64, ….
 */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(name)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}
