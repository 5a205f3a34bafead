/**
 * The conformance suite, as far as the wire can keep it. Sentences that it cannot keep are told of the memory backend instead and
 * show as skipped, each with its reason; one that is named here and not met fails, so the list stays true.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import type { Backend, NewJob } from '../backend.ts';
import { acting } from '../conformance/acting.ts';
import { adding } from '../conformance/adding.ts';
import { claiming } from '../conformance/claiming.ts';
import { closing } from '../conformance/closing.ts';
import { crashing } from '../conformance/crashing.ts';
import { fairness } from '../conformance/fairness.ts';
import { keeping } from '../conformance/keeping.ts';
import { leasing } from '../conformance/leasing.ts';
import { limits } from '../conformance/limits.ts';
import { listening } from '../conformance/listening.ts';
import { managing } from '../conformance/managing.ts';
import { ordering } from '../conformance/ordering.ts';
import { recording } from '../conformance/recording.ts';
import { reporting } from '../conformance/reporting.ts';
import { scheduling } from '../conformance/scheduling.ts';
import { searching } from '../conformance/searching.ts';
import { settling } from '../conformance/settling.ts';
import { stopping } from '../conformance/stopping.ts';
import { type Open, opener } from '../conformance/support.ts';
import { uniqueness } from '../conformance/uniqueness.ts';
import { updating } from '../conformance/updating.ts';
import type { JobFilter } from '../filter.ts';
import { MemoryBackend } from '../memory/memory.ts';
import { makeLink } from '../redis/link/link.ts';
import { SidekiqBackend } from './backend.ts';

const noPriority = 'the wire has no priorities';
const lastError = 'the wire keeps the last error only, and its stack only where the job asks for it';
const retention = "how long the dead are kept is Sidekiq's own to say";
const oneSet = 'what is due stands in one set for all queues';
const threeCrashes = 'after three crashes a job is dead, in every queue';
const behind = 'what becomes due or is retried goes behind those that wait';
const places = 'a look goes from place to place, not by arrival';

const leftOut: Record<string, string> = {
  'keeps every field of a job': noPriority,
  'counts scheduled and retryable jobs as waiting, running and ended ones not': oneSet,
  'serves by priority, then by time, then by arrival': noPriority,
  'serves its queues in their order, the next only when those before are empty': noPriority,
  'gives nothing of a paused queue, whoever paused it, until it is resumed': oneSet,
  'makes a scheduled job available at its moment, in the order of its priority': noPriority,
  'says when the next job is due if it gave less than asked for': oneSet,
  'are the defaults until somebody changes them, and a change leaves the rest as it was': 'only `paused` can be set',
  'lets a failed job wait until its retry, with the next attempt and its error kept': lastError,
  'discards a job that failed for the last time, with the history of all its errors': lastError,
  'keeps the last 100 errors of a job': lastError,
  'ends a discarded and a cancelled job at once, whatever attempts are left': lastError,
  'retry makes waiting and ended jobs available now; ended ones start over': lastError,
  'retry, cancel and remove touch only what matches': behind,
  'takes jobs out of the middle of a long line, and leaves the others in order': behind,
  'finds text in the message of the latest error, letters of either case': behind,
  'is kept for the age and the number that the queue says when it is discarded': retention,
  'is kept for the age and the number that the queue says when it is cancelled': retention,
  'is kept apart for each queue and state': retention,
  'is not removed when it was retried in time, and its time begins anew when it ends again': retention,
  'waits for somebody to tidy, and a tidy that finds nothing answers 0': retention,
  'is removed a bounded number at a time': retention,
  'is kept when the job fails, and when it has ended': 'what a job says of itself is kept while it runs',
  'is in the history of the job, with its attempt, and costs none': lastError,
  'that is the last but one allowed puts the job off: whatever else kills servers may be over by then': threeCrashes,
  'too many quarantines the job: kept with the reason, given to nobody': threeCrashes,
  'quarantines at the number that the queue was given': threeCrashes,
  'counts through retries, apart from attempts': threeCrashes,
  'does not count for a server that leaves with the job in hand': threeCrashes,
  'too many is undone only when that is meant: by the state or the id': threeCrashes,
  'list gives what matches all of the filter, oldest first, up to its limit': noPriority,
  'retries at a moment, and one after the other': places,
  'compares a payload that is no object, and matches none that is not JSON': 'arguments are JSON',
  'matches every field of its filter': 'there are no keys to look for',
  'goes on page by page, each job once, in order of arrival, while others come and go': places,
  'finds what runs and what has ended behind many jobs that wait': noPriority,
};

/** The suite's payloads are any bytes and its jobs have priority 5; on the wire these are arguments, and there are no priorities. */
function dressed(backend: Backend): Backend {
  const dress = (job: NewJob): NewJob => {
    if (!(job.payload instanceof Uint8Array)) return job;
    const payload = Buffer.from(isJson(job.payload) ? `[${Buffer.from(job.payload)}]` : inBase64(job.payload));
    return { ...job, payload, priority: job.priority === 5 ? 4 : job.priority };
  };
  const undress = <T extends { readonly payload: Uint8Array }>(job: T): T => {
    const text = Buffer.from(job.payload).toString();
    const [, packed] = /^\["base64:(.*)"\]$/.exec(text) ?? [];
    const payload = packed === undefined ? Buffer.from(text.slice(1, -1)) : Buffer.from(packed, 'base64');
    return { ...job, payload, priority: 5 };
  };
  const shift = (filter: JobFilter): JobFilter => {
    if (!Array.isArray(filter.where)) return filter;
    const inside = (path: unknown) => (Array.isArray(path) ? [0, ...path] : path) as string[];
    return { ...filter, where: filter.where.map((each) => ({ ...each, path: inside(each.path) })) };
  };
  const parts: Partial<Backend> = {
    add: (groups) => backend.add(groups.map((group) => ({ ...group, jobs: group.jobs.map(dress) }))),
    claim: async (request) => {
      const { jobs, ...rest } = await backend.claim(request);
      return { ...rest, jobs: jobs.map(undress) };
    },
    get: async (id) => {
      const record = await backend.get(id);
      return record && undress(record);
    },
    list: async (filter, page) => {
      const { jobs, ...rest } = await backend.list(shift(filter), page);
      return { ...rest, jobs: jobs.map(undress) };
    },
    act: (action, filter, page) => backend.act(action, shift(filter), page),
  };
  return new Proxy(backend, {
    get(_, name) {
      const part = parts[name as keyof Backend] ?? backend[name as keyof Backend];
      return typeof part === 'function' ? part.bind(backend) : part;
    },
  });
}

