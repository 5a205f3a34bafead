/**
 * Jobs in a cluster of Redis or Valkey servers: several shards (16, or `?shards=`), spread over the nodes, as one backend.
 *
 *   queue ──hash──▶ shard ──▶ a hash tag ──slot──▶ node
 *
 * A queue is in one shard, with all that is promised of it: its order, its keys, its limits, its unique rules. So a server of
 * one queue asks one node, and queues share out the nodes; what a cluster does not do is to spread one queue. A hot one is
 * several: `mail-0`, `mail-1`, … of equal weights; with 16 shards names that differ in their last digit are in different ones.
 *
 * What is not in one shard costs more, and is said where it is done: groups of jobs for several queues and own ids (adding.ts,
 * intents.ts), schedules (timetable.ts), servers (members.ts), events (numbering.ts), looking without a queue (../look.ts).
 *
 * The order of arrival of jobs in different shards is that of the clocks of their nodes; what one process adds after the
 * other is in order whatever the clocks say.
 *
 * Loss table: that of a plain Redis (../backend.ts), for each node. While a node is away without a replica, calls that need it
 * reject, and its queues stand still; the others go on. A call for several shards may then have been done in some of
 * them; whatever may be done twice is. The number of shards is written down when the cluster is used first, and stays.
 */
import type { Clock } from '../../../clock.ts';
import { assertOption, MillraceError } from '../../../errors.ts';
import type * as B from '../../backend.ts';
import * as check from '../../check.ts';
import type { Action, JobFilter, Page } from '../../filter.ts';
import type { JobEvents, JobRecord, QueueCounts, ServerRecord } from '../../records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from '../../schedule.ts';
import type { QueueSettings, SettingsChange } from '../../settings.ts';
import { crashTexts, isModern, meantBy, RedisBackend, type RedisOptions } from '../backend.ts';
import { Ears } from '../ears.ts';
import { Heart } from '../heart.ts';
import { ahead, type Link } from '../link/link.ts';
import { Look, walk } from '../look.ts';
import type { Result } from '../pack.ts';
import { sentOf } from '../search.ts';
import { ServerClock } from '../server-clock.ts';
import type { Request } from '../shard.ts';
import { Adding } from './adding.ts';
import { Claiming } from './claiming.ts';
import { formatPositions, parsePositions } from './cursor.ts';
import { Members, mergeServers } from './members.ts';
import { Numbering } from './numbering.ts';
import { Shards } from './shards.ts';
import { Timetable } from './timetable.ts';

export interface ClusterOptions extends RedisOptions {
  /** 1 to 256. Default: as many as there are; 16 for a cluster that is new to these jobs. */
  readonly shards?: number;
}

const SHARDS = 16;
const MAX_SHARDS = 256;

/** What there is once it is known how many shards there are. */
interface Parts {
  readonly shards: Shards;
  readonly backends: readonly RedisBackend[];
  readonly ears: Ears;
  readonly adding: Adding;
  readonly claiming: Claiming;
  readonly members: Members;
  readonly timetable: Timetable;
  readonly numbering: Numbering;
}

export class ClusterBackend implements B.Backend {
  readonly name: string;
  /** Absent where a clock of the caller's decides: there the beats are made by hand. */
  readonly startHeart?: (server: B.ServerInfo, options: B.HeartOptions) => Promise<void>;
  /** As far as the nodes agree on the time. */
  readonly clock: Clock;
  readonly pollInterval = 10_000;
  readonly ahead = ahead;
  readonly #link: Link;
  readonly #namespace: string;
  readonly #clock: Clock | undefined;
  readonly #time = new ServerClock();
  readonly #wanted: number | undefined;
  readonly #heart = new Heart((server) => this.beat(server));
  readonly #beating = new Map<string, readonly [B.ServerInfo, B.HeartOptions]>();
  #made: Parts | undefined;
  #isClosed = false;

  constructor(link: Link, { namespace = 'millrace', clock, shards }: ClusterOptions = {}) {
    assertOption('namespace', namespace, /^[^{}]+$/.test(namespace), 'a non-empty string without braces');
    const isNumber = shards === undefined || (Number.isInteger(shards) && shards >= 1 && shards <= MAX_SHARDS);
    assertOption('shards', shards, isNumber, `an integer from 1 to ${MAX_SHARDS}`);
    this.name = link.name;
    this.#link = link;
    this.#namespace = namespace;
    this.#clock = clock;
    this.clock = clock ?? this.#time;
    this.#wanted = shards;
    if (!clock) this.startHeart = (server, heart) => this.#startHeart(server, heart);
  }

