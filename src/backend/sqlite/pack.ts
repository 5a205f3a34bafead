/** The caller's side of the wire: batches into blocks, and blocks into jobs. Throws before anything has left. */
import type { AddGroup, AddResult, ClaimedJob, Ending, NewJob, Outcome } from '../backend.ts';
import { assertEnding, assertGroup, assertJob, assertOwnId, assertPayload } from '../check.ts';
import type { Ids } from '../ids.ts';
import {
  type AddAnswer,
  type AddRequest,
  type ClaimAnswer,
  type Detail,
  type Extras,
  endingKinds,
  type NewExtras,
  type Once,
  type Ref,
  type SettleRequest,
  type Template,
} from './wire.ts';

/** Packs groups; throws OPTION_INVALID for what cannot be stored, and then nothing has left. */
export function packAdd(groups: readonly AddGroup[], ids: Ids, now: number): AddRequest {
  let count = 0;
  let size = 0;
  for (const group of groups) {
    assertGroup(group);
    count += group.jobs.length;
    for (const job of group.jobs) {
      assertPayload(job);
      size += job.payload.byteLength;
    }
  }
  const templates = new Templates();
  const heads = new Int32Array(2 * groups.length);
  const jobs = new Int32Array(2 * count);
  // A byte to spare: an empty payload in an empty block would have no address, which Node 22 stores as NULL.
  const bytes = new Uint8Array(size + 1);
  const once: Once[] = [];
  const extras: NewExtras[] = [];
  let runAt: Float64Array<ArrayBuffer> | undefined;
  let at = 0;
  let end = 0;
  groups.forEach((group, i) => {
    heads[2 * i] = group.jobs.length;
    heads[2 * i + 1] = group.maxWaiting === undefined ? -1 : Math.min(group.maxWaiting, 2 ** 31 - 1);
    if (group.once) once.push({ group: i, ...group.once });
    for (const job of group.jobs) {
      if (job.runAt !== undefined) {
        runAt ??= new Float64Array(count).fill(now);
        runAt[at] = Math.ceil(job.runAt);
      }
      if (hasExtras(job)) extras.push(toExtras(job, at, ids));
      jobs[2 * at] = templates.indexOf(job);
      jobs[2 * at + 1] = job.payload.byteLength;
      bytes.set(job.payload, end);
      end += job.payload.byteLength;
      at++;
    }
  });
  return {
    kind: 'add',
    now,
    templates: templates.list,
    groups: heads,
    jobs,
    bytes,
    once,
    ...(runAt && { runAt }),
    ...(extras.length > 0 && { extras }),
  };
}

function hasExtras({ id, key, tags, headers, unique, keepFor }: NewJob): boolean {
  return (
    id !== undefined ||
    key !== undefined ||
    unique !== undefined ||
    keepFor !== undefined ||
    hasAny(tags) ||
    hasAny(headers)
  );
}

function hasAny<T extends object>(facts: T | undefined): facts is T {
  return facts !== undefined && Object.keys(facts).length > 0;
}

function toExtras({ id, key, tags, headers, unique, keepFor }: NewJob, at: number, ids: Ids): NewExtras {
  if (id !== undefined) assertOwnId(id, ids);
  return {
    at,
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(hasAny(tags) && { tags }),
    ...(hasAny(headers) && { headers }),
    ...(unique && { unique }),
    ...(keepFor !== undefined && { keepFor }),
  };
}

/** The distinct templates of a batch, in order of first use. A batch is mostly of one kind: the last one is tried first. */
class Templates {
  readonly list: Template[] = [];
  readonly #indexes = new Map<string, number>();
  #last: NewJob | undefined;
  #lastIndex = -1;

  indexOf(job: NewJob): number {
    const last = this.#last;
    const isSame =
      last !== undefined &&
      last.queue === job.queue &&
      last.name === job.name &&
      last.priority === job.priority &&
      last.maxAttempts === job.maxAttempts;
    if (!isSame) {
      assertJob(job);
      this.#last = job;
      this.#lastIndex = this.#find([job.queue, job.name, job.priority, job.maxAttempts]);
    }
    return this.#lastIndex;
  }