function isJson(payload: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(payload).toString());
    return Buffer.from(Buffer.from(payload).toString()).equals(payload);
  } catch {
    return false;
  }
}

const inBase64 = (payload: Uint8Array) => JSON.stringify([`base64:${Buffer.from(payload).toString('base64')}`]);

describe('the Sidekiq backend', () => {
  let server: RedisServer;
  const met = new Set<string>();
  before(async () => {
    server = await startRedis();
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(
      Object.keys(leftOut).filter((sentence) => !met.has(sentence)),
      [],
      'sentences left out that there are not',
    );
  });

  const onWire = opener({
    async open() {
      const clock = new VirtualClock();
      const namespace = randomUUID();
      const second = async () => {
        const backend = new SidekiqBackend(makeLink(server.url), { clock, namespace });
        await backend.open();
        return dressed(backend);
      };
      return { backend: await second(), second, advance: (ms) => clock.advance(ms) };
    },
  });
  const inMemory = opener({
    async open() {
      const clock = new VirtualClock();
      const backend = new MemoryBackend({ clock });
      await backend.open();
      return { backend, advance: (ms) => clock.advance(ms) };
    },
  });
  const open: Open = (t: TestContext, views) => {
    const reason = leftOut[t.name];
    if (reason === undefined) return onWire(t, views);
    met.add(t.name);
    // The wire has no place for it; memory holds its place so that the sentence's code can run to its end.
    t.skip(reason);
    return inMemory(t, views);
  };

  const chapters = [
    adding,
    uniqueness,
    claiming,
    ordering,
    fairness,
    limits,
    settling,
    keeping,
    reporting,
    leasing,
    crashing,
    stopping,
    listening,
    managing,
    acting,
    updating,
    searching,
    scheduling,
    recording,
    closing,
  ];
  for (const chapter of chapters) chapter(open);
});