  /** Rejects with OPTION_INVALID when the jobs are in another number of shards, and with what else `Link.open` says. */
  async open(): Promise<void> {
    if (this.#isClosed) throw this.#closed();
    await this.#link.open();
    const count = await this.#count();
    if (this.#wanted !== undefined && this.#wanted !== count) {
      await this.close();
      assertOption(
        'shards',
        this.#wanted,
        false,
        `${count}: the jobs of ${this.#namespace} are in so many, which stays`,
      );
    }
    const shards = new Shards(this.#link, this.#namespace, count, this.#clock, this.#time);
    const modern = isModern(await this.#link.info());
    await Promise.all(shards.all.map((shard) => shard.open(modern)));
    const ears = new Ears(this.#link, shards.channels, shards.who);
    const backends = shards.all.map((shard) => new RedisBackend(this.#link, {}, { shard, ears }));
    await Promise.all(backends.map((backend) => backend.open()));
    const members = new Members(shards, (server) => this.#beatMore(server));
    this.#made = {
      shards,
      backends,
      ears,
      members,
      adding: new Adding(shards, (queues) => ears.tell(queues)),
      claiming: new Claiming(shards, backends, members, this.clock),
      timetable: new Timetable(shards, backends),
      numbering: new Numbering(shards),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#made?.ears.clear();
    await this.#heart.close();
    await this.#link.close();
    await Promise.all(this.#made?.backends.map((backend) => backend.close()) ?? []);
  }

  async add(groups: readonly B.AddGroup[]): Promise<readonly B.AddResult[]> {
    return this.#parts.adding.add(groups);
  }

  async claim(request: B.ClaimRequest): Promise<B.ClaimResult> {
    const { claiming } = this.#parts;
    check.assertLimit(request.limit);
    return claiming.claim(request);
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<readonly B.SettleResult[]> {
    return this.#parts.claiming.settle(server, outcomes);
  }

  async report(server: string, reports: readonly B.Report[]): Promise<readonly B.SettleResult[]> {
    return this.#parts.claiming.report(server, reports);
  }

  async update(changes: readonly B.JobChange[]): Promise<readonly B.ChangeResult[]> {
    return this.#parts.claiming.update(changes);
  }

  async beat(server: B.ServerInfo): Promise<void> {
    await this.#parts.members.beat(server);
  }

  async leave(server: string): Promise<void> {
    const { members } = this.#parts;
    this.#beating.delete(server);
    await this.#heart.stop(server);
    await members.leave(server);
  }

  async rescue(lease: number): Promise<number> {
    const { shards, adding } = this.#parts;
    return sum(
      shards.all.map(async (shard, place) => {
        const answer = await shard.rescue(lease, crashTexts);
        const [count, overdue] = answer as unknown as [number, Buffer[]];
        for (let i = 0; i < overdue.length; i += 2) {
          await adding.resume(place, String(overdue[i]), overdue[i + 1] as Buffer);
        }
        return count;
      }),
    );
  }

  async orders(server: string): Promise<readonly B.Order[]> {
    const { members, backends } = this.#parts;
    return (await members.everywhere(server, async (place) => backends[place]?.orders(server) ?? [])).flat();
  }

  async tidy(): Promise<number> {
    return sum(this.#parts.backends.map((backend) => backend.tidy()));
  }

  listen(topic: B.Topic, listener: () => void): () => void {
    return this.#parts.ears.listen(topic, listener);
  }

  async putSchedule(schedule: Schedule): Promise<void> {
    const { timetable } = this.#parts;
    check.assertSchedule(schedule);
    await timetable.put(schedule);
  }

  async removeSchedule(key: string): Promise<boolean> {
    return this.#parts.timetable.remove(key);
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    return this.#parts.timetable.all();
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    const { timetable } = this.#parts;
    check.assertLimit(limit);
    return timetable.due(limit);
  }

  async fire(firings: readonly Firing[]): Promise<readonly FiringResult[]> {
    const { adding, timetable } = this.#parts;
    const keys = firings.map(({ key }) => key);
    const places = await timetable.find(keys, false);
    const results = await adding.fire(firings, places);
    const gone = firings.flatMap(({ key }, i) => (results[i]?.status === 'gone' && places.has(key) ? [i] : []));
    if (gone.length > 0) {
      // Some may have gone to other shards since they were seen.
      const left = gone.map((i) => firings[i] as Firing);
      const again = await adding.fire(left, await timetable.find(keys, true));
      for (const [at, i] of gone.entries()) results[i] = again[at] as Result;
    }
    return results.map((result) =>
      result.status === 'stored' ? { status: 'fired', ids: result.ids } : { status: 'stale' },
    );
  }

  async counts(): Promise<readonly QueueCounts[]> {
    return (await Promise.all(this.#parts.backends.map((backend) => backend.counts()))).flat();
  }

  async servers(): Promise<readonly ServerRecord[]> {
    return mergeServers(await Promise.all(this.#parts.backends.map((backend) => backend.servers())));
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return (await this.list({ ids: [id] }, { limit: 1 })).jobs[0];
  }

  async list(
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }> {
    const looks = this.#looks(filter, page, {});
    const jobs: JobRecord[] = [];
    for await (const found of walk([...looks.values()], page.limit ?? 100)) jobs.push(...found.map(({ job }) => job));
    return { jobs, ...this.#next(looks) };
  }

  async act(
    action: Action,
    filter: JobFilter,
    page: Page = {},
  ): Promise<{ readonly count: number; readonly next?: string }> {
    const { shards } = this.#parts;
    check.assertAction(action);
    const { kind, ...details } = action;
    const concerns = { action: kind, meant: meantBy(filter) };
    const looks = this.#looks(filter, page, concerns);
    const request = { ...concerns, ...details, filter: sentOf(filter) };
    let count = 0;
    for await (const found of walk([...looks.values()], page.limit ?? 1_000)) {
      const position = count;
      const counts = shards.all.map(async (shard) => {
        const mine = found.flatMap((each, i) => (each.look.shard === shard ? [{ ...each, at: position + i }] : []));
        if (mine.length === 0) return 0;
        const numbers = mine.map(({ number }) => number);
        return (await shard.change('act', { ...request, numbers, positions: mine.map(({ at }) => at) })) as number;
      });
      for (const each of await Promise.all(counts)) count += each;
    }
    return { count, ...this.#next(looks) };
  }

  async configure(queue: string, change: SettingsChange): Promise<QueueSettings> {
    const { shards, backends } = this.#parts;
    return (backends[shards.of(String(queue))] as RedisBackend).configure(queue, change);
  }

  async events(after?: number, limit = 1_000): Promise<JobEvents> {
    const { numbering } = this.#parts;
    check.assertPage({ limit });
    return numbering.read(after, limit);
  }

  get #parts(): Parts {
    if (this.#isClosed || !this.#made) throw this.#closed();
    return this.#made;
  }

  #closed(): MillraceError {
    return new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }

  /** Of shards: as many as were wanted when the cluster was used first. */
  async #count(): Promise<number> {
    const key = `{${this.#namespace}}:shards`;
    await this.#link.command(key, ['SET', key, String(this.#wanted ?? SHARDS), 'NX']);
    return Number(await this.#link.command(key, ['GET', key]));
  }

  async #startHeart(server: B.ServerInfo, options: B.HeartOptions): Promise<void> {
    check.assertHeart(options);
    await this.beat(server);
    this.#beating.set(server.id, [server, options]);
    this.#beatMore(server.id);
  }

  /** The shards where the server beats may be others now. */
  #beatMore(id: string): void {
    const [server, options] = this.#beating.get(id) ?? [];
    if (!server || !options) return;
    const { shards, members } = this.#parts;
    const keys = [...members.placesOf(id)].map((place) => shards.at(place).prefix);
    const make = () => ({ address: this.#link.address, script: shards.at(0).script('beat') });
    this.#heart.start({ server, keys, options }, make);
  }

  /** By their places: those that may have something. */
  #looks(filter: JobFilter, page: Page, concerns: Request): ReadonlyMap<number, Look> {
    const { shards } = this.#parts;
    check.assertFilter(filter);
    check.assertPage(page);
    const positions = parsePositions(page.after, shards.all.length);
    const { queue, ids } = filter;
    const places = new Set(ids?.map((id) => shards.ofId(id)));
    const looks = new Map<number, Look>();
    for (const [place, from] of positions.entries()) {
      if (from === undefined || (queue !== undefined && shards.of(queue) !== place)) continue;
      // An own id may be anywhere.
      if (ids && !places.has(place) && !places.has(-1)) continue;
      looks.set(place, new Look(shards.at(place), filter, concerns, from));
    }
    return looks;
  }

  #next(looks: ReadonlyMap<number, Look>): { readonly next?: string } {
    const positions = this.#parts.shards.all.map((_, place) => looks.get(place)?.position);
    return positions.every((at) => at === undefined) ? {} : { next: formatPositions(positions) };
  }
}

/** Of what the shards did. Those that could not be asked do it next time, unless nobody did anything: then it rejects. */
async function sum(counts: readonly Promise<number>[]): Promise<number> {
  const results = await Promise.allSettled(counts);
  let all = 0;
  for (const result of results) if (result.status === 'fulfilled') all += result.value;
  const failed = results.find((result) => result.status === 'rejected');
  if (failed && all === 0) throw failed.reason;
  return all;
}
