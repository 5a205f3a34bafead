/**
 * One hash tag, and all that lies behind it: a set of jobs on which one call at a time works. A plain Redis has one, a
 * cluster several (`cluster/cluster.ts`).
 *
 * `ask` and `change` cost one round trip each. What is sent again because its answer was lost is answered as the first time.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { isError, MillraceError } from '../../errors.ts';
import { Ids, newStoreId } from '../ids.ts';
import type { JobRecord } from '../records.ts';
import { ScriptError } from './link/failure.ts';
import type { Link, Script } from './link/link.ts';
import { Lulls } from './lulls.ts';
import { decode, encode, type Received, type Sendable } from './msgpack.ts';
import { toId } from './pack.ts';
import { type Command, scriptOf } from './scripts.ts';
import { ServerClock } from './server-clock.ts';
import { type Seen, type Template, templateOf, toRecord } from './shown.ts';
import { Turns } from './turns.ts';

export type Request = { readonly [name: string]: Sendable };

/** What a claim is answered. */
export interface Claim {
  readonly numbers: readonly number[];
  readonly records: readonly Buffer[];
  readonly statuses: readonly Buffer[];
  readonly now: number;
  readonly nextAt?: number;
  readonly lost: readonly number[];
}

export interface ShardOptions {
  /** Default: that of the Redis server. */
  readonly clock?: Clock | undefined;
  /** Goes with every request. */
  readonly common?: (() => Request) | undefined;
  /** Hears the time of the Redis server. Default: one of its own. */
  readonly time?: ServerClock;
}

/** What this process calls itself in what it sends and publishes. */
export const newName = () => randomBytes(9).toString('base64url');

/** How the keys are laid out; goes up when an older program could not read them. */
const layout = 1;

export class Shard {
  /** What all of its keys begin with. */
  readonly prefix: string;
  readonly who: string;
  /** Of the Redis server. */
  readonly time: ServerClock;
  readonly #link: Link;
  readonly #clock: Clock | undefined;
  readonly #common: (() => Request) | undefined;
  readonly #lulls: Lulls;
  readonly #templates = new Map<number, Template>();
  #ids = new Ids('');
  /** Redis 7 or newer, or Valkey. */
  #isModern = false;
  /** Of the calls that change something, and of the claims: as many as scripts remember answers. */
  readonly #turns = new Turns(64);
  readonly #claims = new Turns(16);
  /** By server: claims whose answers never came. */
  readonly #lost = new Map<string, Set<number>>();

  constructor(link: Link, tag: string, who: string, { clock, common, time }: ShardOptions = {}) {
    this.prefix = `{${tag}}:`;
    this.who = who;
    this.#link = link;
    this.#clock = clock;
    this.#lulls = new Lulls(clock);
    this.#common = common;
    this.time = time ?? new ServerClock();
  }

  /** The link is open. */
  async open(isModern: boolean): Promise<void> {
    this.#isModern = isModern;
    const sentAt = this.time.mark();
    const [store, now] = (await this.ask('open', { store: newStoreId(), layout })) as [Buffer, number];
    this.time.heard(now, sentAt);
    this.#ids = new Ids(String(store));
  }

  get ids(): Ids {
    return this.#ids;
  }

  script(command: Command): Script {
    return scriptOf(command, this.#isModern, this.prefix);
  }

  /** Asks what changes nothing, or what bears being done twice. */
  async ask(command: Command, request: Request): Promise<Received> {
    const timed = this.#clock ? { ...request, now: Math.ceil(this.#clock.now()) } : request;
    const whole = this.#common ? { ...timed, ...this.#common() } : timed;
    try {
      return decode(await this.#lulls.watch(() => this.#link.run(this.script(command), this.prefix, encode(whole))));
    } catch (error) {
      if (error instanceof ScriptError && error.code === 'SERVER_UNKNOWN') {
        throw new MillraceError('SERVER_UNKNOWN', { server: error.detail });
      }
      if (error instanceof ScriptError && error.code === 'SCHEMA_TOO_NEW') {
        throw new MillraceError('SCHEMA_TOO_NEW', {
          path: this.#link.name,
          found: Number(error.detail),
          known: layout,
        });
      }
      throw error;
    }
  }

  /** See Link. */
  get detours(): number {
    return this.#link.detours;
  }

  /**
   * Asks for what must be done once.
   * @param sent is called in the turn in which it leaves
   */
  change(command: Command, request: Request, sent?: () => void): Promise<Received> {
    return this.#turns.take((turn) => {
      const answer = this.ask(command, { ...request, who: this.who, turn });
      sent?.();
      return answer;
    });
  }

  /** @param texts for the history of the jobs */
  rescue(lease: number, texts: Request): Promise<Received> {
    return this.change('rescue', { ...texts, lease: this.#lulls.fair(lease) });
  }

  /**
   * Once in the life of its jobs: a claim that was given up may have been made all the same, and then nobody would run what it
   * gave, so the next one of the same server gets it.
   */
  claim(server: string, queues: readonly string[], limit: number): Promise<Claim> {
    return this.#claims.take(async (turn) => {
      const lost = this.#lost.get(server) ?? new Set();
      const request = { server, queues, limit, claimer: `${this.who}:${server}`, turn, lost: [...lost] };
      try {
        const sentAt = this.time.mark();
        const claim = (await this.ask('claim', request)) as unknown as Claim;
        this.time.heard(claim.now, sentAt);
        await this.learn(claim.records);
        for (const known of request.lost) if (!claim.lost.includes(known)) lost.delete(known);
        if (lost.size === 0 && this.#lost.get(server) === lost) this.#lost.delete(server);
        return claim;
      } catch (error) {
        if (isError(error, 'BACKEND_UNAVAILABLE')) {
          const all = this.#lost.get(server) ?? new Set();
          this.#lost.set(server, all.add(turn));
        }
        throw error;
      }
    });
  }

  /** The server has left. */
  forget(server: string): void {
    this.#lost.delete(server);
  }

  /** What the records name by a number, as far as it was not met before. */
  async learn(records: readonly Buffer[]): Promise<void> {
    let last = -1;
    for (const record of records) {
      const no = templateOf(record);
      if (no === last) continue;
      last = no;
      if (this.#templates.has(no)) continue;
      const [queue, name, priority, maxAttempts] = (await this.ask('template', { no })) as [
        Buffer,
        Buffer,
        number,
        number,
      ];
      this.#templates.set(no, { queue: String(queue), name: String(name), priority, maxAttempts });
    }
  }

  /** Of a record that was shown to `learn`. */
  template(record: Buffer): Template {
    return this.#templates.get(templateOf(record)) as Template;
  }

  /** Likewise. */
  show(seen: Seen): JobRecord {
    return toRecord(seen, this.template(seen[2]), toId(seen[0], this.#ids));
  }
}
