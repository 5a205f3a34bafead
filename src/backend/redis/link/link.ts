/**
 * The way to Redis, whatever stands there: one server, a master that sentinels watch, or a cluster. One multiplexed
 * connection per server carries all calls and messages of a process.
 *
 * A call settles within `timeout`: meanwhile connections may be lost, masters may change and slots may move, and it is
 * sent again, byte for byte. So what is sent must bear being done twice; the scripts do. A call that is given up says
 * whether it may have had its effect.
 *
 * An open link does not keep the process alive, unless calls are under way, somebody listens, or `ref` was called.
 */
import { type Clock, systemClock, type Timer } from '../../../clock.ts';
import { MillraceError } from '../../../errors.ts';
import { type Address, parseAddress } from './address.ts';
import { ClusterRoute } from './clustered.ts';
import type { Waits } from './confirm.ts';
import type { Connection } from './connection.ts';
import { type Arguments, loadDriver } from './driver.ts';
import { judge, type Verdict } from './failure.ts';
import { assertFit, evictionOf, readInfo, type ServerFacts } from './info.ts';
import { delayAfter, longestDelay } from './reconnect.ts';
import type { Route } from './route.ts';
import { SingleRoute } from './single.ts';
import type { Listener, Station } from './station.ts';

/** See Backend. What a call costs Redis by itself is a fifth of an add of so many jobs, a tenth of a settle. */
export const ahead = { add: 64, settle: 256 } as const;

export interface Script {
  readonly name: string;
  readonly text: string;
  /** SHA-1, hexadecimal. */
  readonly sha: string;
  /** Run before it on a server that did not know it, with the same key: such a server was started or promoted since. */
  readonly prelude?: string;
  /** Where it is a function, called `<library>_<name>`, for servers that take libraries. */
  readonly library?: Library;
}

export interface Library {
  readonly name: string;
  readonly text: string;
}

export interface Link {
  /** The URL without secrets and options. */
  readonly name: string;
  readonly isCluster: boolean;
  /** What another link to the same servers is made of, also in another thread. It has the secrets. */
  readonly address: Address;
  /** Goes up when a call is not sent at once, or once more: what was called after it may have got there before it. */
  readonly detours: number;
  /** After a failure nothing is left, and it may be tried again. */
  open(): Promise<void>;
  /** Waits for calls under way, then releases everything. Later calls reject with BACKEND_CLOSED. */
  close(): Promise<void>;
  /**
   * Runs the script where `key` is, with `key` as its first key and `request` as its only argument. Whatever keys it makes of
   * that, there must be none called `key` itself, `key` + `nothing` or `key` + `mark`.
   */
  run(script: Script, key: string, request: Uint8Array): Promise<Buffer>;
  /** Any other command that bears being done twice. Bulk strings come as Buffers, maps as flat arrays. */
  command(key: string | undefined, args: Arguments): Promise<unknown>;
  /**
   * Hears a channel of the server that has `key`. An empty message says that some may have been missed: it comes when the
   * subscription has begun, and again after each interruption. Returns the way to stop.
   */
  subscribe(key: string, channel: string, listener: Listener): () => void;
  info(): Promise<ServerFacts>;
  /** Keeps the process alive until `unref`, whether or not anything is under way. */
  ref(): void;
  unref(): void;
}

export interface LinkOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Longest time without a word from a server that owes an answer, ms. Default: half of the address's timeout, at most 5,000. */
  readonly silence?: number;
}

/** @throws OPTION_INVALID, OPTION_UNKNOWN. Connects to nothing yet. */
export function makeLink(address: string | Address, options: LinkOptions = {}): Link {
  return new RedisLink(typeof address === 'string' ? parseAddress(address) : address, options);
}

/** The server keeps this so long for nobody; it is there to be a write. */
const markTtl = '1000';

class Call {
  over = false;
  /** Whether it may have had its effect. */
  unsure = false;
  /** Why it has no answer yet. */
  reason = 'the servers of the cluster are being looked for';
  pause: Timer | undefined;

  missing(what: string): void {
    this.reason = what;
  }
}

/** Verdicts after which the same server, or the right one, is asked without a pause; a few times. */
const atOnce: ReadonlySet<Verdict['kind']> = new Set(['moved', 'no script', 'no functions']);

/** Sends it once, on a connection. */
type Work<T> = (connection: Connection, call: Call) => Promise<T>;

