/** Batches of jobs as the script of `add` takes them, and its answer as ids. Throws before anything has left. */
import type { AddGroup, AddResult, NewJob, Unique } from '../backend.ts';
import { assertGroup, assertJob, assertOwnId, assertPayload } from '../check.ts';
import type { Ids } from '../ids.ts';
import type { Received, Sendable } from './msgpack.ts';

/** Asked of `add` and `fire`; places count from 1, as Lua does. */
export interface AddRequest {
  readonly templates: readonly (readonly [queue: string, name: string, priority: number, maxAttempts: number])[];
  readonly jobs: readonly number[];
  readonly payloads: readonly Uint8Array[];
  readonly groups: readonly number[];
  readonly more?: Sendable;
  readonly limits?: Sendable;
  readonly once?: Sendable;
}

/**
 * @param elsewhere jobs with an id of their own that another shard has
 * @throws OPTION_INVALID for what cannot be stored
 */
export function packAdd(
  groups: readonly AddGroup[],
  ids: Ids,
  elsewhere: ReadonlySet<NewJob> = new Set(),
): AddRequest & { readonly [name: string]: Sendable } {
  const templates = new Templates();
  const jobs: number[] = [];
  const payloads: Uint8Array[] = [];
  const more = new Map<number, Sendable>();
  const limits = new Map<number, Sendable>();
  const once = new Map<number, Sendable>();
  groups.forEach((group, i) => {
    assertGroup(group);
    if (group.maxWaiting !== undefined) limits.set(i + 1, group.maxWaiting);
    if (group.once) once.set(i + 1, { ...group.once });
    for (const job of group.jobs) {
      jobs.push(templates.placeOf(job));
      payloads.push(job.payload);
      const rest = restOf(job, ids);
      if (rest) more.set(jobs.length, elsewhere.has(job) ? { ...rest, elsewhere: true } : rest);
    }
  });
  return {
    templates: templates.list,
    jobs,
    payloads,
    groups: groups.map((group) => group.jobs.length),
    ...(more.size > 0 && { more: sparse(more) }),
    ...(limits.size > 0 && { limits: sparse(limits) }),
    ...(once.size > 0 && { once: sparse(once) }),
  };
}

/**
 * `stale`: a tick that was not the schedule's next; `gone`: there is no such schedule. `intended`: the group is on its way to several shards, as `intent`; or, the
 * answer to a firing, was sent there, with stamps from `base` on.
 */
export type Result =
  | AddResult
  | { readonly status: 'stale' | 'gone' }
  | { readonly status: 'intended'; readonly intent: string; readonly base: number };

/** What became of each group. */
export function toResults(
  groups: readonly { readonly jobs: readonly { readonly id?: string | undefined }[] }[],
  answer: Received,
  ids: Ids,
): Result[] {
  const { first, existing, others } = answer as { first?: number; existing: [number, Received][]; others: [] };
  const before = new Map<number, Received>(existing);
  const refused = new Map<number, Received>(others);
  let number = first ?? 0;
  let place = 0;
  return groups.map(({ jobs }, i) => {
    const other = refused.get(i + 1);
    if (other !== undefined) {
      place += jobs.length;
      return toOther(other, ids);
    }
    const found: number[] = [];
    const given = jobs.map((job, at) => {
      place++;
      const ref = before.get(place);
      if (ref === undefined) {
        const fresh = number++;
        return job.id ?? ids.format(fresh);
      }
      found.push(at);
      return toId(ref, ids);
    });
    return found.length > 0 ? { status: 'stored', ids: given, existing: found } : { status: 'stored', ids: given };
  });
}

/** What the scripts know a job by. */
export function toRef(id: string, ids: Ids): string | number {
  const number = ids.parse(id);
  return number < 0 ? id : number;
}

export function toId(ref: Received, ids: Ids): string {
  return typeof ref === 'number' ? ids.format(ref) : String(ref);
}

/** What became of a group whose jobs were not stored. */
export function toOther(other: Received, ids: Ids): Result {
  const { status, ...rest } = other as { status: Buffer; refs?: Received[]; queue?: Buffer; intent?: Buffer } & Record<
    string,
    number
  >;
  switch (String(status)) {
    case 'repeated':
      return { status: 'repeated', ids: (rest.refs ?? []).map((ref) => toId(ref, ids)) };
    case 'full':
      return {
        status: 'full',
        queue: String(rest.queue),
        waiting: rest.waiting as number,
        limit: rest.limit as number,
      };
    case 'mismatch':
      return { status: 'mismatch' };
    case 'intended':
      return { status: 'intended', intent: String(rest.intent), base: rest.base as number };
    case 'gone':
      return { status: 'gone' };
    default:
      return { status: 'stale' };
  }
}

/** A table of Lua that has only some places: a map with numbers for names would arrive with texts for names. */
function sparse(map: ReadonlyMap<number, Sendable>): Sendable {
  return [...map].flat(1) as Sendable;
}

/** Distinct jobs but for what differs from job to job; they are checked once each. */
class Templates {
  readonly list: (readonly [string, string, number, number])[] = [];
  readonly #places = new Map<string, number>();
  #last: NewJob | undefined;
  #place = 0;

  placeOf(job: NewJob): number {
    const last = this.#last;
    const { queue, name, priority, maxAttempts } = job;
    const isSame =
      last !== undefined &&
      last.queue === queue &&
      last.name === name &&
      last.priority === priority &&
      last.maxAttempts === maxAttempts;
    if (isSame) assertPayload(job);
    else {
      assertJob(job);
      const key = JSON.stringify([queue, name, priority, maxAttempts]);
      this.#place = this.#places.get(key) ?? this.list.push([queue, name, priority, maxAttempts]);
      this.#places.set(key, this.#place);
      this.#last = job;
    }
    return this.#place;
  }
}

function restOf({ runAt, id, key, tags, headers, unique, keepFor }: NewJob, ids: Ids) {
  if (id !== undefined) assertOwnId(id, ids);
  const facts = {
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(tags && tags.length > 0 && { tags }),
    ...(headers && Object.keys(headers).length > 0 && { headers }),
    ...(keepFor !== undefined && { keepFor }),
  };
  const hasFacts = Object.keys(facts).length > 0;
  if (!hasFacts && runAt === undefined && unique === undefined) return undefined;
  return {
    ...(runAt !== undefined && { runAt: Math.ceil(runAt) }),
    ...(hasFacts && { facts }),
    ...(unique && { unique: ruleOf(unique) }),
  };
}

function ruleOf({ key, mode, states, period }: Unique): Sendable {
  return { key, mode, states, ...(period !== undefined && { period }) };
}
