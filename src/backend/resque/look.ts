/**
 * Looking at jobs on the wire of Resque, a bounded number at a time:
 *
 *   failed ─▶ with workers (also with those of peers) ─▶ each queue, by its name ─▶ delayed, by their time
 *
 * Within each in the order of its list. The lists move while somebody looks, so a page may show a job again or miss one that
 * moved. Costs one read per thousand jobs.
 */

import { assertOption } from '../../errors.ts';
import type { JobState } from '../../job/state.ts';
import { type JobFilter, scanLimit } from '../filter.ts';
import type { AttemptError, JobRecord } from '../records.ts';
import type { Received } from '../redis/msgpack.ts';
import { queueOf } from './payload.ts';
import { delayed, type Frame, failed, inQueue, running, type Seen } from './seen.ts';

export interface LookOptions {
  /** Sends a command about keys, which are named without the namespace. */
  readonly command: (name: string, keys: readonly string[], ...args: string[]) => Promise<unknown>;
  /** The first note on each of these jobs. */
  readonly notes: (ids: readonly string[]) => Promise<(Received[] | false)[]>;
  readonly attempts: number;
  readonly now: () => number;
}

/** Where to go on. `place`: failed, workers, queue:<name>, delayed, or delayed:<seconds> in the middle of one. */
interface Cursor {
  readonly place: string;
  readonly offset: number;
}

export interface Found extends Seen {
  /** Where to go on behind it. */
  readonly behind: Cursor;
}

interface Step {
  readonly found: readonly Found[];
  /** Entries that were gone through. */
  readonly read: number;
  /** Absent: the next place. */
  readonly next?: Cursor;
}

/** Jobs of one state and queue. */
export type Tally = Partial<Record<JobState, number>>;

const CHUNK = 1_000;

export class Look {
  readonly #options: LookOptions;

  constructor(options: LookOptions) {
    this.#options = options;
  }

  /** @param after `next` of the page before */
  async page(filter: JobFilter, after: string | undefined, limit: number): Promise<{ found: Found[]; next?: string }> {
    const places = await this.#places(filter);
    const found: Found[] = [];
    let cursor: Cursor | undefined = after === undefined ? start(places[0]) : parse(after);
    for (let left = scanLimit; cursor && found.length < limit && left > 0; ) {
      const size = Math.min(CHUNK, left, filter.ids || filter.name ? CHUNK : limit - found.length);
      const step: Step = await this.#step(cursor, size);
      const matching = await this.#matching(step.found, filter);
      found.push(...matching.slice(0, limit - found.length));
      if (found.length === limit && matching.at(-1) !== found.at(-1)) return { found, next: print(last(found)) };
      left -= Math.max(1, step.read);
      cursor = step.next ?? start(following(places, cursor.place));
    }
    return cursor ? { found, next: print(cursor) } : { found };
  }

  /** Where to go on when these, which were before it, were taken away. */
  after(next: string, gone: readonly Seen[]): string {
    const { place, offset } = parse(next);
    const before = gone.filter(({ from }) => from === place).length;
    return print({ place, offset: Math.max(0, offset - before) });
  }

  /** Of every queue the jobs that are not in it, as far as `scanLimit` goes in each place. */
  async tally(): Promise<Map<string, Tally>> {
    const all = new Map<string, Tally>();
    const states: JobState[][] = [['discarded', 'cancelled', 'quarantined'], ['running'], ['scheduled', 'retryable']];
    for (const some of states) {
      const { found } = await this.page({ states: some }, undefined, scanLimit);
      for (const { job } of found) {
        const its = all.get(job.queue) ?? {};
        its[job.state] = (its[job.state] ?? 0) + 1;
        all.set(job.queue, its);
      }
    }
    return all;
  }

