/** What the chapters of the conformance suite share: opening a backend for one test, and short words for long calls. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { AddGroup, Backend, ClaimedJob, Ending, NewJob, ServerInfo } from '../backend.ts';

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
