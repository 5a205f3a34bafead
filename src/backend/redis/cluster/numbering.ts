/**
 * The events of a cluster of shards, with numbers that go up by one over all of them.
 *
 * Events stay in the shards that recorded them, with the shard's own numbers. Who reads first gives numbers to what has none
 * yet, in order of time, and one shard keeps which runs of events have which numbers. It takes them only from whoever knows how
 * far it has come, so no event gets two. Nobody reads: nobody pays.
 *
 * A read costs a call per shard, and two or three more.
 */
import type { JobEvent, JobEvents } from '../../records.ts';
import { decode, encode } from '../msgpack.ts';
import { toEvent } from '../shown.ts';
import type { Shards } from './shards.ts';

/** Events of one shard that get their numbers at once, and runs that are read at once. */
const MANY = 1_000;
/** A shard that may have lost some of its numbers leaves out so many; nothing happened to those. See ../lua/renew.lua. */
const LEAP = 2 ** 30;
/** The shard that keeps the numbers. */
const KEEPER = 0;

/** Neighbours in one shard: `from`, its own number, is event `first`, and so on. */
type Run = readonly [first: number, shard: number, from: number, count: number];

interface Runs {
  readonly runs: readonly Run[];
  readonly last: number;
  readonly cursors: Buffer | false;
}

/** Events of one shard behind its cursor. */
interface Told {
  readonly found: readonly number[];
  readonly first: number;
  readonly last: number;
}

export class Numbering {
  readonly #shards: Shards;

  constructor(shards: Shards) {
    this.#shards = shards;
  }

  async read(after: number | undefined, limit: number): Promise<JobEvents> {
    while (!(await this.#enumerate()));
    return after === undefined ? this.#last(limit) : this.#behind(after, limit);
  }

  /** True when all events have numbers. */
  async #enumerate(): Promise<boolean> {
    const { cursors: before } = await this.#runs({ limit: 0 });
    const cursors = before ? (decode(before) as number[]) : [];
    const told = (await Promise.all(
      this.#shards.all.map((shard, i) => shard.ask('told', { after: cursors[i] ?? 0, limit: MANY })),
    )) as unknown as Told[];
    // A shard with more than it could tell: what happened behind that waits for the next round.
    const until = Math.min(...told.map(({ found }) => (isCut(found) ? latest(found) : Infinity)));
    const { runs, ends } = runsOf(told, cursors, until);
    const isAll = until === Infinity;
    if (runs.length === 0 && isAll) return true;
    const request = { before: before || '', cursors: encode(ends), runs, kept: told.map(({ first }) => first) };
    return ((await this.#shards.at(KEEPER).change('enumerate', request)) as boolean) && isAll;
  }

  async #behind(after: number, limit: number): Promise<JobEvents> {
    const events: JobEvent[] = [];
    for (let from = after; ; ) {
      const { runs, last } = await this.#runs({ after: from, limit: MANY });
      const some = runs.map((run) => behind(run, from));
      events.push(...(await this.#fetch(some, limit - events.length, false)));
      const end = runs.at(-1);
      if (events.length >= limit || runs.length < MANY || !end) {
        const reached = events.length === limit ? (events.at(-1)?.number ?? after) : last;
        // Numbers are given without a gap, so each one that is not here was dropped.
        return { events, last: reached, missed: reached - after > events.length };
      }
      from = end[0] + end[3] - 1;
    }
  }

  async #last(limit: number): Promise<JobEvents> {
    let events: JobEvent[] = [];
    for (let before = Number.MAX_SAFE_INTEGER, latest: number | undefined; ; ) {
      const { runs, last } = await this.#runs({ before, limit: MANY });
      latest ??= last;
      events = [...(await this.#fetch(runs, limit - events.length, true)), ...events];
      if (events.length >= limit || runs.length < MANY) return { events, last: latest, missed: false };
      before = (runs[0] as Run)[0];
    }
  }

  /** The first or last `limit` of the events of these runs that are still there. */
  async #fetch(runs: readonly Run[], limit: number, isLast: boolean): Promise<JobEvent[]> {
    const places = [...new Set(runs.map(([, shard]) => shard))];
    const lists = await Promise.all(
      places.map(async (place) => {
        const mine = runs.filter(([, shard]) => shard === place);
        const [, , from] = mine[0] as Run;
        const [, , start, count] = mine.at(-1) as Run;
        const shard = this.#shards.at(place);
        const request = { after: from - 1, to: start + count - 1, limit, isLast };
        const { events } = (await shard.ask('events', request)) as unknown as { events: Buffer[] };
        return numbered(
          events.map((packed) => toEvent(packed, shard.ids)),
          mine,
        );
      }),
    );
    const all = lists.flat().sort((a, b) => a.number - b.number);
    return isLast ? all.slice(Math.max(0, all.length - limit)) : all.slice(0, limit);
  }

  async #runs(request: { readonly after?: number; readonly before?: number; readonly limit: number }): Promise<Runs> {
    return (await this.#shards.at(KEEPER).ask('runs', request)) as unknown as Runs;
  }
}

/** The runs that all these events make in order of time, each with how many before it were dropped; and how far each shard is then. */
function runsOf(told: readonly Told[], cursors: readonly number[], until: number) {
  const waiting: { shard: number; number: number; stamp: number }[] = [];
  for (const [shard, { found }] of told.entries()) {
    let stamp = 0;
    for (let i = 0; i < found.length; i += 2) {
      // Those of a call of several shards may come behind others' that are later.
      stamp = Math.max(stamp, found[i + 1] as number);
      if (stamp <= until) waiting.push({ shard, number: found[i] as number, stamp });
    }
  }
  waiting.sort((a, b) => a.stamp - b.stamp || a.shard - b.shard || a.number - b.number);
  const ends = told.map((_, shard) => cursors[shard] ?? 0);
  const runs: [shard: number, gap: number, from: number, count: number][] = [];
  for (const { shard, number } of waiting) {
    const gap = (number - (ends[shard] as number) - 1) % LEAP;
    const last = runs.at(-1);
    if (last && last[0] === shard && gap === 0) last[3]++;
    else runs.push([shard, gap, number, 1]);
    ends[shard] = number;
  }
  for (const [shard, { found, last }] of told.entries()) {
    const end = ends[shard] as number;
    const isBehind = isCut(found) || (found.length > 0 && (found.at(-2) as number) > end);
    // All between were dropped; or a server that lost its last moments has gone back.
    if (isBehind || last === end) continue;
    if (last > end) runs.push([shard, (last - end) % LEAP, last + 1, 0]);
    ends[shard] = last;
  }
  return { runs, ends };
}

/** Whether there may be more than the shard could tell at once. */
function isCut(found: Told['found']): boolean {
  return found.length === 2 * MANY;
}

function latest(found: Told['found']): number {
  let stamp = 0;
  for (let i = 1; i < found.length; i += 2) stamp = Math.max(stamp, found[i] as number);
  return stamp;
}

/** The part of the run that has higher numbers. */
function behind([first, shard, from, count]: Run, number: number): Run {
  const before = Math.max(0, number + 1 - first);
  return [first + before, shard, from + before, count - before];
}

/** Events of one shard, in order, with the numbers that they have in the cluster; without those that have none. */
function numbered(events: readonly JobEvent[], runs: readonly Run[]): JobEvent[] {
  let at = 0;
  return events.flatMap((event) => {
    for (;;) {
      const run = runs[at];
      if (!run) return [];
      const [first, , from, count] = run;
      if (event.number < from) return [];
      if (event.number < from + count) return [{ ...event, number: first + event.number - from }];
      at++;
    }
  });
}
