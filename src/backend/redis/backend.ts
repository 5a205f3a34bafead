/**
 * Jobs in Redis or Valkey, shared by many machines. All that is decided is decided there, in one step per call (`lua/`), so
 * every call is atomic, and a call carries hundreds of jobs in one round trip.
 *
 * Everything lies behind one hash tag, so this is also one shard of a cluster (`cluster/cluster.ts`).
 *
 * Loss table (what an acknowledged `add` or `settle` survives):
 *
 *                            a client dies   Redis is killed        the machine loses power   failover to a replica
 *   appendfsync always       survives        survives               survives                  may lose the last moments
 *   appendfsync everysec     survives        survives (note)        the last second or two    may lose the last moments
 *   appendfsync no           survives        survives               half a minute or so       may lose the last moments
 *   no AOF                   survives        back to the snapshot   back to the snapshot      may lose the last moments
 *
 * Note: unless the disk is behind. While one sync is still under way Redis puts off writing to the file, up to two seconds.
 *
 * `?waitForDisk=true` and `?waitForReplicas=n` make a call wait until that is not so. Time is the server's, so the clocks of
 * machines do not matter. Calls that are sent again because their answer was lost are answered as the first time.
 */
import type { Clock } from '../../clock.ts';
import { assertOption, MillraceError } from '../../errors.ts';
import type * as B from '../backend.ts';
import { maxLogLine } from '../backend.ts';
import * as check from '../check.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import type { Ids } from '../ids.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from '../schedule.ts';
import { changed, defaultSettings, type KeySettings, type QueueSettings, type SettingsChange } from '../settings.ts';
import { Ears } from './ears.ts';
import { Heart } from './heart.ts';
import type { ServerFacts } from './link/info.ts';
import { ahead, type Link } from './link/link.ts';
import { Look, walk } from './look.ts';
import { decode, encode, type Received, type Sendable } from './msgpack.ts';
import { packAdd, toId, toRef, toResults } from './pack.ts';
import { packSchedule, toSchedule } from './schedules.ts';
import { sentOf } from './search.ts';
import { newName, type Request, Shard } from './shard.ts';
import { toClaimed, toEvent } from './shown.ts';

export interface RedisOptions {
  /** What the keys of these jobs begin with, so that one server can hold several sets. Default `millrace`. */
  readonly namespace?: string;
  /** Default: that of the Redis server. */
  readonly clock?: Clock;
}

/** What one `tidy` removes at most. */
const TIDY = 1_000;

/** What a backend has of a cluster, which opens and closes it. */
export interface Part {
  readonly shard: Shard;
  readonly ears: Ears;
}

export class RedisBackend implements B.Backend {
  readonly name: string;
  /** Absent where a clock of the caller's decides: there the beats are made by hand. */
  readonly startHeart?: (server: B.ServerInfo, options: B.HeartOptions) => Promise<void>;
  readonly clock: Clock;
  /** A word gets lost with the connection only, and then the next one says so. */
  readonly pollInterval = 10_000;
  readonly ahead = ahead;
  readonly shard: Shard;
  readonly #link: Link;
  readonly #isPart: boolean;
  readonly #ears: Ears;
  readonly #heart = new Heart((server) => this.beat(server));
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(link: Link, options: RedisOptions = {}, part?: Part) {
    const { namespace = 'millrace', clock } = options;
    assertOption('namespace', namespace, /^[^{}]+$/.test(namespace), 'a non-empty string without braces');
    this.name = link.name;
    this.#link = link;
    this.#isPart = part !== undefined;
    this.shard = part?.shard ?? new Shard(link, namespace, newName(), { clock });
    this.#ears = part?.ears ?? new Ears(link, this.shard.prefix, this.shard.who);
    this.clock = clock ?? this.shard.time;
    if (!clock) this.startHeart = (server, heart) => this.#startHeart(server, heart);
  }

