/** Calls of the contract as the scripts take them, and what they give back. */
import { assertOption } from '../../errors.ts';
import type { AddGroup, ClaimedJob, Ending, NewJob } from '../backend.ts';
import type { Sendable } from '../redis/msgpack.ts';
import type { Jids } from './jids.ts';
import { onlyPriority } from './places.ts';
import { discardable, ended, failed, isOverdue, postponed, type Version, type WireJob, writeJob } from './wire.ts';

export interface PackedGroup {
  readonly request: Sendable;
  readonly ids: readonly string[];
  /** Those that get something. */
  readonly queues: readonly string[];
}

/** Throws OPTION_INVALID for a payload that is no list of arguments. */
export function packGroup(
  { jobs, maxWaiting, once }: AddGroup,
  jids: Jids,
  now: number,
  version: Version,
): PackedGroup {
  const ids = jobs.map(() => jids.next(now));
  const lists = new Map<string, Buffer[]>();
  const counts = new Map<string, number>();
  const timed: Sendable[] = [];
  for (const [i, job] of jobs.entries()) {
    assertArguments(job);
    const { queue, runAt } = job;
    const isLater = runAt !== undefined && runAt > now;
    const raw = writeJob(job, ids[i] as string, now, version, isLater ? runAt : undefined);
    counts.set(queue, (counts.get(queue) ?? 0) + 1);
    if (isLater) timed.push(Math.ceil(runAt) / 1_000, raw);
    else if (lists.has(queue)) lists.get(queue)?.push(raw);
    else lists.set(queue, [raw]);
  }
  const request = {
    lists: [...lists],
    timed,
    counts: [...counts],
    ids,
    maxWaiting,
    once: once && { ...once, ttl: Math.ceil(once.ttl) },
  };
  return { request, ids, queues: [...counts.keys()] };
}

function assertArguments({ payload }: NewJob): void {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  } catch {
    // below
  }
  assertOption('payload', value, Array.isArray(value), 'a JSON array: the arguments of the class');
}

export function toClaimed(job: WireJob, queue: string, claim: number, crashes: number, now: number): ClaimedJob {
  const { id, name, payload, attempt, maxAttempts, createdAt, enqueuedAt, tags, headers } = job;
  const addedAt = createdAt ?? enqueuedAt ?? now;
  return {
    id,
    queue,
    name,
    payload,
    priority: onlyPriority,
    attempt,
    maxAttempts,
    crashes,
    claim,
    addedAt,
    runAt: enqueuedAt ?? addedAt,
    ...(tags && { tags }),
    ...(headers && { headers }),
  };
}

/** Endings after which the job stands somewhere with other words. */
export type Rewritten = Exclude<Ending, { readonly kind: 'completed' | 'returned' }>;

/** What `settle` is to do with a job that did not just complete. */
export function toMove(job: WireJob, queue: string, ending: Rewritten, now: number, version: Version): Sendable {
  switch (ending.kind) {
    case 'snoozed':
      return { kind: 'schedule', score: Math.ceil(ending.runAt) / 1_000, job: postponed(job, queue) };
    case 'cancelled':
      return { kind: 'cancelled', job: ended(job, queue, ending.error.message, 'MILLRACE_JOB_CANCELLED') };
    case 'failed': {
      const { retryAt, error } = ending;
      const raw = failed(job, queue, error, version);
      if (retryAt !== undefined && job.rules.isRetried && !isOverdue(job, now)) {
        return { kind: 'retry', score: Math.ceil(retryAt) / 1_000, job: raw, hasFailed: true };
      }
      return discardable(job) ? { kind: 'gone', hasFailed: true } : { kind: 'dead', job: raw, hasFailed: true };
    }
    case 'discarded': {
      const raw = failed(job, queue, ending.error, version);
      return discardable(job) ? { kind: 'gone', hasFailed: true } : { kind: 'dead', job: raw, hasFailed: true };
    }
  }
}
