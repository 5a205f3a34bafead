/**
 * Jobs in the format of Resque, so that workers and clients in Ruby (Resque, resque-scheduler), Go (goworker) and JavaScript
 * (node-resque) share the queues. All that is decided is decided in Redis, in one script per call, a batch at a time.
 *
 * WHAT THE WIRE SAYS OF A JOB is its queue, its class and its arguments, and nothing else. So:
 *
 *   name, payload  the class, and the bytes of the JSON array `args`. Another payload is refused
 *   id             queue/digest of the bytes. Equal jobs have equal ids, as for Resque, whose `dequeue` looks for equal bytes;
 *                  whoever acts on an id acts on all of them. Which of them runs is told by the claim number
 *   claim          leads to the worker that has the job, and goes up with every claim: the fencing token
 *   attempt        1, but for a job that failed and is tried again: then it is noted beside the queue (lua/notes.lua)
 *   maxAttempts    what this backend was told (`attempts`, default 1), not what the client says: 1 is Resque's own way, a failed
 *                  job goes to `failed`. With more it waits in resque-scheduler's delayed queue, which peers show as it is
 *   errors         of a failed job the one that it failed with
 *   states         available: in its queue; scheduled and retryable: delayed, to the second; running: with a worker; discarded,
 *                  cancelled and quarantined: in `failed`, told apart by their exception. What completed is gone. To remove a
 *                  job that waits is Resque's `dequeue`
 *   addedAt, runAt not on the wire: the moment at which somebody looks, but for delayed jobs
 *   headers, progress, logs   not on the wire, and not kept. Other facts of a job are refused: see lacks.ts
 *
 * DELIVERY is at least once: a job goes out of its queue and into the record of a worker in one step, a server that does not
 * beat any more is found by any of ours, and its jobs go back to the head of their queues. Peers read the same records.
 * With `delivery: 'at-most-once'` such jobs go to `failed` instead, as with Resque: somebody may look before they run again.
 *
 * Each job that is claimed has a worker of its own in the eyes of others, those too that wait in this process for their
 * handler. Costs about one string of the job's length in Redis for each, while it is held.
 */
import { assertOption, MillraceError } from '../../errors.ts';
import type * as B from '../backend.ts';
import * as check from '../check.ts';
import { type Action, type JobFilter, type Page, scanLimit } from '../filter.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import { Calls } from '../redis/calls.ts';
import { Ears } from '../redis/ears.ts';
import { Heart } from '../redis/heart.ts';
import { ahead, type Link } from '../redis/link/link.ts';
import { decode, encode, type Received, type Sendable } from '../redis/msgpack.ts';
import type { DueSchedules, Firing, FiringResult, ScheduleRecord } from '../schedule.ts';
import { changed, defaultSettings, probation, type QueueSettings, type SettingsChange } from '../settings.ts';
import { type ClaimAnswer, toClaimed } from './claimed.ts';
import { Counts } from './counts.ts';
import { packAction, packEnding } from './endings.ts';
import { lacks, Refusals } from './lacks.ts';
import { Look } from './look.ts';
import { workerNames } from './manner.ts';
import { type ResqueOptions, type Settings, withDefaults } from './options.ts';
import { idOf, queueOf, toPayload } from './payload.ts';
import { type Command, scriptOf } from './scripts.ts';
import { tokenOf, toTexts } from './token.ts';

/** Notes that one `tidy` looks at. */
const TIDY = 1_000;

