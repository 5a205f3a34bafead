/**
 * Jobs in Redis as Sidekiq keeps them, so that Ruby processes and ours push to and work off the same queues, and Sidekiq Web shows
 * and manages both. What of the wire means what: `wire.ts` for a job, `lua/base.lua` for the keys, docs/sidekiq.md for all of it.
 *
 * Promises more than the wire asks for: a claim takes a job from its list and records it as held by its server in one step, and a
 * job that is due goes from its set to its list in one step. So no job is ever in no place, whoever is killed when. What a
 * dead server of ours held is put back by any other of ours. Peers lose nothing by that: to them the job is in a list, or being
 * worked on. (Of a Ruby process that is killed we know nothing: what it held is lost, as Sidekiq says, unless it has super_fetch.)
 *
 * Costs: a claim and a settle are one round trip each, and one more for jobs that did not complete. There is no index, so what
 * asks for one job by its id, and the counts of sets, look at all of them.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption, MillraceError } from '../../errors.ts';
import type { Backoff } from '../../job/backoff.ts';
import type * as B from '../backend.ts';
import { maxLogLine } from '../backend.ts';
import * as check from '../check.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../records.ts';
import { Calls } from '../redis/calls.ts';
import { Ears } from '../redis/ears.ts';
import { Heart } from '../redis/heart.ts';
import { ahead, type Link } from '../redis/link/link.ts';
import type { Received, Sendable } from '../redis/msgpack.ts';
import type { DueSchedules, FiringResult, ScheduleRecord } from '../schedule.ts';
import { changed, defaultSettings, type QueueSettings, type SettingsChange } from '../settings.ts';
import { Claims } from './claims.ts';
import { Desk } from './desk.ts';
import { Jids } from './jids.ts';
import { gapsOf, gapsOfFilter, lacks, refuse } from './lacks.ts';
import { Lookout } from './lookout.ts';
import { packGroup, type Rewritten, toMove } from './pack.ts';
import { processOf, readProcess, readServer } from './process.ts';
import { type Command, scriptOf } from './scripts.ts';
import { dayOf, readJob, type Version } from './wire.ts';

export interface SidekiqOptions {
  /** The Sidekiq whose form of times is written; all are read. Default 7. */
  readonly version?: Version;
  /** What all keys begin with, before a colon. Default: nothing. */
  readonly namespace?: string;
  /** The number of the database: messages between processes know no databases. Default 0. */
  readonly database?: number;
  /** Default: that of the Redis server. */
  readonly clock?: Clock;
}

/** What one `tidy` removes at most. */
const TIDY = 1_000;

export class SidekiqBackend implements B.Backend {
  readonly name: string;
  readonly lacks = lacks;
  readonly ahead = ahead;
  readonly #link: Link;
  readonly #version: Version;
  readonly #calls: Calls<Command>;
  readonly #ears: Ears;
  readonly #lookout: Lookout;
  readonly #desk: Desk;
  readonly #claims: Claims;
  readonly #jids = new Jids();
  readonly #heart = new Heart((server) => this.beat(server));
  readonly #startedAt: number;
  #roundTrip = 0;
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(link: Link, options: SidekiqOptions = {}) {
    const { version = 7, namespace, database = 0, clock } = options;
    const isNamespace = namespace === undefined || /^[^{}]+$/.test(namespace);
    assertOption('namespace', namespace, isNamespace, 'a non-empty string without braces');
    this.name = `sidekiq:${link.name}`;
    this.#link = link;
    this.#version = version;
    const prefix = `${namespace === undefined ? '' : `${namespace}:`}millrace:`;
    this.#calls = new Calls(link, scriptOf, { prefix, clock, common: { db: database } });
    this.#ears = new Ears(link, `${prefix}${database}:`, this.#calls.who);
    this.#startedAt = this.#calls.now();
    this.#lookout = new Lookout(clock ?? systemClock, async (queues) => {
      const found = (await this.#calls.ask('peek', { queues })) as Buffer[];
      if (this.#state === 'open') this.#ears.tell(found.map(String));
    });
    this.#desk = new Desk(this.#calls, version);
    this.#claims = new Claims(this.#calls, version);
    if (!clock) this.startHeart = (server, heart) => this.#startHeart(server, heart);
  }

  /** 15 s and count⁴ more, and up to `10 × (count + 1)` s at random; `count` is 0 at the first failure. */
  readonly backoff: Backoff = (attempt, random) =>
    1_000 * ((attempt - 1) ** 4 + 15 + Math.floor(10 * attempt * random()));

