/** The scripts as calls: on one link, under one prefix, each with the moment and the name of who asks. */
import { randomBytes } from 'node:crypto';
import { isError, MillraceError } from '../../errors.ts';
import { ScriptError } from '../redis/link/failure.ts';
import type { Link, Script } from '../redis/link/link.ts';
import { Lulls } from '../redis/lulls.ts';
import { decode, encode, type Received, type Sendable } from '../redis/msgpack.ts';
import { Turns } from '../redis/turns.ts';
import type { Settings } from './options.ts';
import { type Command, scriptOf } from './scripts.ts';

type Request = { readonly [name: string]: Sendable };

export class Calls {
  /** Names this object to the scripts. */
  readonly who = randomBytes(9).toString('base64url');
  readonly prefix: string;
  readonly #link: Link;
  readonly #clock: Settings['clock'];
  readonly #lulls: Lulls;
  readonly #turns = new Turns(64);
  readonly #claims = new Turns(16);
  /** Redis 7 or newer, or Valkey. */
  #isModern = false;

  constructor(link: Link, { prefix, clock }: Pick<Settings, 'prefix' | 'clock'>) {
    this.prefix = prefix;
    this.#link = link;
    this.#clock = clock;
    this.#lulls = new Lulls(clock);
  }

  async open(): Promise<void> {
    await this.#link.open();
    this.#isModern = Number.parseInt((await this.#link.info()).redisVersion, 10) >= 7;
  }

  /** For what is only shown; all that is decided goes by the clock of Redis. */
  now(): number {
    return Math.ceil(this.#clock?.now() ?? Date.now());
  }

  script(command: Command): Script {
    return scriptOf(command, this.#isModern);
  }

  /** Asks what changes nothing, or what bears being done twice. */
  async ask(command: Command, request: Request): Promise<Received> {
    const message = this.#clock ? { ...request, now: this.now() } : request;
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
  claim(request: Request): Promise<Received> {
    return this.#claims.take((turn) => this.ask('claim', { ...request, claimer: this.who, turn }));
  }

  /** While nobody could reach Redis nobody could beat: that costs no lease. */
  fair(lease: number): number {
    return this.#lulls.fair(lease);
  }
}
