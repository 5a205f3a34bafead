/**
 * Jobs in Redis or Valkey, shared by many machines. All that is decided is decided there, in one script per call (`lua/`), so
 * every call is atomic, and a call carries hundreds of jobs in one round trip.
 *
 * Everything lies behind one hash tag, so this is also one shard of a cluster (`cluster.ts`).
 *
 * Loss table (what an acknowledged `add` or `settle` survives):
 *
 *                            a client dies   Redis is killed        the machine loses power   failover to a replica
 *   appendfsync always       survives        survives               survives                  may lose the last moments
 *   appendfsync everysec     survives        survives               the last second or two    may lose the last moments
 *   appendfsync no           survives        survives               half a minute or so       may lose the last moments
 *   no AOF                   survives        back to the snapshot   back to the snapshot      may lose the last moments
 *
 * `?waitForDisk=true` and `?waitForReplicas=n` make a call wait until that is not so. Time is the server's, so the clocks of
 * machines do not matter. Calls that are sent again because their answer was lost are answered as the first time.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { assertOption, MillraceError } from '../../errors.ts';
import type * as B from '../backend.ts';
import { maxLogLine } from '../backend.ts';
import * as check from '../check.ts';
import { type Action, type JobFilter, type Page, scanLimit } from '../filter.ts';
import { Ids, newStoreId } from '../ids.ts';
import type { JobEvent, JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from '../schedule.ts';
import { changed, defaultSettings, type KeySettings, type QueueSettings, type SettingsChange } from '../settings.ts';
import { Ears } from './ears.ts';
import { ScriptError } from './failure.ts';
import { Heart } from './heart.ts';
import type { Link } from './link.ts';
import { decode, encode, type Received, type Sendable } from './msgpack.ts';
import { packAdd, toId, toRef, toResults } from './pack.ts';
import { type Command, scriptOf } from './scripts.ts';
import { restOf, sentOf } from './search.ts';
import { type Seen, type Template, templateOf, toClaimed, toRecord } from './shown.ts';
import { Turns } from './turns.ts';

export interface RedisOptions {
  /** What the keys of these jobs begin with, so that one server can hold several sets. Default `millrace`. */
  readonly namespace?: string;
  /** Default: that of the Redis server. */
  readonly clock?: Clock;
}

/** What one `tidy` removes at most. */
const TIDY = 1_000;
/** Jobs that are asked for at once while looking. */
const CHUNK = 1_000;
type Request = { readonly [name: string]: Sendable };

export class RedisBackend implements B.Backend {
  readonly name: string;
  /** Absent where a clock of the caller's decides: there the beats are made by hand. */
  readonly startHeart?: (server: B.ServerInfo, options: B.HeartOptions) => Promise<void>;
  readonly #link: Link;
  readonly #clock: Clock | undefined;
  readonly #prefix: string;
  readonly #ears: Ears;
  readonly #heart = new Heart((server) => this.beat(server));
  readonly #templates = new Map<number, Template>();
  /** Names this object to the scripts. */
  readonly #who = randomBytes(9).toString('base64url');
  #ids = new Ids('');
  /** Redis 7 or newer, or Valkey. */
  #isModern = false;
  readonly #turns = new Turns(64);
  readonly #claims = new Turns(16);
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(link: Link, options: RedisOptions = {}) {
    const { namespace = 'millrace', clock } = options;
    assertOption('namespace', namespace, /^[^{}]+$/.test(namespace), 'a non-empty string without braces');
    this.name = link.name;
    this.#link = link;
    this.#clock = clock;
    this.#prefix = `{${namespace}}:`;
    this.#ears = new Ears(link, this.#prefix, this.#who);
    if (!clock) this.startHeart = (server, heart) => this.#startHeart(server, heart);
  }

