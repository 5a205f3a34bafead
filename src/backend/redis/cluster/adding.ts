/**
 * How jobs get into the shards of a cluster.
 *
 *   one shard       the group goes there as it is: one call, atomic
 *   several shards  see intents.ts
 *
 * The groups of a call that have a shard each go there at the same time; a group that spans shards waits for those before it,
 * and those behind wait for it.
 *
 * An own id is looked for in all shards before a job that has one is added. Two adds of the same new id at the same time, to
 * queues in different shards, may both store a job; to the same queue they never do. A `once` key is kept by the shard that
 * stores its group; another one knows which that is. So its repeat costs two round trips, and only the same key with
 * different queues at the same time can be stored twice.
 */
import { assertOption } from '../../../errors.ts';
import type { AddGroup, AddResult, NewJob } from '../../backend.ts';
import * as check from '../../check.ts';
import type { Firing } from '../../schedule.ts';
import { packAdd, type Result, toOther, toResults } from '../pack.ts';
import { Intents, isIntended } from './intents.ts';
import type { Shards } from './shards.ts';

type Once = NonNullable<AddGroup['once']>;

/** A group, or the jobs of a tick. */
interface Item {
  readonly at: number;
  readonly group: AddGroup;
  readonly firing?: Firing;
}

/** One that goes to one shard as it is. */
interface Whole extends Item {
  readonly shard: number;
}

/** Longer than a `once` key is kept; a clock of a test may stand still meanwhile. */
const GRACE = 600_000;

export class Adding {
  readonly #shards: Shards;
  readonly #intents: Intents;
  readonly #added: (queues: readonly string[]) => void;

  /** @param added hears which queues got jobs */
  constructor(shards: Shards, added: (queues: readonly string[]) => void) {
    this.#shards = shards;
    this.#intents = new Intents(shards, added);
    this.#added = added;
  }

  async add(groups: readonly AddGroup[]): Promise<AddResult[]> {
    const places = groups.map((group) => this.#shardOf(group));
    this.#assert(groups, places[0] === undefined || places.some((place) => place !== places[0]));
    const items = groups.map((group, at) => ({ at, group }));
    return (await this.#store(items, ({ at }) => places[at])) as AddResult[];
  }

  /** @param places where the schedules are, by their keys; those that are nowhere are answered `gone` */
  async fire(firings: readonly Firing[], places: ReadonlyMap<string, number>): Promise<Result[]> {
    firings.forEach(check.assertFiring);
    this.#assert(firings, true);
    const items = firings.map((firing, at) => ({ at, group: { jobs: firing.jobs }, firing }));
    const known = items.filter(({ firing }) => places.has(firing.key));
    const results = await this.#store(
      known,
      ({ group, firing }) => {
        const place = places.get(firing?.key as string);
        return group.jobs.every(({ queue }) => this.#shards.of(queue) === place) ? place : undefined;
      },
      places,
    );
    return items.map(({ at }) => results[at] ?? { status: 'gone' });
  }

  /** Stores groups that somebody else has decided on; see Intents. */
  resume(home: number, id: string, packed: Buffer): Promise<void> {
    return this.#intents.resume(home, id, packed);
  }

  /** @param isSplit nothing of a call is stored when something in it is wrong; what goes in one call is looked at there */
  #assert(groups: readonly AddGroup[], isSplit: boolean): void {
    for (const group of groups) {
      check.assertGroup(group);
      for (const job of group.jobs) {
        if (isSplit) check.assertJob(job);
        const isOwn = job.id === undefined || this.#shards.ofId(job.id) < 0;
        assertOption('id', job.id, isOwn, 'unlike the ids that the backend gives');
      }
    }
  }

  /** Undefined: several. */
  #shardOf({ jobs, once }: AddGroup): number | undefined {
    if (jobs.length === 0) return this.#shards.of(once?.key ?? '');
    const place = this.#shards.of((jobs[0] as NewJob).queue);
    return jobs.every(({ queue }) => this.#shards.of(queue) === place) ? place : undefined;
  }

  async #store(
    items: readonly Item[],
    shardOf: (item: Item) => number | undefined,
    places?: ReadonlyMap<string, number>,
  ): Promise<Result[]> {
    const results: Result[] = [];
    let batch: Whole[] = [];
    /** What must not go to two shards at the same time: own ids and `once` keys. */
    let names = new Map<string, number>();
    const flush = async () => {
      if (batch.length > 0) await this.#storeWhole(batch, results);
      batch = [];
      names = new Map();
    };
    for (const item of items) {
      const shard = shardOf(item);
      if (shard === undefined) {
        await flush();
        results[item.at] = item.firing
          ? await this.#fireSplit(item.firing, places?.get(item.firing.key) as number)
          : await this.#storeSplit(item.group);
        continue;
      }
      const own = item.group.jobs.flatMap(({ id }) => (id === undefined ? [] : [`i${id}`]));
      if (item.group.once) own.push(`o${item.group.once.key}`);
      if (own.some((name) => (names.get(name) ?? shard) !== shard)) await flush();
      for (const name of own) names.set(name, shard);
      batch.push({ ...item, shard });
    }
    await flush();
    return results;
  }

