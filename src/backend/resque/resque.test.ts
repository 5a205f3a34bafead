/** The conformance suite, as far as the wire of Resque can keep it. */
import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import type { Backend, NewJob } from '../backend.ts';
import { conformance } from '../conformance.ts';
import { makeLink } from '../redis/link/link.ts';
import { ResqueBackend } from './backend.ts';

const content = 'a job is known by its queue and its bytes, so ids have no order, and equal jobs have one';
const ownId = 'there is no place for an id';
const order = 'a queue is a list: what came first goes first';
const seconds = 'the wire tells time in seconds';
const shared = 'what is due stands in one line for all queues';
const noAdded = 'the wire does not say when a job was added';
const lastError = 'the wire has the last error of a failed job, in its own form';
const retention = 'the list of what failed has no bound';
const silent = 'nothing is kept of what a job says of itself';
const places = 'jobs are shown where they are, place by place';

const leftOut: Record<string, string> = {
  'answers every group with the ids of its jobs, in order of arrival': content,
  'keeps every field of a job': 'the wire has a class and arguments only',
  'counts scheduled and retryable jobs as waiting, running and ended ones not': 'what is delayed is not in its queue',
  'is the id of the job everywhere': ownId,
  'that is known answers with the job that has it, whatever its state and queue, and stores nothing': ownId,
  'that is given twice in one group makes one job': ownId,
  'is free again when its job is not known any more': ownId,
  'does not count for `maxWaiting` when it is known, and does when it is not': ownId,
  'must not look like one that the backend gives': ownId,
  'serves by priority, then by time, then by arrival': order,
  'serves its queues in their order, the next only when those before are empty': 'it has jobs with priorities',
  'never gives a job to two servers that claim at the same time': `${content}; see test/resque.test.ts`,
  'gives nothing of a paused queue, whoever paused it, until it is resumed': shared,
  'makes a scheduled job available at its moment, in the order of its priority': order,
  'says when the next job is due if it gave less than asked for': shared,
  'are the defaults until somebody changes them, and a change leaves the rest as it was': retention,
  'lets a failed job wait until its retry, with the next attempt and its error kept': seconds,
  'discards a job that failed for the last time, with the history of all its errors': lastError,
  'ends a discarded and a cancelled job at once, whatever attempts are left': lastError,
  'brings a snoozed job back at its moment; it costs no attempt': seconds,
  'keeps the last 100 errors of a job': lastError,
  'is kept for the age and the number that the queue says when it is discarded': retention,
  'is kept for the age and the number that the queue says when it is cancelled': retention,
  'is kept apart for each queue and state': retention,
  'is not removed when it was retried in time, and its time begins anew when it ends again': retention,
  'waits for somebody to tidy, and a tidy that finds nothing answers 0': retention,
  'is removed a bounded number at a time': retention,
  'keeps the last progress and adds to the log, seen by anybody while the job runs': silent,
  'is kept when the job fails, and when it has ended': silent,
  'keeps the last lines of a log, each cut to its longest length': silent,
  'refuses progress that is too large, and takes the largest': silent,
  'tells when the job was claimed last': seconds,
  'is in the history of the job, with its attempt, and costs none': noAdded,
  'that is the last but one allowed puts the job off: whatever else kills servers may be over by then': noAdded,
  'too many quarantines the job: kept with the reason, given to nobody': lastError,
  'too many is undone only when that is meant: by the state or the id': content,
  'goes on running, and its server finds an order': content,
  'does not run again when it failed, wants to wait or is handed back before the order arrived': seconds,
  'every job is in the state that it is in, and the counts are exact': 'a job runs with a worker, not with a server',
  'list gives what matches all of the filter, oldest first, up to its limit': places,
  'retry makes waiting and ended jobs available now; ended ones start over': noAdded,
  'cancel ends waiting jobs with its reason, and leaves the others alone': seconds,
  'retry, cancel and remove touch only what matches': order,
  'the job ids of another store are nobody here': content,
  'retries at a moment, and one after the other': seconds,
  'discards what waits, with the reason, and leaves alone what runs or has ended': seconds,
  'takes jobs out of the middle of a long line, and leaves the others in order': order,
  'matches every field of its filter': 'there are no keys and tags to look for',
  'goes on page by page, each job once, in order of arrival, while others come and go': places,
  'finds what runs and what has ended behind many jobs that wait': order,
};

/** The suite's payloads are any bytes and its jobs have priority 5; on the wire these are arguments, and there is no priority. */
function dressed(backend: Backend): Backend {
  const dress = (job: NewJob): NewJob => {
    if (!(job.payload instanceof Uint8Array)) return job;
    const payload = Buffer.from(JSON.stringify([Buffer.from(job.payload).toString('latin1')]));
    return { ...job, payload, priority: job.priority === 5 ? 4 : job.priority };
  };
  const undress = <T extends { readonly payload: Uint8Array }>(job: T): T => {
    const [text] = JSON.parse(String(job.payload)) as [string];
    return { ...job, payload: Buffer.from(text, 'latin1') };
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
      const { jobs, ...rest } = await backend.list(filter, page);
      return { ...rest, jobs: jobs.map(undress) };
    },
  };
  return new Proxy(backend, {
    get(_, name) {
      const part = parts[name as keyof Backend] ?? backend[name as keyof Backend];
      return typeof part === 'function' ? part.bind(backend) : part;
    },
  });
}

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

conformance(
  'resque',
  {
    async open() {
      const clock = new VirtualClock();
      const namespace = randomUUID();
      const connect = async () => {
        const backend = new ResqueBackend(makeLink(server.url), { clock, namespace, attempts: 3 });
        await backend.open();
        return dressed(backend);
      };
      return { backend: await connect(), second: connect, advance: (ms) => clock.advance(ms) };
    },
  },
  leftOut,
);