  /** Rejects with BACKEND_UNAVAILABLE and what else `Link.open` says, and then holds nothing; it may be tried again. */
  async open(): Promise<void> {
    if (this.#state === 'closed') this.#assertOpen();
    await this.#calls.open();
    this.#state = 'open';
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#ears.clear();
    this.#lookout.clear();
    await this.#heart.close();
    await this.#link.close();
  }

  async add(groups: readonly B.AddGroup[]): Promise<readonly B.AddResult[]> {
    this.#assertOpen();
    for (const group of groups) {
      check.assertGroup(group);
      for (const job of group.jobs) {
        check.assertJob(job);
        refuse(this.name, gapsOf(job));
      }
    }
    const packed = groups.map((group) => packGroup(group, this.#jids, this.#calls.now(), this.#version));
    const stored = this.#calls.change('add', { groups: packed.map(({ request }) => request), by: this.#calls.who });
    // A claim that is made at once goes behind the add on the same connection, so it finds the jobs.
    this.#ears.tell(packed.flatMap(({ queues }) => queues));
    const results = (await stored) as [Buffer, Received?, number?][];
    return results.map(([word, detail, waiting], i): B.AddResult => {
      const status = String(word) as B.AddResult['status'];
      if (status === 'stored') return { status, ids: packed[i]?.ids ?? [] };
      if (status === 'repeated') return { status, ids: (detail as Buffer[]).map(String) };
      if (status === 'mismatch') return { status };
      return { status, queue: String(detail), waiting: waiting ?? 0, limit: groups[i]?.maxWaiting ?? 0 };
    });
  }

  async claim(request: B.ClaimRequest): Promise<B.ClaimResult> {
    this.#assertOpen();
    check.assertLimit(request.limit);
    return this.#claims.claim(request);
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    for (const { ending } of outcomes) check.assertEnding(ending);
    const moves: Sendable[] = [];
    const rewritten: { readonly i: number; readonly claim: number; readonly ending: Rewritten }[] = [];
    for (const [i, { claim, ending }] of outcomes.entries()) {
      if (ending.kind === 'returned') moves.push(i + 1, { kind: 'back' });
      else if (ending.kind !== 'completed') rewritten.push({ i, claim, ending });
    }
    const held = await this.#held(server, rewritten);
    for (const [n, { i, ending }] of rewritten.entries()) {
      const [queue, , raw] = held[n] || [];
      const job = raw && readJob(raw);
      // What is not held any more is stale, whatever is said of it here.
      const otherwise = raw ? { kind: 'dead', job: raw, hasFailed: true } : { kind: 'gone' };
      moves.push(i + 1, job ? toMove(job, String(queue), ending, this.#calls.now(), this.#version) : otherwise);
    }
    const claims = outcomes.map(({ claim }) => claim);
    const request = { server, claims, ids: outcomes.map(({ id }) => id), moves, day: dayOf(this.#calls.now()) };
    return toTaken(await this.#calls.change('settle', request));
  }

  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    this.#assertOpen();
    const packed = reports.map((report) => {
      check.assertReport(report);
      const { id, claim, progress, log } = report;
      return { id, claim, progress, log: log?.map(({ at, text }) => ({ at, text: text.slice(0, maxLogLine) })) };
    });
    return toTaken(await this.#calls.change('report', { server, reports: packed }));
  }

  async beat(server: B.ServerInfo): Promise<void> {
    this.#assertOpen();
    await this.#calls.ask('beat', { id: server.id, info: JSON.stringify(this.#shown(server)) });
  }

  /** From a thread of its own. Absent with a clock of the caller's: that thread would have another one. */
  readonly startHeart?: (server: B.ServerInfo, options: B.HeartOptions) => Promise<void>;

  async #startHeart(server: B.ServerInfo, options: B.HeartOptions): Promise<void> {
    check.assertHeart(options);
    await this.beat(server);
    const make = () => ({ address: this.#link.address, script: this.#calls.script('beat') });
    this.#heart.start({ server: this.#shown(server), keys: [this.#calls.prefix], options }, make);
  }

  async leave(server: string): Promise<void> {
    this.#assertOpen();
    // First, or its next beat would register the server again.
    await this.#heart.stop(server);
    await this.#calls.change('leave', { id: server });
    this.#calls.forget(server);
  }

  async rescue(lease: number): Promise<number> {
    this.#assertOpen();
    const { code, message } = new MillraceError('SERVER_DIED', { server: 'that ran it' });
    const crash = { class: code, message, most: defaultSettings.maxCrashes };
    return (await this.#calls.change('rescue', { lease: this.#calls.fair(lease), crash })) as number;
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    this.#assertOpen();
    const orders = (await this.#calls.ask('orders', { id: server })) as [number, Buffer, Buffer][];
    return orders.map(([claim, id, reason]) => ({ kind: 'cancel', id: String(id), claim, reason: String(reason) }));
  }

  /** What the buttons of Sidekiq Web ask for. */
  async signal(server: string): Promise<B.Signal | undefined> {
    this.#assertOpen();
    const began = performance.now();
    const rss = Math.round(process.memoryUsage.rss() / 1024);
    const signal = String(await this.#calls.ask('signal', { id: server, rss, rtt: this.#roundTrip }));
    this.#roundTrip = Math.round((performance.now() - began) * 1_000);
    return signal === '' ? undefined : (signal as B.Signal);
  }

  async tidy(): Promise<number> {
    this.#assertOpen();
    return (await this.#calls.change('tidy', { limit: TIDY })) as number;
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    this.#assertOpen();
    const stop = this.#ears.listen(topic, listener);
    if (!('queues' in topic)) return stop;
    const leave = this.#lookout.watch(topic.queues);
    return () => {
      stop();
      leave();
    };
  }

  async counts(): Promise<readonly QueueCounts[]> {
    this.#assertOpen();
    const [queues, scheduled, retryable, discarded, cancelled] = await Promise.all([
      this.#calls.ask('queues') as Promise<[Buffer, number, number, number, boolean][]>,
      this.#desk.tally('schedule'),
      this.#desk.tally('retry'),
      this.#desk.tally('dead'),
      this.#desk.tally('cancelled'),
    ]);
    const lists = new Map(queues.map(([name, ...numbers]) => [String(name), numbers]));
    const names = new Set([...lists.keys(), ...scheduled.keys(), ...retryable.keys(), ...discarded.keys()]);
    return [...names].sort().map((queue) => {
      const [available = 0, running = 0, completed = 0, paused = false] = lists.get(queue) ?? [];
      return {
        queue,
        scheduled: scheduled.get(queue) ?? 0,
        available,
        running,
        retryable: retryable.get(queue) ?? 0,
        discarded: discarded.get(queue) ?? 0,
        cancelled: cancelled.get(queue) ?? 0,
        quarantined: 0,
        completed,
        settings: { ...defaultSettings, paused },
      };
    });
  }

  /** Ours, then those of Ruby. */
  async servers(): Promise<readonly ServerRecord[]> {
    this.#assertOpen();
    const all = (await this.#calls.ask('servers')) as ([Buffer, number, number] | [false, Buffer, Buffer, Buffer])[];
    return all.flatMap(([info, ...rest]) => {
      if (info !== false) {
        const [beatAt, running] = rest as [number, number];
        return [{ ...readServer(String(info)), beatAt, running }];
      }
      const [about, busy, beat] = rest.map(String);
      return readProcess(about ?? '', busy ?? '', beat ?? '') ?? [];
    });
  }

  async get(id: string): Promise<JobRecord | undefined> {
    for (let after: string | undefined; ; ) {
      const { jobs, next } = await this.list({ ids: [id] }, { limit: 1, ...(after !== undefined && { after }) });
      if (jobs[0] || next === undefined) return jobs[0];
      after = next;
    }
  }

  async list(
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }> {
    this.#assertOpen();
    this.#assertLook(filter, page);
    const { found, ...rest } = await this.#desk.find(filter, page, 100);
    return { jobs: found.map(({ record }) => record), ...rest };
  }

  async act(
    action: Action,
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly count: number; readonly next?: string }> {
    this.#assertOpen();
    check.assertAction(action);
    this.#assertLook(filter, page);
    return this.#desk.act(action, filter, page, 1_000);
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    this.#assertOpen();
    const isName = typeof queue === 'string' && queue.length > 0 && queue.isWellFormed();
    assertOption('queue', queue, isName, 'a non-empty, well-formed string');
    changed(defaultSettings, change); // what is wrong is wrong, whatever can be done here
    const { paused, ...others } = change;
    if (Object.values(others).some((value) => value !== undefined)) {
      refuse(this.name, [change.events === undefined ? 'limits' : 'events']);
    }
    return { ...defaultSettings, paused: (await this.#calls.change('pause', { queue, paused })) === true };
  }

  // What the wire cannot do.

  async update(changes: readonly B.JobChange[]): Promise<readonly B.ChangeResult[]> {
    return this.#without([], changes.length > 0 ? 'update' : undefined);
  }

  async putSchedule(): Promise<void> {
    this.#without(undefined, 'schedules');
  }

  async removeSchedule(): Promise<boolean> {
    return this.#without(false);
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    return this.#without([]);
  }

  async dueSchedules(): Promise<DueSchedules> {
    return this.#without({ now: this.#calls.now(), due: [] });
  }

  async fire(firings: readonly unknown[]): Promise<readonly FiringResult[]> {
    return this.#without(firings.map(() => ({ status: 'stale' as const })));
  }

  async events(after = 0): Promise<JobEvents> {
    return this.#without({ events: [], last: after, missed: false });
  }

  /** @param use what is asked for, if it is more than whether there is something */
  #without<T>(nothing: T, use?: 'update' | 'schedules'): T {
    this.#assertOpen();
    refuse(this.name, use ? [use] : []);
    return nothing;
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  /** With what Sidekiq shows of it. */
  #shown(server: B.ServerInfo): B.ServerInfo {
    const shown = { ...server, process: processOf(server, this.#startedAt, this.#version) };
    return shown;
  }

  #assertLook(filter: JobFilter, page: Page): void {
    check.assertFilter(filter);
    check.assertPage(page);
    refuse(this.name, gapsOfFilter(filter));
  }

  /** As they were claimed; false for those that are not held any more. */
  async #held(server: string, jobs: readonly { readonly claim: number }[]) {
    if (jobs.length === 0) return [];
    const claims = jobs.map(({ claim }) => claim);
    return (await this.#calls.ask('held', { server, claims })) as ([Buffer, number, Buffer] | false)[];
  }
}

function toTaken(answer: Received): B.SettleResult[] {
  return Array.from(String(answer), (digit) => (digit === '1' ? 'taken' : 'stale'));
}
