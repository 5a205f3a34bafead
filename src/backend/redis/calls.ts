/**
 * Scripts as calls: on one link, under one prefix, each with the moment if the clock is the caller's, and those that are to be
 * done once with the name of who asks and a number. One round trip each; one that is sent again because its answer was lost is
 * answered as the first time.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../../clock.ts';
import { isError, MillraceError } from '../../errors.ts';
import { ScriptError } from './link/failure.ts';
import type { Link, Script } from './link/link.ts';
import { Lulls } from './lulls.ts';
import { decode, encode, type Received, type Sendable } from './msgpack.ts';
import type { ScriptOf } from './scripts.ts';
import { Turns } from './turns.ts';

export type Request = { readonly [name: string]: Sendable };

export interface CallsOptions {
  /** KEYS[1] of every script. */
  readonly prefix: string;
  /** Undefined: that of the Redis server. */
  readonly clock: Clock | undefined;
  /** Goes with every request. */
  readonly common?: Request;
}

export class Calls<Command extends string> {
  /** Names this object to the scripts. */
  readonly who = randomBytes(9).toString('base64url');
  readonly prefix: string;
  readonly #link: Link;
  readonly #scriptOf: ScriptOf<Command>;
  readonly #clock: Clock | undefined;
  readonly #common: Request | undefined;
  readonly #lulls: Lulls;
  /** Of the calls that change something, and of the claims: as many as scripts remember answers. */
  readonly #turns = new Turns(64);
  readonly #claims = new Turns(16);
  /** By server: claims whose answers never came, or came to nothing. */
  readonly #lost = new Map<string, Set<number>>();
  /** Redis 7 or newer, or Valkey. */
  #isModern = false;

  constructor(link: Link, scriptOf: ScriptOf<Command>, { prefix, clock, common }: CallsOptions) {
    this.prefix = prefix;
    this.#link = link;
    this.#scriptOf = scriptOf;
    this.#clock = clock;
    this.#common = common;
    this.#lulls = new Lulls(clock);
  }

  /** Opens the link too. */
  async open(): Promise<void> {
    await this.#link.open();
    this.#isModern = Number.parseInt((await this.#link.info()).redisVersion, 10) >= 7;
  }

  /** For what is only shown or written down; all that is decided goes by the clock of Redis. */
  now(): number {
    return Math.ceil((this.#clock ?? systemClock).now());
  }

  script(command: Command): Script {
    return this.#scriptOf(command, this.#isModern);
  }

  /** Asks what changes nothing, or what bears being done twice. */
  async ask(command: Command, request: Request = {}): Promise<Received> {
    const message = { ...request, ...this.#common, ...(this.#clock && { now: this.now() }) };
    try {
      return decode(await this.#lulls.watch(() => this.#link.run(this.script(command), this.prefix, encode(message))));
    } catch (error) {
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

  /**
   * A claim for a server, whose answer is not kept but read again from what is held. One that was given up may have been made all
   * the same, and then nobody would run what it gave: so the next one of the same server is told to put that back first.
   * @param work asks, with the number of this claim and those of claims that came to nothing
   */
  claim<T>(server: string, work: (turn: number, lost: readonly number[]) => Promise<T>): Promise<T> {
    return this.#claims.take(async (turn) => {
      const sent = [...(this.#lost.get(server) ?? [])];
      try {
        const result = await work(turn, sent);
        // Another claim may have been given up meanwhile.
        const lost = this.#lost.get(server);
        for (const known of sent) lost?.delete(known);
        if (lost?.size === 0) this.#lost.delete(server);
        return result;
      } catch (error) {
        if (!isError(error, 'SERVER_UNKNOWN')) {
          const lost = this.#lost.get(server) ?? new Set();
          this.#lost.set(server, lost.add(turn));
        }
        throw error;
      }
    });
  }

  /** The server has left. */
  forget(server: string): void {
    this.#lost.delete(server);
  }

  /** While nobody could reach Redis nobody could beat: that costs no lease. */
  fair(lease: number): number {
    return this.#lulls.fair(lease);
  }
}
