/**
 * Where jobs stand, and what that says of them. The wire has no place for what has completed, and no order over
 * all places: a look goes from place to place, in each in the order in which jobs leave it.
 *
 *   held  what our servers run     queue:<name>  available     schedule, retry, dead, and our own cancelled  over all queues
 */

import { assertOption } from '../../errors.ts';
import type { JobState } from '../../job/state.ts';
import type { JobFilter } from '../filter.ts';
import type { JobRecord, LogLine } from '../records.ts';
import { decode } from '../redis/msgpack.ts';
import { readJob, type WireJob } from './wire.ts';

export interface Place {
  readonly name: 'held' | 'queue' | 'schedule' | 'retry' | 'dead' | 'cancelled';
  /** Only of a queue's list. */
  readonly queue: string;
}

const states = {
  held: 'running',
  queue: 'available',
  schedule: 'scheduled',
  retry: 'retryable',
  dead: 'discarded',
  cancelled: 'cancelled',
} as const satisfies Record<Place['name'], JobState>;

/** Those where a job that matches may stand, in the order of a look. @param queues those that have a list */
export function placesOf({ queue, states: wanted }: JobFilter, queues: readonly string[]): readonly Place[] {
  const lists = queues.filter((name) => queue === undefined || name === queue).sort();
  const all: Place[] = [
    { name: 'held', queue: '' },
    ...lists.map((name): Place => ({ name: 'queue', queue: name })),
    { name: 'schedule', queue: '' },
    { name: 'retry', queue: '' },
    { name: 'dead', queue: '' },
    { name: 'cancelled', queue: '' },
  ];
  return wanted ? all.filter(({ name }) => wanted.includes(states[name])) : all;
}

/** `retry:200`, `queue:17:mail`: behind the first so many of a place. */
export function writeCursor({ name, queue }: Place, from: number): string {
  return name === 'queue' ? `${name}:${from}:${queue}` : `${name}:${from}`;
}

/** Where to go on in `places`: the place may be gone, then with the one behind it. */
export function readCursor(after: string, places: readonly Place[]): { readonly index: number; readonly from: number } {
  const [, name = '', digits = '', queue = ''] =
    /^(held|queue|schedule|retry|dead|cancelled):(\d+)(?::(.+))?$/s.exec(after) ?? [];
  assertOption('after', after, name !== '', 'the `next` of a page');
  const exact = places.findIndex((place) => place.name === name && place.queue === queue);
  if (exact >= 0) return { index: exact, from: Number(digits) };
  const order = Object.keys(states);
  const behind = places.findIndex((place) =>
    place.name === name ? place.queue > queue : order.indexOf(place.name) > order.indexOf(name),
  );
  return { index: behind < 0 ? places.length : behind, from: 0 };
}

/** As `look` gives it. `mark`: the score of a set's member, or the claim of what is held. */
export interface Found {
  readonly raw: Buffer;
  readonly place: Place;
  readonly job: WireJob;
  readonly record: JobRecord;
  readonly server: string | undefined;
  readonly claim: number;
}

type Row = readonly [raw: Buffer, mark?: number, server?: Buffer, queue?: Buffer, at?: number, note?: Buffer | false];

/** Undefined for what no reader of jobs can read. */
export function readRow(row: Row, place: Place): Found | undefined {
  const [raw, mark = 0, holder, heldQueue, startedAt, note] = row;
  const job = readJob(raw);
  if (!job) return undefined;
  const isOver = hasEnded(place);
  const isTimed = place.name === 'schedule' || place.name === 'retry';
  const addedAt = job.createdAt ?? job.enqueuedAt ?? 0;
  const at = Math.round(mark * 1_000);
  const notes = note ? (decode(note, 'text') as { progress?: string; log?: LogLine[] }) : {};
  const server = holder && String(holder);
  const record: JobRecord = {
    id: job.id,
    queue: heldQueue ? String(heldQueue) : place.name === 'queue' ? place.queue : (job.queue ?? 'default'),
    name: job.name,
    state: states[place.name],
    payload: job.payload,
    priority: onlyPriority,
    attempt: place.name === 'dead' ? Math.max(1, job.attempt - 1) : job.attempt,
    maxAttempts: job.maxAttempts,
    crashes: 0,
    addedAt,
    runAt: isTimed ? at : (job.enqueuedAt ?? addedAt),
    errors: job.error ? [job.error] : [],
    ...(startedAt !== undefined && { startedAt }),
    ...(isOver && { endedAt: at }),
    ...(server !== undefined && { server }),
    ...(job.tags && { tags: job.tags }),
    ...(job.headers && { headers: job.headers }),
    ...(notes.progress !== undefined && { progress: notes.progress }),
    ...(notes.log && notes.log.length > 0 && { log: notes.log }),
  };
  return { raw, place, job, record, server, claim: mark };
}

/** Whether jobs there have ended. */
export function hasEnded({ name }: Place): boolean {
  return name === 'dead' || name === 'cancelled';
}

/** The wire has no priorities: every job has that of a definition which says nothing. */
export const onlyPriority = 4;

/** Whether all of the filter but its error and payload holds. */
export function matches(filter: JobFilter, { id, queue, name, tags, addedAt }: JobRecord): boolean {
  if (filter.ids && !filter.ids.includes(id)) return false;
  if (filter.queue !== undefined && filter.queue !== queue) return false;
  if (filter.name !== undefined && filter.name !== name) return false;
  if (filter.key !== undefined) return false;
  if (filter.tag !== undefined && !tags?.includes(filter.tag)) return false;
  if (filter.addedFrom !== undefined && addedAt < filter.addedFrom) return false;
  return filter.addedBefore === undefined || addedAt < filter.addedBefore;
}