  /** Rejects with BACKEND_UNAVAILABLE and what else `Link.open` says, and then holds nothing; it may be tried again. */
  async open(): Promise<void> {
    if (this.#state === 'closed') this.#assertOpen();
    if (!this.#isPart) {
      await this.#link.open();
      await this.shard.open(isModern(await this.#link.info()));
    }
    this.#state = 'open';
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    if (this.#isPart) return;
    this.#ears.clear();
    await this.#heart.close();
    await this.#link.close();
  }

  async add(groups: readonly B.AddGroup[]): Promise<readonly B.AddResult[]> {
    this.#assertOpen();
    const request = packAdd(groups, this.#ids);
    const queues = request.templates.map(([queue]) => queue);
    const { detours } = this.shard;
    // A claim that is made at once goes behind the add, and finds the jobs; but not behind one that has to be sent again.
    const tell = () => this.#ears.tell(queues);
    const stored = await this.shard.change('add', { ...request, by: this.shard.who }, tell);
    if (this.shard.detours !== detours) tell();
    return toResults(groups, stored, this.#ids) as B.AddResult[];
  }

  async claim({ server, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    this.#assertOpen();
    check.assertLimit(limit);
    const { numbers, records, statuses, nextAt } = await this.shard.claim(server, queues, limit);
    const jobs = records.map((record, i) => {
      const idOf = () => this.#ids.format(numbers[i] as number);
      return toClaimed(record, statuses[i] as Buffer, this.shard.template(record), idOf);
    });
    return nextAt === undefined ? { jobs } : { jobs, nextAt };
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    const endings: Sendable[] = [];
    for (const [i, { ending }] of outcomes.entries()) {
      check.assertEnding(ending);
      if (ending.kind !== 'completed' || ending.result) endings.push(i + 1, toEnding(ending));
    }
    const refs = outcomes.map(({ id }) => toRef(id, this.#ids));
    const request = { server, refs, claims: outcomes.map(({ claim }) => claim), endings };
    return toTaken(await this.shard.change('settle', request));
  }

  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    const packed = reports.map((report) => {
      check.assertReport(report);
      const { id, claim, progress, log } = report;
      const lines = log?.map(({ at, text }) => ({ at, text: text.slice(0, maxLogLine) }));
      return { ref: toRef(id, this.#ids), claim, progress, log: lines };
    });
    return toTaken(await this.shard.change('report', { server, reports: packed }));
  }

  async beat(server: B.ServerInfo): Promise<void> {
    this.#assertOpen();
    await this.shard.ask('beat', { id: server.id, info: JSON.stringify(server) });
  }

  async #startHeart(server: B.ServerInfo, options: B.HeartOptions): Promise<void> {
    check.assertHeart(options);
    await this.beat(server);
    const make = () => ({ address: this.#link.address, script: this.shard.script('beat') });
    this.#heart.start({ server, keys: [this.shard.prefix], options }, make);
  }

  async leave(server: string): Promise<void> {
    this.#assertOpen();
    // First, or its next beat would register the server again.
    await this.#heart.stop(server);
    await this.shard.change('leave', { id: server });
    this.shard.forget(server);
  }

  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    const [count] = (await this.shard.rescue(lease, crashTexts)) as [number];
    return count;
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    this.#assertOpen();
    const orders = (await this.shard.ask('orders', { id: server })) as [Received, number, Buffer][];
    return orders.map(([ref, claim, reason]) => ({
      kind: 'cancel',
      id: toId(ref, this.#ids),
      claim,
      reason: String(reason),
    }));
  }

  async tidy(): Promise<number> {
    this.#assertOpen();
    return (await this.shard.change('tidy', { limit: TIDY })) as number;
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    this.#assertOpen();
    return this.#ears.listen(topic, listener);
  }

  async putSchedule(schedule: Schedule): Promise<void> {
    this.#assertOpen();
    check.assertSchedule(schedule);
    await this.shard.change('putSchedule', packSchedule(schedule));
  }

  async removeSchedule(key: string): Promise<boolean> {
    this.#assertOpen();
    return (await this.shard.change('removeSchedule', { key })) !== false;
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    this.#assertOpen();
    const flat = (await this.shard.ask('schedules', {})) as Buffer[];
    const records: ScheduleRecord[] = [];
    for (let i = 0; i < flat.length; i += 2) records.push(toSchedule(flat[i] as Buffer, flat[i + 1] as Buffer));
    return records.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    this.#assertOpen();
    check.assertLimit(limit);
    const { now, due, nextAt } = (await this.shard.ask('dueSchedules', { limit })) as {
      now: number;
      due: [Buffer, Buffer][];
      nextAt?: number;
    };
    const records = due.map(([key, packed]) => toSchedule(key, packed));
    return { now, due: records, ...(nextAt !== undefined && { nextAt }) };
  }

  async fire(firings: readonly Firing[]): Promise<readonly FiringResult[]> {
    this.#assertOpen();
    firings.forEach(check.assertFiring);
    const ticks = firings.map(({ key, tick, nextAt }) => ({ key, tick, nextAt: ceil(nextAt) }));
    const answer = await this.shard.change('fire', { ...packAdd(firings, this.#ids), firings: ticks });
    return toResults(firings, answer, this.#ids).map((result) =>
      result.status === 'stored' ? { status: 'fired', ids: result.ids } : { status: 'stale' },
    );
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    const all = (await this.shard.ask('counts', {})) as ({ name: Buffer; settings: Buffer | false } & Record<
      string,
      number
    >)[];
    return all.map(({ name, settings, ...counts }) => ({
      queue: String(name),
      ...(counts as unknown as Omit<QueueCounts, 'queue' | 'settings'>),
      settings: toSettings(settings),
    }));
  }

  async servers(): Promise<readonly ServerRecord[]> {
    this.#assertOpen();
    const all = (await this.shard.ask('servers', {})) as [Buffer, number, number][];
    return all.map(([info, beatAt, running]) => ({ ...(JSON.parse(String(info)) as B.ServerInfo), beatAt, running }));
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return (await this.list({ ids: [id] }, { limit: 1 })).jobs[0];
  }

  async list(
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }> {
    this.#assertOpen();
    const look = this.#look(filter, page, {});
    const jobs: JobRecord[] = [];
    for await (const found of walk([look], page.limit ?? 100)) jobs.push(...found.map(({ job }) => job));
    return { jobs, ...this.#next(look) };
  }

  async act(
    action: Action,
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly count: number; readonly next?: string }> {
    this.#assertOpen();
    check.assertAction(action);
    const { kind, ...details } = action;
    const concerns = { action: kind, meant: meantBy(filter) };
    const look = this.#look(filter, page, concerns);
    let count = 0;
    for await (const found of walk([look], page.limit ?? 1_000)) {
      const numbers = found.map(({ number }) => number);
      const request = { ...concerns, ...details, filter: sentOf(filter), position: count, numbers };
      count += (await this.shard.change('act', request)) as number;
    }
    return { count, ...this.#next(look) };
  }

  async update(changes: readonly B.JobChange[]): Promise<readonly B.ChangeResult[]> {
    this.#assertOpen();
    const packed = changes.map((change) => {
      check.assertChange(change);
      const { id, payload, priority, maxAttempts, runAt, tags } = change;
      const newTags = tags && (tags.length > 0 ? tags : false);
      return { ref: toRef(id, this.#ids), to: { payload, priority, maxAttempts, runAt: ceil(runAt), tags: newTags } };
    });
    const words = (await this.shard.change('update', { changes: packed })) as Buffer[];
    return words.map((word) => String(word) as B.ChangeResult);
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    this.#assertOpen();
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    changed(defaultSettings, change); // what is wrong is wrong whatever the settings are
    for (;;) {
      const before = (await this.shard.ask('settings', { queue })) as Buffer | false | null;
      const settings = changed(toSettings(before), change);
      const isOtherLine = changesLine(toSettings(before).keys, settings.keys);
      const after = encode(settings as unknown as Sendable);
      if (await this.shard.change('configure', { queue, before: before || false, after, isOtherLine })) return settings;
    }
  }

  async events(after?: number, limit = 1_000): Promise<JobEvents> {
    this.#assertOpen();
    check.assertPage({ limit });
    const answer = (await this.shard.ask('events', { after, limit })) as { events: Buffer[]; last: number };
    const events = answer.events.map((packed) => {
      return toEvent(packed, this.#ids);
    });
    if (after === undefined) return { events, last: answer.last, missed: false };
    const last = events.length === limit ? (events.at(-1)?.number ?? after) : answer.last;
    // Numbers are given without a gap, so each one that is not here was dropped.
    return { events, last, missed: last - after > events.length };
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  get #ids(): Ids {
    return this.shard.ids;
  }

  #look(filter: JobFilter, page: Page, concerns: Request): Look {
    check.assertFilter(filter);
    check.assertPage(page);
    const { after } = page;
    const from = after === undefined ? -1 : this.#ids.parse(after);
    assertOption('after', after, after === undefined || from >= 0, 'the `next` of a page');
    return new Look(this.shard, filter, concerns, from);
  }

  #next({ position }: Look): { readonly next?: string } {
    return position === undefined ? {} : { next: this.#ids.format(position) };
  }
}

export function isModern({ redisVersion }: ServerFacts): boolean {
  return Number.parseInt(redisVersion, 10) >= 7;
}

/** The texts of a crash, in halves around what differs. */
const death = new MillraceError('SERVER_DIED', { server: '\n' });
const quarantine = new MillraceError('JOB_QUARANTINED', { crashes: Number.NaN });
export const crashTexts = {
  died: death.message.split('\n'),
  quarantined: quarantine.message.split('NaN'),
  codes: [death.code, quarantine.code],
};

function ceil(at: number | undefined): number | undefined {
  return at === undefined ? undefined : Math.ceil(at);
}

function toEnding(ending: B.Ending): Sendable {
  switch (ending.kind) {
    case 'failed':
      return { kind: 'failed', error: { ...ending.error }, retryAt: ceil(ending.retryAt) };
    case 'snoozed':
      return { kind: 'snoozed', runAt: ceil(ending.runAt) };
    case 'completed':
      return { kind: 'completed', result: ending.result };
    case 'returned':
      return { kind: 'returned' };
    default:
      return { kind: ending.kind, error: { ...ending.error } };
  }
}

function toTaken(answer: Received): B.SettleResult[] {
  return Array.from(String(answer), (digit) => (digit === '1' ? 'taken' : 'stale'));
}

function toSettings(packed: Buffer | false | null): QueueSettings {
  return packed ? (decode(packed, 'text') as unknown as QueueSettings) : defaultSettings;
}

/** States of jobs that are run again only when they are named, and were. */
export function meantBy({ ids, states = [] }: JobFilter): readonly string[] {
  return ids ? ['completed', 'quarantined'] : states;
}

/** Whether other jobs may stand in line under these settings. It is a look at every key, so it is not taken for nothing. */
function changesLine(before: KeySettings, { concurrency, onFailure, rate }: KeySettings): boolean {
  const isSameRate = JSON.stringify(before.rate) === JSON.stringify(rate);
  return before.concurrency !== concurrency || before.onFailure !== onFailure || !isSameRate;
}