  #find(template: Template): number {
    const key = JSON.stringify(template);
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    this.#indexes.set(key, this.list.length);
    return this.list.push(template) - 1;
  }
}

export function toResult(answer: AddAnswer[number], limit: number, ids: Ids): AddResult {
  switch (answer[0]) {
    case 2:
      return { status: 'mismatch' };
    case 3:
      return { status: 'full', queue: answer[1], waiting: answer[2], limit };
    case 4: {
      const [, refs, existing] = answer;
      const stored = refs.map((ref) => toId(ref, ids));
      return existing.length > 0 ? { status: 'stored', ids: stored, existing } : { status: 'stored', ids: stored };
    }
    case 5:
      return { status: 'repeated', ids: answer[1].map((ref) => toId(ref, ids)) };
    default: {
      const [repeated, first, count] = answer;
      const stored: string[] = [];
      for (let i = 0; i < count; i++) stored.push(ids.format(first + i));
      return { status: repeated ? 'repeated' : 'stored', ids: stored };
    }
  }
}

export function toId(ref: Ref, ids: Ids): string {
  return typeof ref === 'string' ? ref : ids.format(ref);
}

export function toRef(id: string, ids: Ids): Ref {
  const number = ids.parse(id);
  return number >= 0 ? number : id;
}

/** The payloads are views into the one block that came: a job that is kept keeps the block of its claim. */
export function toClaimed({ templates, times, jobs, bytes, extras }: ClaimAnswer, ids: Ids): ClaimedJob[] {
  const claimed: ClaimedJob[] = [];
  let end = 0;
  for (let i = 0; 5 * i < jobs.length; i++) {
    const [queue, name, priority, maxAttempts] = templates[jobs[5 * i] as number] as Template;
    const start = end;
    end += jobs[5 * i + 4] as number;
    claimed.push({
      id: ids.format(times[3 * i] as number),
      queue,
      name,
      payload: bytes.subarray(start, end),
      priority,
      attempt: jobs[5 * i + 1] as number,
      maxAttempts,
      crashes: jobs[5 * i + 2] as number,
      claim: jobs[5 * i + 3] as number,
      addedAt: times[3 * i + 1] as number,
      runAt: times[3 * i + 2] as number,
    });
  }
  // An id that the caller gave stands among the extras, and takes the place of ours.
  for (const [at, text] of extras ?? []) Object.assign(claimed[at] as ClaimedJob, JSON.parse(text) as Extras);
  return claimed;
}

/** Packs outcomes; throws OPTION_INVALID for a moment that is none. */
export function packSettle(server: string, outcomes: readonly Outcome[], ids: Ids, now: number): SettleRequest {
  const numbers = new Float64Array(outcomes.length);
  const claims = new Int32Array(outcomes.length);
  const kinds = new Uint8Array(outcomes.length);
  const details: Detail[] = [];
  const own: (readonly [number, string])[] = [];
  const results: (readonly [number, Uint8Array])[] = [];
  outcomes.forEach(({ id, claim, ending }, i) => {
    const number = ids.parse(id);
    numbers[i] = number;
    if (number < 0) own.push([i, id]);
    claims[i] = claim;
    kinds[i] = endingKinds.indexOf(ending.kind);
    if (ending.kind === 'completed') {
      // A copy: the view may be of a pool, and all of that would be cloned.
      if (ending.result) results.push([i, Uint8Array.from(ending.result)]);
    } else if (ending.kind !== 'returned') details.push(toDetail(ending));
  });
  return {
    kind: 'settle',
    now,
    server,
    numbers,
    claims,
    kinds,
    details,
    ...(own.length > 0 && { own }),
    ...(results.length > 0 && { results }),
  };
}

function toDetail(ending: Ending): Detail {
  assertEnding(ending);
  const at = ending.kind === 'snoozed' ? ending.runAt : ending.kind === 'failed' ? ending.retryAt : undefined;
  return { at: at === undefined ? null : Math.ceil(at), error: 'error' in ending ? ending.error : null };
}