  /** Those where something that matches can be. */
  async #places({ states, queue, ids }: JobFilter): Promise<string[]> {
    const has = (...some: JobState[]) => !states || some.some((state) => states.includes(state));
    const places = [
      ...(has('discarded', 'cancelled', 'quarantined') ? ['failed'] : []),
      ...(has('running') ? ['workers'] : []),
    ];
    if (has('available')) {
      const names = ((await this.#options.command('SMEMBERS', ['queues'])) as Buffer[]).map(String).sort();
      const meant = ids && new Set(ids.map(queueOf));
      const wanted = names.filter((name) => (queue === undefined || name === queue) && (!meant || meant.has(name)));
      places.push(...wanted.map((name) => `queue:${name}`));
    }
    return has('scheduled', 'retryable') ? [...places, 'delayed'] : places;
  }

  async #step({ place, offset }: Cursor, size: number): Promise<Step> {
    const frame = { now: this.#options.now(), maxAttempts: this.#options.attempts };
    if (place === 'workers') return this.#workers(offset, size, frame);
    if (place.startsWith('delayed')) return this.#delayed(place, offset, size, frame);
    const entries = await this.#range(place, offset, size);
    const queue = place.slice('queue:'.length);
    const show = (entry: Buffer) => (place === 'failed' ? failed(entry, frame) : inQueue(queue, entry, frame));
    const next = entries.length === size ? { next: { place, offset: offset + size } } : {};
    return { found: placed(entries.map(show), place, offset), read: entries.length, ...next };
  }

  async #workers(offset: number, size: number, frame: Frame): Promise<Step> {
    const all = ((await this.#options.command('SMEMBERS', ['workers'])) as Buffer[]).map(String).sort();
    const names = all.slice(offset, offset + size);
    const keys = names.map((name) => `worker:${name}`);
    const records = keys.length > 0 ? ((await this.#options.command('MGET', keys)) as (Buffer | null)[]) : [];
    const seen = records.map((record, i) => (record ? running(names[i] as string, record, frame) : undefined));
    const isMore = all.length > offset + size;
    return {
      found: placed(seen, 'workers', offset),
      read: names.length,
      ...(isMore && { next: { place: 'workers', offset: offset + size } }),
    };
  }

  async #delayed(place: string, offset: number, size: number, frame: Frame): Promise<Step> {
    const [, from = '-inf'] = place.split(':');
    const range = [from, '+inf', 'LIMIT', '0', '101'];
    const moments = (
      (await this.#options.command('ZRANGEBYSCORE', ['delayed_queue_schedule'], ...range)) as Buffer[]
    ).map(String);
    // A place that is empty by now may not be among them, and then nothing was gone through there.
    const begin = (seconds: string) => (seconds === from ? offset : 0);
    const some = moments.slice(0, 100);
    const lists = await Promise.all(some.map((seconds) => this.#range(`delayed:${seconds}`, begin(seconds), size)));
    const found: Found[] = [];
    let read = 0;
    for (const [i, seconds] of some.entries()) {
      const items = (lists[i] as Buffer[]).slice(0, size - read);
      const key = `delayed:${seconds}`;
      const seen = items.map((item) => delayed(seconds, item, frame));
      found.push(...placed(seen, key, begin(seconds)));
      read += items.length;
      if (read === size) return { found, read, next: { place: key, offset: begin(seconds) + items.length } };
    }
    const next = moments[100];
    return next === undefined ? { found, read } : { found, read, next: { place: `delayed:${next}`, offset: 0 } };
  }

  async #range(key: string, offset: number, size: number): Promise<Buffer[]> {
    return (await this.#options.command('LRANGE', [key], String(offset), String(offset + size - 1))) as Buffer[];
  }

  /** With what is noted of them. */
  async #matching(all: readonly Found[], filter: JobFilter): Promise<Found[]> {
    const ids = filter.ids && new Set(filter.ids);
    const some = all.filter(({ job }) => matches(job, filter, ids));
    const isNoted = ({ job: { state } }: Found) => state === 'available' || state === 'scheduled';
    const names = some.filter(isNoted).map(({ job }) => job.id);
    const notes = names.length > 0 ? await this.#options.notes(names) : [];
    let at = 0;
    const noted = some.map((found) => {
      const note = isNoted(found) && notes[at++];
      return note ? { ...found, job: amended(found.job, note) } : found;
    });
    return noted.filter(({ job }) => !filter.states || filter.states.includes(job.state));
  }
}

function placed(seen: readonly (Seen | undefined)[], place: string, offset: number): Found[] {
  return seen.flatMap((its, i) => (its ? [{ ...its, behind: { place, offset: offset + i + 1 } }] : []));
}

/** What can be told without the notes. */
function matches(job: JobRecord, filter: JobFilter, ids: ReadonlySet<string> | undefined): boolean {
  const { queue, name, key, tag, addedFrom, addedBefore, error } = filter;
  const text = error?.toLowerCase();
  return (
    (!ids || ids.has(job.id)) &&
    (queue === undefined || job.queue === queue) &&
    (name === undefined || job.name === name) &&
    key === undefined &&
    tag === undefined &&
    (addedFrom === undefined || job.addedAt >= addedFrom) &&
    (addedBefore === undefined || job.addedAt < addedBefore) &&
    (text === undefined || (job.errors.at(-1)?.message.toLowerCase().includes(text) ?? false))
  );
}

function amended(job: JobRecord, [attempt, crashes, , error]: Received[]): JobRecord {
  const isFailed = (attempt as number) > 1;
  return {
    ...job,
    state: job.state === 'scheduled' && (isFailed || (crashes as number) > 0) ? 'retryable' : job.state,
    attempt: attempt as number,
    crashes: crashes as number,
    maxAttempts: Math.max(attempt as number, job.maxAttempts),
    errors: error ? [JSON.parse(String(error)) as AttemptError] : [],
  };
}

function start(place: string | undefined): Cursor | undefined {
  return place === undefined ? undefined : { place, offset: 0 };
}

function following(places: readonly string[], place: string): string | undefined {
  const all = places.map((each) => (place.startsWith('delayed') && each === 'delayed' ? place : each));
  return places[all.indexOf(place) + 1];
}

function last(found: readonly Found[]): Cursor {
  return (found.at(-1) as Found).behind;
}

function print({ place, offset }: Cursor): string {
  return `${offset} ${place}`;
}

function parse(text: string): Cursor {
  const [, offset, place] = /^(\d{1,15}) (failed|workers|queue:.+|delayed(?::\d+)?)$/s.exec(text) ?? [];
  assertOption('after', text, place !== undefined, 'the `next` of a page');
  return { place: place as string, offset: Number(offset) };
}
