/** The scripts as calls: on one link, under one prefix, each with the moment and the name of who asks. */
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../../clock.ts';
import { isError, MillraceError } from '../../errors.ts';
import { ScriptError } from '../redis/link/failure.ts';
import type { Link, Script } from '../redis/link/link.ts';
import { Lulls } from '../redis/lulls.ts';
import { decode, encode, type Received, type Sendable } from '../redis/msgpack.ts';
import { Turns } from '../redis/turns.ts';
import { type Command, scriptOf } from './scripts.ts';

export type Request = { readonly [name: string]: Sendable };

export interface CallsOptions {
  /** `<namespace>millrace:` */
  readonly prefix: string;
  readonly database: number;
  readonly clock: Clock | undefined;
}

export class Calls {
  /** Names this object to the scripts. */
  readonly who = randomBytes(9).toString('base64url');
  readonly prefix: string;
  readonly #link: Link;
  readonly #options: CallsOptions;
  readonly #lulls: Lulls;
  readonly #turns = new Turns(64);
  readonly #claims = new Turns(16);
  #isModern = false;

  constructor(link: Link, options: CallsOptions) {
    this.#link = link;
    this.#options = options;
    this.prefix = options.prefix;
    this.#lulls = new Lulls(options.clock);
  }

  async open(): Promise<void> {
    await this.#link.open();
    this.#isModern = Number.parseInt((await this.#link.info()).redisVersion, 10) >= 7;
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  /** For what is written into jobs, as Ruby's clients do. Leases and what is due go by the clock of Redis. */
  now(): number {
    return Math.ceil((this.#options.clock ?? systemClock).now());
  }

  /** As the counters of a day are named. */
  day(): string {
    return new Date(this.now()).toISOString().slice(0, 10);
  }

  /** Asks what changes nothing, or what bears being done twice. */
  async ask(command: Command, request: Request = {}): Promise<Received> {
    const { database, clock } = this.#options;
    const message = { ...request, db: database, ...(clock && { now: this.now() }) };
    const madeAt = this.#lulls.now();
    try {
      const answer = await this.#link.run(this.script(command), this.prefix, encode(message));
      this.#lulls.answered(madeAt);
      return decode(answer);
    } catch (error) {
      if (isError(error, 'BACKEND_UNAVAILABLE')) this.#lulls.givenUp(madeAt);
      else this.#lulls.answered(madeAt);
      if (error instanceof ScriptError && error.code === 'SERVER_UNKNOWN') {
        throw new MillraceError('SERVER_UNKNOWN', { server: error.detail });
      }
      throw error;
    }
  }

  /** Asks for what must be done once. */
  change(command: Command, request: Request): Promise<Received> {
    return this.#turns.take((turn) => this.ask(command, { ...request, who: this.who, turn }));
  }

  /** The same for claims, whose answers are not kept but read again from what is held. */
  claim<T>(
    server: string,
    work: (ask: (request: Request) => Promise<Received>, turn: number) => Promise<T>,
  ): Promise<T> {
    const who = `${this.who}:${server}`;
    return this.#claims.take((turn) =>
      work((request) => this.ask('claim', { ...request, server, who, turn, claimer: true }), turn),
    );
  }

  script(command: Command): Script {
    return scriptOf(command, this.#isModern);
  }

  /** While nobody could reach Redis nobody could beat: that costs no lease. */
  fair(lease: number): number {
    return this.#lulls.fair(lease);
  }

  /** Jobs by queue in a set, page by page: Redis does other things in between. */
  async tally(place: 'schedule' | 'retry' | 'dead' | 'cancelled'): Promise<Map<string, number>> {
    const all = new Map<string, number>();
    for (let from = 0; ; from += TALLY) {
      const [size, ...pairs] = (await this.ask('tally', { place, from, count: TALLY })) as [number, ...Received[]];
      for (let i = 0; i < pairs.length; i += 2) {
        const queue = String(pairs[i]);
        all.set(queue, (all.get(queue) ?? 0) + (pairs[i + 1] as number));
      }
      if (size < TALLY) return all;
    }
  }
}

/** Jobs of a set that are counted at once. */
const TALLY = 1_000;