class RedisLink implements Link {
  readonly name: string;
  readonly isCluster: boolean;
  readonly address: Address;
  readonly #waits: Waits | undefined;
  readonly #clock: Clock;
  readonly #longest: number;
  readonly #route: Route;
  /** Everything else is unref'd; this one timer says whether the process must stay. */
  readonly #anchor = setInterval(() => undefined, 2 ** 31 - 1).unref();
  #state: 'new' | 'open' | 'closing' = 'new';
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;
  #pending = 0;
  #detours = 0;
  #listeners = 0;
  #isReferenced = false;
  #isHeld = false;

  constructor(address: Address, { clock = systemClock, silence }: LinkOptions) {
    this.name = address.name;
    this.isCluster = address.kind === 'cluster';
    this.address = address;
    this.#clock = clock;
    const { waitForReplicas: replicas, waitForDisk: disk, timeout } = address;
    if (replicas > 0 || disk) this.#waits = { replicas, disk };
    this.#longest = longestDelay(timeout);
    const longest = this.#longest;
    const options = { address, clock, silence: silence ?? Math.min(5_000, Math.ceil(timeout / 2)), longest };
    this.#route = this.isCluster ? new ClusterRoute(options) : new SingleRoute(options);
  }

  get detours(): number {
    return this.#detours;
  }