export class ResqueBackend implements B.Backend {
  readonly name: string;
  readonly lacks = lacks;
  readonly ahead = ahead;
  readonly #link: Link;
  readonly #settings: Settings;
  readonly #refusals: Refusals;
  readonly #counts: Counts;
  readonly #ears: Ears;
  readonly #look: Look;
  readonly #calls: Calls<Command>;
  readonly #heart = new Heart((server) => this.beat(server));
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(link: Link, options: ResqueOptions = {}) {
    const settings = withDefaults(options, link);
    const { prefix, attempts } = settings;
    this.name = `resque:${link.name}`;
    this.#link = link;
    this.#settings = settings;
    this.#refusals = new Refusals(this.name);
    this.#counts = new Counts(settings);
    this.#calls = new Calls(link, scriptOf, settings);
    this.#ears = new Ears(link, `${prefix}millrace:`, this.#calls.who);
    if (!settings.clock) this.startHeart = (server, heart) => this.#startHeart(server, heart);
    this.#look = new Look({
      command: (name, keys, ...args) => link.command(prefix, [name, ...keys.map((key) => prefix + key), ...args]),
      notes: (names) => this.#calls.ask('notes', { names }) as Promise<(Received[] | false)[]>,
      attempts,
      now: () => this.#calls.now(),
    });
  }

  /** Rejects with BACKEND_UNAVAILABLE and what else `Link.open` says, and then holds nothing; it may be tried again. */
  async open(): Promise<void> {
    if (this.#state === 'closed') this.#assertOpen();
    await this.#calls.open();
    this.#state = 'open';
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#ears.clear();
    await this.#heart.close();
    await this.#link.close();
  }

  async add(groups: readonly B.AddGroup[]): Promise<readonly B.AddResult[]> {
    this.#assertOpen();
    const queues = new Set<string>();
    const ids: string[][] = groups.map(() => []);
    const packed = groups.map((group, i) => {
      check.assertGroup(group);
      return group.jobs.flatMap((job) => {
        check.assertJob(job);
        this.#refusals.job(job);
        const bytes = toPayload(job);
        queues.add(job.queue);
        ids[i]?.push(idOf(job.queue, bytes));
        return [job.queue, bytes, job.runAt === undefined ? false : Math.ceil(job.runAt)];
      });
    });
    const added = this.#calls.change('add', {
      groups: packed,
      limits: groups.map(({ maxWaiting }) => maxWaiting ?? false),
      once: groups.map(({ once }, i) => (once ? { ...once, ids: ids[i] ?? [] } : false)),
      by: this.#calls.who,
    });
    // A claim that is made at once goes behind the add on the same connection, so it finds the jobs.
    this.#ears.tell([...queues]);
    const results = (await added) as (true | { readonly [name: string]: Received })[];
    return results.map((result, i) =>
      result === true ? { status: 'stored', ids: ids[i] ?? [] } : (toText(result) as unknown as B.AddResult),
    );
  }

  async claim({ server, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    this.#assertOpen();
    check.assertLimit(limit);
    const answer = (await this.#calls.claim(server, (turn, lost) =>
      this.#calls.ask('claim', { server, queues, limit, claimer: `${this.#calls.who}:${server}`, turn, lost }),
    )) as unknown as ClaimAnswer;
    const now = this.#calls.now();
    const { jobs, unreadable } = toClaimed(answer, queues, this.#settings, now);
    if (unreadable.length > 0) await this.settle(server, unreadable);
    const nextAt = answer.nextAt ?? (unreadable.length > 0 ? now : undefined);
    return nextAt === undefined ? { jobs } : { jobs, nextAt };
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    const endings: Sendable[] = [];
    for (const [i, { ending }] of outcomes.entries()) {
      check.assertEnding(ending);
      if (ending.kind !== 'completed') endings.push(i + 1, packEnding(ending, this.#settings));
    }
    const results = toTaken(await this.#calls.change('settle', { server, ...toTexts(outcomes.map(claimOf)), endings }));
    outcomes.forEach(({ claim, ending }, i) => {
      this.#counts.add(server, claim, ending, results[i]);
    });
    return results;
  }

  /** Says who still holds what, and keeps nothing: there is no place where anybody would look for it. */
  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    reports.forEach(check.assertReport);
    return toTaken(await this.#calls.ask('report', { server, ...toTexts(reports.map(claimOf)) }));
  }

  async beat(server: B.ServerInfo): Promise<void> {
    this.#assertOpen();
    await this.#calls.ask('beat', { id: server.id, info: JSON.stringify(this.#dressed(server)) });
  }

  /** From a thread of its own. Absent with a clock of the caller's: that thread would have another one. */
  readonly startHeart?: (server: B.ServerInfo, options: B.HeartOptions) => Promise<void>;

  async #startHeart(server: B.ServerInfo, options: B.HeartOptions): Promise<void> {
    check.assertHeart(options);
    await this.beat(server);
    const make = () => ({ address: this.#link.address, script: this.#calls.script('beat') });
    this.#heart.start({ server: this.#dressed(server), keys: [this.#calls.prefix], options }, make);
  }

  async leave(server: string): Promise<void> {
    this.#assertOpen();
    // First, or its next beat would register the server again.
    await this.#heart.stop(server);
    this.#counts.forget(server);
    await this.#calls.change('leave', { id: server });
    this.#calls.forget(server);
  }

  /** A server calls it with each of its beats, so it takes the counts of its workers along. */
  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    const { maxCrashes } = defaultSettings;
    const request = { lease: this.#calls.fair(lease), probation, maxCrashes, ...crashTexts };
    return (await this.#calls.change('rescue', { ...request, counts: this.#counts.take() })) as number;
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    this.#assertOpen();
    const all = (await this.#calls.ask('orders', { id: server })) as [Buffer, Buffer, Buffer, Buffer][];
    return all.map(([id, number, slot, reason]) => ({
      kind: 'cancel',
      id: String(id),
      claim: tokenOf(Number(number), Number(slot)),
      reason: String(reason),
    }));
  }

  async tidy(): Promise<number> {
    this.#assertOpen();
    return (await this.#calls.change('tidy', { limit: TIDY })) as number;
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    this.#assertOpen();
    return this.#ears.listen(topic, listener);
  }

  async putSchedule(): Promise<void> {
    this.#assertOpen();
    this.#refusals.refuse('schedules', 'schedules');
  }

  async removeSchedule(): Promise<boolean> {
    this.#assertOpen();
    return false;
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    this.#assertOpen();
    return [];
  }

  async dueSchedules(): Promise<DueSchedules> {
    this.#assertOpen();
    return { now: this.#calls.now(), due: [] };
  }

  async fire(firings: readonly Firing[]): Promise<readonly FiringResult[]> {
    this.#assertOpen();
    return firings.map(() => ({ status: 'stale' }));
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    const { queues, paused } = (await this.#calls.ask('counts')) as {
      queues: [Buffer, number, number, Buffer | false][];
      paused: boolean;
    };
    const tally = await this.#look.tally();
    return queues.map(([name, available, completed, packed]) => {
      const settings = toSettings(packed);
      const queue = String(name);
      return {
        queue,
        ...none,
        ...tally.get(queue),
        available,
        completed,
        settings: paused ? { ...settings, paused } : settings,
      };
    });
  }

  async servers(): Promise<readonly ServerRecord[]> {
    this.#assertOpen();
    const all = (await this.#calls.ask('servers')) as [Buffer, number, number][];
    return all.map(([info, beatAt, running]) => {
      const { dress: _, ...server } = JSON.parse(String(info)) as B.ServerInfo & { dress: unknown };
      return { ...server, beatAt, running };
    });
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return (await this.list({ ids: [id] }, { limit: 1 })).jobs[0];
  }

  async list(
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }> {
    this.#assertOpen();
    check.assertFilter(filter);
    this.#refusals.filter(filter);
    check.assertPage(page);
    const { found, next } = await this.#look.page(filter, page.after, page.limit ?? 100);
    const jobs = found.map(({ job }) => job);
    return next === undefined ? { jobs } : { jobs, next };
  }

  async act(
    action: Action,
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly count: number; readonly next?: string }> {
    this.#assertOpen();
    check.assertAction(action);
    check.assertFilter(filter);
    this.#refusals.filter(filter);
    check.assertPage(page);
    // What is put off would be met again further on, so it is looked for before any is.
    const isPutOff = action.kind === 'retry' && ((action.at ?? 0) > this.#calls.now() || (action.every ?? 0) > 0);
    const limit = isPutOff ? scanLimit : (page.limit ?? 1_000);
    const { found, next: behind } = await this.#look.page(filter, page.after, limit);
    const next = isPutOff ? undefined : behind;
    const wanted = found.filter(({ job }) => concerns(action, job, filter));
    if (wanted.length === 0) return next === undefined ? { count: 0 } : { count: 0, next };
    const jobs = wanted.flatMap(({ from, item, queue, bytes }) => [from, item, queue, bytes]);
    const count = (await this.#calls.change('act', { jobs, ...packAction(action, this.#settings.manner) })) as number;
    return next === undefined ? { count } : { count, next: this.#look.after(next, wanted) };
  }

  async update(): Promise<readonly B.ChangeResult[]> {
    this.#assertOpen();
    this.#refusals.refuse('update', 'a change of waiting jobs');
  }

  /** Only whether it is paused, for our servers, and after how many crashes a job goes to `failed`. */
  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    this.#assertOpen();
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    this.#refusals.settings(change);
    for (;;) {
      const before = (await this.#calls.ask('settings', { queue })) as Buffer | false;
      const settings = changed(toSettings(before), change);
      const after = encode({ paused: settings.paused, maxCrashes: settings.maxCrashes });
      if (await this.#calls.change('configure', { queue, before, after })) return settings;
    }
  }

  async events(): Promise<JobEvents> {
    this.#assertOpen();
    return { events: [], last: 0, missed: false };
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  /** With what the script of a beat has to know of it. */
  #dressed(server: B.ServerInfo): B.ServerInfo {
    const { manner, delivery, queues } = this.#settings;
    const names = workerNames(server, manner, queues);
    const dress = { ...names, goworker: manner === 'goworker', once: delivery === 'at-most-once' };
    return Object.assign({ ...server }, { dress });
  }
}

/** The texts of a crash, in halves around what differs. */
const death = new MillraceError('SERVER_DIED', { server: '\n' });
const quarantine = new MillraceError('JOB_QUARANTINED', { crashes: Number.NaN });
const crashTexts = {
  died: death.message.split('\n'),
  quarantined: quarantine.message.split('NaN'),
  code: death.code,
};

const none = { scheduled: 0, running: 0, retryable: 0, discarded: 0, cancelled: 0, quarantined: 0 };

/** Jobs in a state that the action has no meaning for are left alone. */
function concerns({ kind }: Action, { state }: JobRecord, { ids, states }: JobFilter): boolean {
  const isEnded = state === 'discarded' || state === 'cancelled' || state === 'quarantined';
  if (kind === 'remove') return state !== 'running';
  if (kind === 'cancel') return !isEnded;
  if (kind === 'discard') return !isEnded && state !== 'running';
  // A job that kills servers runs again only when that is meant.
  const isMeant = state !== 'quarantined' || ids !== undefined || states?.includes(state) === true;
  return state !== 'available' && state !== 'running' && isMeant;
}

/** A token is given once, so it says which job is meant, if the id is one of ours at all. */
function claimOf({ id, claim }: { readonly id: string; readonly claim: number }): number {
  return queueOf(id) === undefined ? -1 : claim;
}

function toTaken(answer: Received): B.SettleResult[] {
  return Array.from(String(answer), (digit) => (digit === '1' ? 'taken' : 'stale'));
}

function toSettings(packed: Buffer | false): QueueSettings {
  return packed ? changed(defaultSettings, decode(packed, 'text') as SettingsChange) : defaultSettings;
}

function toText(value: Received): Received {
  if (Buffer.isBuffer(value)) return String(value);
  if (Array.isArray(value)) return value.map(toText);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toText(each)]));
}
