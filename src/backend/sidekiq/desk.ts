/**
 * Looking, counting and acting from outside. A look reads at most `scanLimit` jobs and then says where to go on; one for an id reads until it has
 * found it, because the wire has no index: O(all jobs) in the worst case, like Sidekiq's own `find_job`.
 *
 * An action takes each job from where it stands and puts it elsewhere in one step of Redis; one that was taken by somebody else meanwhile
 * is left alone and not counted.
 */

import { type JobState, jobStates } from '../../job/state.ts';
import { type Action, type JobFilter, type Page, scanLimit } from '../filter.ts';
import type { Calls } from '../redis/calls.ts';
import type { Received, Sendable } from '../redis/msgpack.ts';
import { restOf } from '../redis/search.ts';
import { type Found, hasEnded, matches, type Place, placesOf, readCursor, readRow, writeCursor } from './places.ts';
import type { Command } from './scripts.ts';
import { ended, enqueued, postponed, type Version, type WireJob } from './wire.ts';

/** Jobs that are asked for at once. */
const CHUNK = 500;

/** Jobs of a set that are counted at once. */
const TALLY = 1_000;

/** How many of those found were used, and how many of these do not stand there any more. */
type Take = (found: readonly Found[], place: Place, from: number) => Promise<{ taken: number; gone: number }>;

export class Desk {
  readonly #calls: Calls<Command>;
  readonly #version: Version;

  constructor(calls: Calls<Command>, version: Version) {
    this.#calls = calls;
    this.#version = version;
  }

  /** Jobs that match, at most `limit`, and where to go on. */
  async find(filter: JobFilter, page: Page, limit: number): Promise<{ found: readonly Found[]; next?: string }> {
    const all: Found[] = [];
    const next = await this.#walk(filter, { limit, ...page }, async (some) => {
      all.push(...some);
      return { taken: some.length, gone: 0 };
    });
    return next === undefined ? { found: all } : { found: all, next };
  }

  async act(action: Action, filter: JobFilter, page: Page, limit: number): Promise<{ count: number; next?: string }> {
    let count = 0;
    const next = await this.#walk(meantBy(action, filter), { limit, ...page }, async (found, place, from) => {
      if (place.name === 'held') {
        if (action.kind === 'cancel') count += await this.#order(action.reason, found);
        return { taken: found.length, gone: 0 };
      }
      const moves = found.map(({ raw, job, record }, i) => [
        raw,
        ...this.#moveOf(action, place, job, record.queue, count + i),
      ]);
      const request = { place: place.name, queue: place.queue, from, to: from + CHUNK, jobs: moves };
      const gone = [...String(await this.#calls.change('move', request))].filter((digit) => digit === '1').length;
      count += gone;
      return { taken: found.length, gone };
    });
    return next === undefined ? { count } : { count, next };
  }

  /** Jobs by queue in a set, page by page: Redis does other things in between. */
  async tally(place: 'schedule' | 'retry' | 'dead' | 'cancelled'): Promise<Map<string, number>> {
    const all = new Map<string, number>();
    for (let from = 0; ; from += TALLY) {
      const [size, ...pairs] = (await this.#calls.ask('tally', { place, from, count: TALLY })) as [
        number,
        ...Received[],
      ];
      for (let i = 0; i < pairs.length; i += 2) {
        const queue = String(pairs[i]);
        all.set(queue, (all.get(queue) ?? 0) + (pairs[i + 1] as number));
      }
      if (size < TALLY) return all;
    }
  }

  /** What `move` is to do. */
  #moveOf(action: Action, place: Place, job: WireJob, queue: string, position: number): Sendable[] {
    const version = this.#version;
    const now = this.#calls.now();
    const isOver = hasEnded(place);
    if (action.kind === 'remove') return ['gone'];
    if (action.kind === 'retry') {
      const { at, every } = action;
      const moment = at === undefined && every === undefined ? 0 : Math.ceil((at ?? now) + position * (every ?? 0));
      if (moment <= now) return ['queue', queue, enqueued(job, queue, now, version, isOver)];
      return ['schedule', moment / 1_000, postponed(job, queue, isOver)];
    }
    return action.kind === 'cancel'
      ? ['cancelled', ended(job, queue, action.reason, 'MILLRACE_JOB_CANCELLED')]
      : ['dead', ended(job, queue, action.reason, 'MILLRACE_JOB_DISCARDED')];
  }

  async #order(reason: string, found: readonly Found[]): Promise<number> {
    const jobs = found.map(({ server = '', claim, job }) => [server, claim, job.id, reason]);
    return [...String(await this.#calls.change('order', { jobs }))].filter((digit) => digit === '1').length;
  }

  async #walk(filter: JobFilter, { after, limit = 0 }: Page, take: Take): Promise<string | undefined> {
    const rest = restOf(filter);
    const marks = filter.ids?.map((id) => Buffer.from(id));
    const queues = ((await this.#calls.ask('queues')) as [Buffer][]).map(([name]) => String(name));
    const places = placesOf(filter, queues);
    let { index, from } = after === undefined ? { index: 0, from: 0 } : readCursor(after, places);
    let left = limit;
    for (let unseen = scanLimit; index < places.length; ) {
      const place = places[index] as Place;
      if (left <= 0 || unseen <= 0) return writeCursor(place, from);
      const rows = await this.#read(place, from);
      const hits: Found[] = [];
      let used = 0;
      for (const row of rows) {
        if (hits.length === left) break;
        used++;
        if (marks && !isOwn(row[0]) && !marks.some((mark) => row[0].includes(mark))) continue;
        const found = readRow(row, place);
        if (found && matches(filter, found.record) && (rest?.(found.record) ?? true)) hits.push(found);
      }
      const { taken, gone } = hits.length === 0 ? { taken: 0, gone: 0 } : await take(hits, place, from);
      left -= taken;
      unseen -= used;
      from += used - gone;
      // What is held comes whole; of the other places a short answer is the last.
      if (used === rows.length && (place.name === 'held' || rows.length < CHUNK)) {
        index++;
        from = 0;
      }
    }
    return undefined;
  }

  async #read(place: Place, from: number): Promise<Parameters<typeof readRow>[0][]> {
    const request = { place: place.name, queue: place.queue, from, count: CHUNK };
    const rows = (await this.#calls.ask('look', request)) as unknown as Parameters<typeof readRow>[0][];
    return place.name === 'held' ? rows.slice(from) : rows;
  }
}

/** Only jobs in states that the action has a meaning for. */
function meantBy({ kind }: Action, filter: JobFilter): JobFilter {
  const { states = jobStates } = filter;
  return { ...filter, states: states.filter((state) => meanings[kind].includes(state)) };
}

const waiting: readonly JobState[] = ['available', 'scheduled', 'retryable'];
const meanings: Readonly<Record<Action['kind'], readonly JobState[]>> = {
  retry: ['scheduled', 'retryable', 'discarded', 'cancelled'],
  cancel: ['running', ...waiting],
  discard: waiting,
  remove: [...waiting, 'discarded', 'cancelled'],
};

/** Its id is made of its bytes, so it is not among them. */
const isOwn = (raw: Buffer) => !raw.includes('"jid"');
