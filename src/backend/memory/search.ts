/**
 * Which jobs a filter finds: a walk in order of arrival that goes through at most `scanLimit` of them and says where to go on.
 *
 * What runs or has ended is looked for where it stands, and ids are looked up, so that neither walks through what waits.
 */
import { assertOption } from '../../errors.ts';
import type { JobState } from '../../job/state.ts';
import { type Condition, type JobFilter, type Page, scanLimit } from '../filter.ts';
import type { EndedState } from '../settings.ts';
import type { StoredJob } from './job.ts';
import { holds, parsed } from './payload.ts';
import type { Store } from './store.ts';

export interface Found {
  readonly jobs: readonly StoredJob[];
  /** Where to go on; absent: that was all. */
  readonly next?: string;
}

/**
 * @param running all jobs that run
 * @param isWanted what of the jobs that match counts for the page
 */
export function find(
  store: Store,
  running: () => StoredJob[],
  filter: JobFilter,
  { after, limit }: Page & { readonly limit: number },
  isWanted: (job: StoredJob) => boolean = () => true,
): Found {
  const from = after === undefined ? -1 : store.ids.parse(after);
  assertOption('after', after, after === undefined || from >= 0, 'the `next` of a page');
  const matches = matcher(filter);
  const jobs: StoredJob[] = [];
  let last = from;
  let seen = 0;
  for (const job of candidates(store, running, filter, from)) {
    if (jobs.length === limit || seen === scanLimit) return { jobs, next: store.ids.format(last) };
    seen++;
    last = job.number;
    if (matches(job) && isWanted(job)) jobs.push(job);
  }
  return { jobs };
}

/** All that can match behind `from`, in order of arrival, and perhaps others. */
function candidates(
  store: Store,
  running: () => StoredJob[],
  { ids, queue, states }: JobFilter,
  from: number,
): Iterable<StoredJob> {
  if (ids) {
    const named = new Set(ids.flatMap((id) => store.jobs.get(id) ?? []));
    return inOrder([...named], from);
  }
  if (states?.some(isOfWaiting) ?? true) return store.jobs.after(from);
  const wanted = new Set(states);
  const queues = queue === undefined ? [...store.queues.values()] : [store.queues.get(queue) ?? []].flat();
  let count = 0;
  for (const each of queues) for (const state of wanted) count += each.count(state);
  // So many that to bring them in order would be no bounded work.
  if (count > scanLimit) return store.jobs.after(from);
  const jobs = wanted.has('running') ? running() : [];
  for (const each of queues) for (const state of wanted) if (isEnded(state)) jobs.push(...each.ended(state));
  return inOrder(jobs, from);
}

function inOrder(jobs: StoredJob[], from: number): StoredJob[] {
  return jobs.filter(({ number }) => number > from).sort((a, b) => a.number - b.number);
}

function isOfWaiting(state: JobState): boolean {
  return state === 'scheduled' || state === 'available' || state === 'retryable';
}

function isEnded(state: JobState): state is EndedState {
  return state !== 'running' && !isOfWaiting(state);
}

/** The cheap questions come first, the payload last. */
function matcher(filter: JobFilter): (job: StoredJob) => boolean {
  const { queue, name, states, key, tag, addedFrom = -Infinity, addedBefore = Infinity, error, where = [] } = filter;
  const text = error?.toLowerCase();
  return (job) =>
    (queue === undefined || job.queue.name === queue) &&
    (name === undefined || job.name === name) &&
    (states === undefined || states.includes(job.state)) &&
    (key === undefined || job.key?.name === key) &&
    (tag === undefined || (job.tags?.includes(tag) ?? false)) &&
    job.addedAt >= addedFrom &&
    job.addedAt < addedBefore &&
    (text === undefined || (job.errors.at(-1)?.message.toLowerCase().includes(text) ?? false)) &&
    (where.length === 0 || matchesPayload(job, where));
}

function matchesPayload({ payload }: StoredJob, where: readonly Condition[]): boolean {
  const value = parsed(payload);
  return value !== undefined && where.every((condition) => holds(condition, value.json));
}
