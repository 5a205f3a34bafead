/** What the chapters of the conformance suite share: opening a backend for one test, and short words for long calls. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { AddGroup, Backend, Capability, ClaimedJob, Ending, NewJob, ServerInfo, Topic } from '../backend.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import type { JobRecord } from '../records.ts';

export interface Opened {
  /** Open, and empty. */
  readonly backend: Backend;
  /** Moves the clock that the backend looks at. */
  advance(ms: number): Promise<void> | void;
  /**
   * Another opened backend on the same jobs and the same clock, as a second process would have it; the suite closes it.
   * Absent: jobs live only in one object, and the sentences about two are told on that one.
   */
  second?(): Promise<Backend>;
  /** Called after `backend` was closed, e.g. to remove files. */
  cleanup?(): Promise<void> | void;
}

export interface Harness {
  open(): Promise<Opened>;
}

export interface Bench {
  readonly backend: Backend;
  /** A second view of the same jobs; the same object where there is none. */
  readonly other: Backend;
  advance(ms: number): Promise<void> | void;
}

/** @param views 2 for a test that looks at the jobs through `other` too */
export type Open = (t: TestContext, views?: 1 | 2) => Promise<Bench>;

export function opener(harness: Harness): Open {
  return async (t, views = 1) => {
    const opened = await harness.open();
    const other = (views === 2 && (await opened.second?.())) || opened.backend;
    t.after(async () => {
      await other.close();
      await opened.backend.close();
      await opened.cleanup?.();
    });
    return { backend: opened.backend, other, advance: (ms) => opened.advance(ms) };
  };
}

/** What using a capability looks like: each of these must be refused by a backend that lacks it. */
const uses: Readonly<Record<Capability, (backend: Backend) => Promise<unknown>>> = {
  keys: (backend) => backend.add([{ jobs: [job('', { key: 'k' })] }]),
  unique: (backend) =>
    backend.add([{ jobs: [job('', { unique: { key: 'u', mode: 'keep', states: ['available'] } })] }]),
  schedules: (backend) => backend.putSchedule({ key: 's', rule: 'r', job: job(), nextAt: undefined }),
  events: (backend) => backend.configure('q', { events: 1 }),
  results: (backend) => backend.add([{ jobs: [job('', { keepFor: 1 })] }]),
  search: (backend) => backend.list({ where: [{ path: ['a'], is: '=', value: 1 }] }),
  update: (backend) => backend.update([{ id: 'x', priority: 1 }]),
  limits: (backend) => backend.configure('q', { concurrency: 1 }),
};

/**
 * Opens a backend for a sentence about `capability`. One that lacks it must say so and refuse its use; there is nothing
 * more to tell of it then, and the answer is undefined.
 */
export async function capable(
  open: Open,
  t: TestContext,
  capability: Capability,
  views: 1 | 2 = 1,
): Promise<Bench | undefined> {
  const bench = await open(t, views);
  const reason = bench.backend.lacks?.[capability];
  if (reason === undefined) return bench;
  assert.ok(reason.length > 0, 'why it lacks it');
  await assert.rejects(uses[capability](bench.backend), { code: 'MILLRACE_NOT_SUPPORTED' });
  assert.deepEqual(await list(bench.backend), []);
  return undefined;
}

/** A job for queue `q` whose payload is `text`. */
export function job(text = '{}', rest: Partial<NewJob> = {}): NewJob {
  return { queue: 'q', name: 'work', payload: Buffer.from(text), priority: 5, maxAttempts: 3, ...rest };
}

export const text = ({ payload }: { readonly payload: Uint8Array }): string => Buffer.from(payload).toString();

/** Stores one group that must be accepted; its ids. */
export async function add(backend: Backend, jobs: readonly NewJob[], rest: Omit<AddGroup, 'jobs'> = {}) {
  const [result] = await backend.add([{ jobs, ...rest }]);
  assert.equal(result?.status, 'stored');
  return (result as { ids: readonly string[] }).ids;
}

export function server(id = 'a'): ServerInfo {
  return { id, host: 'host', pid: process.pid, queues: ['q'], concurrency: 4 };
}

/** A beat of server `id`, then a claim by it. */
export async function claim(backend: Backend, limit = 100, { id = 'a', queues = ['q'] } = {}) {
  await backend.beat(server(id));
  const { jobs } = await backend.claim({ server: id, queues, limit });
  return jobs;
}

/** Settles all of `jobs` in the same way, by server `id`. */
export function settle(backend: Backend, jobs: readonly ClaimedJob[], ending: Ending, id = 'a') {
  return backend.settle(
    id,
    jobs.map((claimed) => ({ id: claimed.id, claim: claimed.claim, ending })),
  );
}

export function failure(attempt = 1, message = 'broken') {
  return { attempt, at: 1000, message, code: 'E_BROKEN', stack: 'Error: broken\n    at line 1' };
}

/** The counts of one queue that are not 0. */
export async function counts(backend: Backend, queue = 'q'): Promise<Record<string, number>> {
  const found = (await backend.counts()).find((each) => each.queue === queue);
  const numbers = Object.entries(found ?? {}).filter((entry) => typeof entry[1] === 'number' && entry[1] !== 0);
  return Object.fromEntries(numbers) as Record<string, number>;
}

/** The first page of what matches. */
export async function list(backend: Backend, filter: JobFilter = {}, page?: Page): Promise<readonly JobRecord[]> {
  return (await backend.list(filter, page)).jobs;
}

/** How many jobs `action` was done to, on all pages. */
export async function act(backend: Backend, action: Action, filter: JobFilter = {}): Promise<number> {
  let all = 0;
  let after: string | undefined;
  do {
    const { count, next } = await backend.act(action, filter, after === undefined ? {} : { after });
    all += count;
    after = next;
  } while (after !== undefined);
  return all;
}

/** The record of a job that must be known. */
export async function known(backend: Backend, id: string | undefined): Promise<JobRecord> {
  const record = await backend.get(id as string);
  assert.ok(record, `job ${id} is known`);
  return record;
}

/** Resolves when `topic` is heard of next. */
export function heard(backend: Backend, topic: Topic): Promise<void> {
  return new Promise((resolve) => {
    const stop = backend.listen(topic, () => {
      stop();
      resolve();
    });
  });
}