  open(): Promise<void> {
    if (this.#closing) return Promise.reject(this.#closed());
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      this.#route.disconnect();
      throw error;
    });
    return this.#opening;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  run(script: Script, key: string, request: Uint8Array): Promise<Buffer> {
    const bytes = Buffer.isBuffer(request)
      ? request
      : Buffer.from(request.buffer, request.byteOffset, request.byteLength);
    // While a slot is on its way to another node its keys are here and there, and a script would find half of them. Two
    // keys that are never there make both nodes refuse it (TRYAGAIN) until the slot has arrived.
    const keys = this.isCluster ? ['2', key, `${key}nothing`] : ['1', key];
    const evaluate: Work<Buffer> = (connection) =>
      connection.send([...connection.callOf(script), ...keys, bytes]) as Promise<Buffer>;
    return this.#call(key, this.#waits ? confirmed(evaluate, key, this.#waits) : evaluate, script);
  }

  command(key: string | undefined, args: Arguments): Promise<unknown> {
    return this.#call(key, (connection) => connection.send(args));
  }

  subscribe(key: string, channel: string, listener: Listener): () => void {
    if (this.#state === 'closing') return () => undefined;
    let stop: (() => void) | undefined = this.#route.listen(key, channel, listener);
    this.#listeners++;
    this.#hold();
    return () => {
      if (!stop) return;
      stop();
      stop = undefined;
      this.#listeners--;
      this.#hold();
    };
  }

  async info(): Promise<ServerFacts> {
    const facts = readInfo(String(await this.command(undefined, ['INFO'])));
    const config = await this.command(undefined, ['CONFIG', 'GET', 'appendfsync']).catch(() => []);
    const appendfsync = (config as Buffer[])[1]?.toString();
    return { ...facts, ...(appendfsync && { appendfsync }) };
  }

  ref(): void {
    this.#isReferenced = true;
    this.#hold();
  }

  unref(): void {
    this.#isReferenced = false;
    this.#hold();
  }

  async #open(): Promise<void> {
    await loadDriver(); // not in the time of the first call: a busy machine takes a while
    const ask = (args: Arguments) => this.#call(undefined, (connection) => connection.send(args), undefined, true);
    const facts = readInfo(String(await ask(['INFO'])));
    assertFit(facts, this.address);
    await ask(['EVAL', 'return cmsgpack.pack(1)', '0']);
    if (this.#closing) throw this.#closed();
    this.#state = 'open';
    const eviction = evictionOf(facts);
    if (eviction) {
      process.emitWarning(`${this.name}: ${eviction} (maxmemory-policy ${facts.maxmemoryPolicy})`, {
        code: 'MILLRACE_REDIS_EVICTION',
        detail: 'Set maxmemory-policy to noeviction: then new jobs are refused instead.',
      });
    }
  }

  async #close(): Promise<void> {
    this.#state = 'closing';
    this.#hold();
    await this.#opening?.catch(() => undefined);
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.#route.close();
    clearInterval(this.#anchor);
  }

  /** @param early while the link is being opened */
  #call<T>(key: string | undefined, work: Work<T>, script?: Script, early = false): Promise<T> {
    if (this.#state !== 'open' && !early) return Promise.reject(this.#closed());
    return new Promise<T>((resolve, reject) => {
      const call = new Call();
      const end = () => {
        call.over = true;
        timer.cancel();
        call.pause?.cancel();
        if (--this.#pending === 0) this.#rest();
      };
      const timer = this.#clock.timer(
        this.address.timeout,
        () => {
          end();
          reject(this.#overdue(call));
        },
        { unref: true },
      );
      if (this.#pending++ === 0) this.#hold();
      this.#attempt(call, key, work, script).then(
        (value) => {
          if (call.over) return;
          end();
          resolve(value);
        },
        (error) => {
          if (call.over) return;
          end();
          reject(error);
        },
      );
    });
  }

  /** Sends it until it is answered. After the call is over, whatever this resolves to is heard by nobody. */
  async #attempt<T>(call: Call, key: string | undefined, work: Work<T>, script: Script | undefined): Promise<T> {
    let detour: Station | undefined;
    for (let failures = 1; ; failures++) {
      const wasUnsure = call.unsure;
      const isDetour = detour !== undefined;
      let station = detour;
      let connection: Connection | undefined;
      detour = undefined;
      if (failures > 1) this.#detours++;
      try {
        const found = station ?? this.#route.find(key);
        if (found instanceof Promise) this.#detours++;
        station = await found;
        connection = station.connection;
        if (!connection) {
          this.#detours++;
          call.reason = station.trouble;
          connection = await station.connect();
        }
        if (call.over) throw new Error('given up');
        // The one command that follows may go to a slot which is still on its way there.
        if (isDetour) connection.send(['ASKING']).catch(() => undefined);
        const answer = work(connection, call);
        call.unsure = true;
        call.reason = '';
        return await answer;
      } catch (error) {
        const verdict = judge(error, this.name);
        if (verdict.kind === 'final') throw verdict.error;
        if (call.over) throw error;
        if (verdict.kind === 'lost' && this.#state === 'new') throw this.#unavailable(verdict.reason);
        if (verdict.kind !== 'lost') call.unsure = wasUnsure;
        call.reason = verdict.reason;
        if (verdict.kind === 'moved' && station) {
          detour = this.#route.moved(station, verdict, verdict.once);
        } else if (verdict.kind === 'no script' && script && connection) {
          await connection.load(script, key as string).catch(() => undefined); // the next try tells why
        } else if (verdict.kind === 'no functions') {
          connection?.refuseLibraries();
        } else if (verdict.kind === 'elsewhere') {
          connection?.drop(verdict.reason);
        } else if (verdict.kind === 'lost' && station && connection?.isOver !== false) {
          continue; // the next connection comes after a pause of its own
        }
        if (failures < 6 && atOnce.has(verdict.kind)) continue;
      }
      await this.#pause(call, failures);
    }
  }

  #pause(call: Call, failures: number): Promise<void> {
    return new Promise((resolve) => {
      call.pause = this.#clock.timer(delayAfter(failures, this.#longest), resolve, { unref: true });
    });
  }

  #rest(): void {
    this.#hold();
    this.#drained?.();
  }

  #hold(): void {
    const isHeld = this.#pending > 0 || this.#listeners > 0 || this.#isReferenced;
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld) this.#anchor.ref();
    else this.#anchor.unref();
  }

  #overdue({ unsure, reason }: Call): MillraceError {
    const { timeout } = this.address;
    return unsure
      ? this.#unavailable(
          `no answer within ${timeout} ms${reason && ` (${reason})`}; the call may have had its effect`,
          true,
        )
      : this.#unavailable(`no answer within ${timeout} ms (${reason}); the call had no effect`);
  }

  #unavailable(reason: string, unsure = false): MillraceError {
    return new MillraceError('BACKEND_UNAVAILABLE', { backend: this.name, reason, ...(unsure && { unsure }) });
  }

  #closed(): MillraceError {
    return new MillraceError('BACKEND_CLOSED', { backend: this.name });
  }
}

/** Answers when what was written is also where `waits` wants it. */
function confirmed<T>(work: Work<T>, key: string, waits: Waits): Work<T> {
  return async (connection, call) => {
    // What was done before is only looked up now, and without a write of this connection there is nothing to wait for.
    if (call.unsure) connection.send(['SET', `${key}mark`, '', 'PX', markTtl]).catch(() => undefined);
    const [answer] = await Promise.all([work(connection, call), connection.confirm(waits, call)]);
    return answer;
  };
}