  /** Groups that go to one shard each, at the same time. */
  async #storeWhole(batch: readonly Whole[], results: Result[]): Promise<void> {
    const elsewhere = await this.#findElsewhere(batch.flatMap(({ group }) => group.jobs));
    const kept = await Promise.all(batch.map(({ group, shard }) => group.once && this.#keeper(group.once, shard)));
    const left: Whole[] = [];
    for (const [i, item] of batch.entries()) {
      const seen = kept[i];
      if (seen) results[item.at] = seen;
      else left.push(item);
    }
    const shards = Map.groupBy(left, ({ shard }) => shard);
    const stamps = shards.size > 1 ? await this.#stamps(left) : undefined;
    await Promise.all([...shards].map(([shard, some]) => this.#send(shard, some, elsewhere, stamps, results)));
    for (const { at, group, shard } of left) {
      // Its key is that of a group that is on its way to several shards.
      const result = results[at];
      if (!isIntended(result)) continue;
      await this.#intents.resume(shard, result.intent);
      [results[at] as Result] = (await this.add([group])) as [AddResult];
    }
  }

  /** Stamps that put the jobs of several shards into the order of the call: the first, and how far behind each one is. */
  async #stamps(batch: readonly Whole[]): Promise<{ readonly base: number; readonly offsets: Map<Whole, number> }> {
    const offsets = new Map(batch.map((item, i) => [item, i]));
    const first = this.#shards.at((batch[0] as Whole).shard);
    const base = (await first.change('stamp', { count: batch.length })) as number;
    return { base, offsets };
  }

  async #send(
    place: number,
    batch: readonly Whole[],
    elsewhere: ReadonlySet<NewJob>,
    stamps: { readonly base: number; readonly offsets: Map<Whole, number> } | undefined,
    results: Result[],
  ): Promise<void> {
    const shard = this.#shards.at(place);
    const groups = batch.map(({ group }) => group);
    const request = packAdd(groups, shard.ids, elsewhere);
    const offsets = stamps && batch.flatMap((item) => item.group.jobs.map(() => stamps.offsets.get(item) as number));
    const ticks = batch.flatMap(({ firing }) => (firing ? [tickOf(firing)] : []));
    const queues = request.templates.map(([queue]) => queue);
    const { detours } = shard;
    // A claim that is made at once goes behind the add on the same connection, so it finds the jobs; unless that is sent again.
    const tell = () => this.#added(queues);
    const answer = await shard.change(
      ticks.length > 0 ? 'fire' : 'add',
      {
        ...request,
        by: shard.who,
        ...(stamps && { base: stamps.base, offsets }),
        ...(ticks.length > 0 && { firings: ticks }),
      },
      tell,
    );
    if (shard.detours !== detours) tell();
    this.#shards.seen((answer as { stamp: number }).stamp);
    for (const [i, result] of toResults(groups, answer, shard.ids).entries()) results[(batch[i] as Whole).at] = result;
  }

  async #storeSplit(group: AddGroup): Promise<AddResult> {
    const { jobs, once, maxWaiting } = group;
    const place = this.#shards.of(once?.key ?? (jobs[0] as NewJob).queue);
    const home = this.#shards.at(place);
    for (;;) {
      const kept = once && ((await this.#keeper(once, place)) ?? (await this.#seen(place, once)));
      if (kept) return kept;
      const parts = await this.#intents.divide(jobs, await this.#findElsewhere(jobs));
      const full = maxWaiting !== undefined && (await this.#intents.full(parts, maxWaiting));
      if (full) return full;
      const intent = this.#intents.make(jobs, parts);
      const answer = (await home.change('intend', { intent: { ...intent }, once: once && { ...once } })) as {
        base?: number;
      };
      if (answer.base === undefined) continue; // somebody else was faster with the same key
      this.#shards.seen(answer.base + intent.count);
      return this.#intents.fulfil(place, intent.id, answer.base, parts, once !== undefined);
    }
  }

  /** A tick whose jobs are not all in the shard of its schedule: that one decides, and writes down what is to be done. */
  async #fireSplit(firing: Firing, place: number): Promise<Result> {
    const home = this.#shards.at(place);
    const parts = await this.#intents.divide(firing.jobs, await this.#findElsewhere(firing.jobs));
    const intent = this.#intents.make(firing.jobs, parts);
    const nothing = packAdd([{ jobs: [] }], home.ids);
    const request = { ...nothing, firings: [{ ...tickOf(firing), intent: { ...intent } }] };
    const [result] = toResults([{ jobs: [] }], await home.change('fire', request), home.ids);
    if (!isIntended(result)) return result as Result;
    this.#shards.seen(result.base + intent.count);
    return this.#intents.fulfil(place, intent.id, result.base, parts, false);
  }

  /** Jobs whose own id is that of a job in another shard than theirs. */
  async #findElsewhere(jobs: readonly NewJob[]): Promise<Set<NewJob>> {
    const names = new Set(jobs.flatMap(({ id }) => (id === undefined ? [] : [id])));
    if (names.size === 0) return new Set();
    const having = await this.#shards.having('own', [...names]);
    return new Set(
      jobs.filter(({ id, queue }) => {
        const places = id === undefined ? undefined : having.get(id);
        return places !== undefined && !places.includes(this.#shards.of(queue));
      }),
    );
  }

  /** What a group is answered whose key is kept by another shard than `wanted`, which keeps it from now on otherwise. */
  async #keeper(once: Once, wanted: number): Promise<AddResult | undefined> {
    const { key, ttl } = once;
    const pointer = this.#shards.at(this.#shards.of(key));
    let instead: number | undefined;
    for (;;) {
      const request = { key, shard: wanted, instead, keep: Math.ceil(ttl) + GRACE };
      const keeper = (await pointer.ask('keeper', request)) as number;
      if (keeper === wanted) return undefined;
      const seen = await this.#seen(keeper, once);
      if (seen) return seen;
      instead = keeper;
    }
  }

  async #seen(place: number, { key, fingerprint }: Once): Promise<AddResult | undefined> {
    const shard = this.#shards.at(place);
    for (;;) {
      const answer = await shard.ask('seen', { key, fingerprint });
      if (answer === false) return undefined;
      const result = toOther(answer, shard.ids);
      if (!isIntended(result)) return result as AddResult;
      await this.#intents.resume(place, result.intent);
    }
  }
}

function tickOf({ key, tick, nextAt }: Firing) {
  return { key, tick, nextAt: nextAt === undefined ? undefined : Math.ceil(nextAt) };
}