  /** Rejects with BACKEND_UNAVAILABLE and what else `Link.open` says, and then holds nothing; it may be tried again. */
  async open(): Promise<void> {
    if (this.#state === 'closed') this.#assertOpen();
    await this.#link.open();
    this.#isModern = Number.parseInt((await this.#link.info()).redisVersion, 10) >= 7;
    this.#ids = new Ids(String(await this.#ask('open', { store: newStoreId() })));
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
    const request = packAdd(groups, this.#ids);
    const stored = this.#change('add', { ...request, by: this.#who });
    // A claim that is made at once goes behind the add on the same connection, so it finds the jobs.
    this.#ears.tell(request.templates.map(([queue]) => queue));
    return toResults(groups, await stored, this.#ids) as B.AddResult[];
  }

  async claim({ server, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    this.#assertOpen();
    check.assertLimit(limit);
    const request = { server, queues, limit, claimer: this.#who };
    const answer = (await this.#claims.take((turn) => this.#ask('claim', { ...request, turn }))) as {
      numbers: number[];
      records: Buffer[];
      statuses: Buffer[];
      nextAt?: number;
    };
    await this.#learn(answer.records);
    const jobs = answer.records.map((record, i) => {
      const template = this.#templates.get(templateOf(record)) as Template;
      return toClaimed(record, answer.statuses[i] as Buffer, template, () =>
        this.#ids.format(answer.numbers[i] as number),
      );
    });
    return answer.nextAt === undefined ? { jobs } : { jobs, nextAt: answer.nextAt };
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
    return toTaken(await this.#change('settle', request));
  }

  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    const packed = reports.map((report) => {
      check.assertReport(report);
      const { id, claim, progress, log } = report;
      const lines = log?.map(({ at, text }) => ({ at, text: text.slice(0, maxLogLine) }));
      return { ref: toRef(id, this.#ids), claim, progress, log: lines };
    });
    return toTaken(await this.#change('report', { server, reports: packed }));
  }

  async beat(server: B.ServerInfo): Promise<void> {
    this.#assertOpen();
    await this.#ask('beat', { id: server.id, info: JSON.stringify(server) });
  }

  async #startHeart(server: B.ServerInfo, options: B.HeartOptions): Promise<void> {
    check.assertHeart(options);
    await this.beat(server);
    const script = scriptOf('beat', this.#isModern);
    const make = () => ({ address: this.#link.address, script });
    this.#heart.start({ server, keys: [this.#prefix], options }, make);
  }

  async leave(server: string): Promise<void> {
    this.#assertOpen();
    // First, or its next beat would register the server again.
    await this.#heart.stop(server);
    await this.#change('leave', { id: server });
  }

  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    return (await this.#change('rescue', { lease, ...crashTexts })) as number;
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    this.#assertOpen();
    const orders = (await this.#ask('orders', { id: server })) as [Received, number, Buffer][];
    return orders.map(([ref, claim, reason]) => ({
      kind: 'cancel',
      id: toId(ref, this.#ids),
      claim,
      reason: String(reason),
    }));
  }

  async tidy(): Promise<number> {
    this.#assertOpen();
    return (await this.#change('tidy', { limit: TIDY })) as number;
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    this.#assertOpen();
    return this.#ears.listen(topic, listener);
  }

  async putSchedule(schedule: Schedule): Promise<void> {
    this.#assertOpen();
    check.assertSchedule(schedule);
    const { key, rule, job, nextAt } = schedule;
    const { payload, ...rest } = job;
    const packed = encode([payload, JSON.stringify(rest)]);
    await this.#change('putSchedule', { key, rule, job: packed, nextAt: ceil(nextAt) });
  }

  async removeSchedule(key: string): Promise<boolean> {
    this.#assertOpen();
    return (await this.#change('removeSchedule', { key })) as boolean;
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    this.#assertOpen();
    const flat = (await this.#ask('schedules', {})) as Buffer[];
    const records: ScheduleRecord[] = [];
    for (let i = 0; i < flat.length; i += 2) records.push(toSchedule(flat[i] as Buffer, flat[i + 1] as Buffer));
    return records.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    this.#assertOpen();
    check.assertLimit(limit);
    const { now, due, nextAt } = (await this.#ask('dueSchedules', { limit })) as {
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
    const answer = await this.#change('fire', { ...packAdd(firings, this.#ids), firings: ticks });
    return toResults(firings, answer, this.#ids).map((result) =>
      result.status === 'stored' ? { status: 'fired', ids: result.ids } : { status: 'stale' },
    );
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    const all = (await this.#ask('counts', {})) as ({ name: Buffer; settings: Buffer | false } & Record<
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
    const all = (await this.#ask('servers', {})) as [Buffer, number, number][];
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
    const jobs: JobRecord[] = [];
    const next = await this.#walk(filter, page, 100, {}, async (found, most) => {
      const some = found.slice(0, most);
      jobs.push(...some.map(({ job }) => job));
      return some.length;
    });
    return next === undefined ? { jobs } : { jobs, next };
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
    let count = 0;
    const next = await this.#walk(filter, page, 1_000, concerns, async (found, most) => {
      const numbers = found.slice(0, most).map(({ number }) => number);
      const request = { ...concerns, ...details, filter: sentOf(filter), position: count, numbers };
      count += (await this.#change('act', request)) as number;
      return numbers.length;
    });
    return next === undefined ? { count } : { count, next };
  }

  async update(changes: readonly B.JobChange[]): Promise<readonly B.ChangeResult[]> {
    this.#assertOpen();
    const packed = changes.map((change) => {
      check.assertChange(change);
      const { id, payload, priority, maxAttempts, runAt, tags } = change;
      const newTags = tags && (tags.length > 0 ? tags : false);
      return { ref: toRef(id, this.#ids), to: { payload, priority, maxAttempts, runAt: ceil(runAt), tags: newTags } };
    });
    const words = (await this.#change('update', { changes: packed })) as Buffer[];
    return words.map((word) => String(word) as B.ChangeResult);
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    this.#assertOpen();
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    changed(defaultSettings, change); // what is wrong is wrong whatever the settings are
    for (;;) {
      const before = (await this.#ask('settings', { queue })) as Buffer | false | null;
      const settings = changed(toSettings(before), change);
      const isOtherLine = changesLine(toSettings(before).keys, settings.keys);
      const after = encode(settings as unknown as Sendable);
      if (await this.#change('configure', { queue, before: before || false, after, isOtherLine })) return settings;
    }
  }

  async events(after?: number, limit = 1_000): Promise<JobEvents> {
    this.#assertOpen();
    check.assertPage({ limit });
    const answer = (await this.#ask('events', { after, limit })) as { events: Buffer[]; last: number };
    const events = answer.events.map((packed) => {
      const { ref, ...event } = decode(packed, 'text') as unknown as Omit<JobEvent, 'job'> & { ref: string | number };
      return { ...event, job: toId(ref, this.#ids) };
    });
    if (after === undefined) return { events, last: answer.last, missed: false };
    const last = events.length === limit ? (events.at(-1)?.number ?? after) : answer.last;
    // Numbers are given without a gap, so each one that is not here was dropped.
    return { events, last, missed: last - after > events.length };
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  /** Asks what changes nothing, or what bears being done twice. */
  async #ask(command: Command, request: Request): Promise<Received> {
    const timed = this.#clock ? { ...request, now: Math.ceil(this.#clock.now()) } : request;
    try {
      return decode(await this.#link.run(scriptOf(command, this.#isModern), this.#prefix, encode(timed)));
    } catch (error) {
      if (error instanceof ScriptError && error.code === 'SERVER_UNKNOWN') {
        throw new MillraceError('SERVER_UNKNOWN', { server: error.detail });
      }
      throw error;
    }
  }

  /** Asks for what must be done once. */
  async #change(command: Command, request: Request): Promise<Received> {
    return this.#turns.take((turn) => this.#ask(command, { ...request, who: this.#who, turn }));
  }

  /** Templates that were not met before. */
  async #learn(records: readonly Buffer[]): Promise<void> {
    let last = -1;
    for (const record of records) {
      const no = templateOf(record);
      if (no === last) continue;
      last = no;
      if (this.#templates.has(no)) continue;
      const [queue, name, priority, maxAttempts] = (await this.#ask('template', { no })) as [
        Buffer,
        Buffer,
        number,
        number,
      ];
      this.#templates.set(no, { queue: String(queue), name: String(name), priority, maxAttempts });
    }
  }

  /** Shows what matches to `take`, which says how many of at most `most` it took, until a page is full. Returns where to go on. */
  async #walk(
    filter: JobFilter,
    page: Page,
    defaultLimit: number,
    concerns: Request,
    take: (found: readonly { readonly number: number; readonly job: JobRecord }[], most: number) => Promise<number>,
  ): Promise<string | undefined> {
    check.assertFilter(filter);
    check.assertPage(page);
    const { after, limit = defaultLimit } = page;
    let from = after === undefined ? -1 : this.#ids.parse(after);
    assertOption('after', after, after === undefined || from >= 0, 'the `next` of a page');
    const matches = restOf(filter);
    const refs = filter.ids && [...new Set(filter.ids)].map((id) => toRef(id, this.#ids));
    let left = limit;
    for (let unseen = scanLimit; left > 0 && unseen > 0; ) {
      // What Redis cannot decide is asked for in larger pieces, as not all of it will do.
      const most = Math.min(CHUNK, matches ? Math.max(left, 100) : left);
      const answer = (await this.#ask('look', {
        ...concerns,
        filter: sentOf(filter),
        from,
        limit: most,
        most: Math.min(unseen, 2 * CHUNK),
        scan: scanLimit,
        ...(refs && { refs }),
      })) as unknown as { jobs: Seen[]; seen: number; last?: number };
      await this.#learn(answer.jobs.map((seen) => seen[2]));
      const shown = answer.jobs.map((seen) => ({ number: seen[1], job: this.#show(seen) }));
      const found = matches ? shown.filter(({ job }) => matches(job)) : shown;
      const taken = found.length === 0 ? 0 : await take(found, left);
      unseen -= answer.seen;
      left -= taken;
      if (taken < found.length) return this.#ids.format(found[taken - 1]?.number as number);
      if (answer.last === undefined) return undefined;
      from = answer.last;
    }
    return this.#ids.format(from);
  }

  #show(seen: Seen): JobRecord {
    return toRecord(seen, this.#templates.get(templateOf(seen[2])) as Template, toId(seen[0], this.#ids));
  }
}

/** The texts of a crash, in halves around what differs. */
const death = new MillraceError('SERVER_DIED', { server: '\n' });
const quarantine = new MillraceError('JOB_QUARANTINED', { crashes: Number.NaN });
const crashTexts = {
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

function toSchedule(key: Buffer, packed: Buffer): ScheduleRecord {
  const { rule, job, nextAt, fired, lastAt } = decode(packed) as Record<string, Received>;
  const [payload, rest] = decode(job as Buffer) as [Buffer, Buffer];
  return {
    key: String(key),
    rule: String(rule),
    job: { ...(JSON.parse(String(rest)) as Omit<ScheduleRecord['job'], 'payload'>), payload },
    nextAt: nextAt === undefined ? undefined : (nextAt as number),
    fired: fired as number,
    ...(lastAt !== undefined && { lastAt: lastAt as number }),
  };
}

/** States of jobs that are run again only when they are named, and were. */
function meantBy({ ids, states = [] }: JobFilter): readonly string[] {
  return ids ? ['completed', 'quarantined'] : states;
}

/** Whether other jobs may stand in line under these settings. It is a look at every key, so it is not taken for nothing. */
function changesLine(before: KeySettings, { concurrency, onFailure, rate }: KeySettings): boolean {
  const isSameRate = JSON.stringify(before.rate) === JSON.stringify(rate);
  return before.concurrency !== concurrency || before.onFailure !== onFailure || !isSameRate;
}
