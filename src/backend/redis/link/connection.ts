/**
 * One connection to one server, from its greeting to its loss; a lost one is not mended but replaced (see Station).
 *
 * Commands are pipelined, and messages of channels arrive on it too (RESP3). A connection that owes an answer and says
 * nothing for `silence` ms is dropped: after a network has gone silent TCP itself would wait for many minutes. While
 * somebody listens, an idle one is asked now and then.
 *
 * Costs one timer per connection. Nothing here keeps the process alive.
 */
import type { Clock, Timer } from '../../../clock.ts';
import { toError } from '../../../errors.ts';
import { type Access, type Place, readTls, showPlace } from './address.ts';
import { Confirmations, type Waiting, type Waits } from './confirm.ts';
import { type Arguments, type DriverClient, isReply, loadDriver } from './driver.ts';
import type { Library, Script } from './link.ts';

export interface ConnectionOptions {
  readonly clock: Clock;
  /** Longest time without a word from a server that owes an answer, ms. Connecting takes no longer, but gets a second. */
  readonly silence: number;
  /** A message, an empty one when some may have been missed. */
  readonly message: (channel: string, message: Buffer) => void;
  /** Called once, unless it was closed by `close`. */
  readonly lost: (reason: string) => void;
}

/** Bulk strings (`$` of RESP) come as Buffers, maps (`%`) as flat arrays. */
const replies = { 36: Buffer, 37: Array };

export class Connection {
  readonly place: Place;
  readonly #client: DriverClient;
  readonly #options: ConnectionOptions;
  /** Scripts and libraries on their way, by digest and name. */
  readonly #loading = new Map<string, Promise<unknown>>();
  #takesLibraries = true;
  #confirmations: Confirmations | undefined;
  /** The last change of what is subscribed to. */
  #changes: Promise<unknown> = Promise.resolve();
  #owed = 0;
  #heardAt = 0;
  #watch: Timer | undefined;
  #listening = false;
  #over = false;

  private constructor(place: Place, client: DriverClient, options: ConnectionOptions) {
    this.place = place;
    this.#client = client;
    this.#options = options;
  }

  /** Rejects with the driver's error, and then nothing is left. */
  static async open(place: Place, access: Access, options: ConnectionOptions, stop: AbortSignal): Promise<Connection> {
    const driver = await loadDriver();
    const tls = access.tls ? await readTls(access.tls) : {};
    const ended = new AbortController();
    const end = (reason: Error) => ended.abort(reason);
    const abort = () => end(new Error('the connection is not wanted any more'));
    const client = driver.createClient({
      ...(access.username !== undefined && { username: access.username }),
      ...(access.password !== undefined && { password: access.password }),
      database: access.db,
      RESP: 3,
      // A signal is the only way to end a socket that is still connecting. TCP's own limit is the one below.
      socket: { ...place, ...tls, connectTimeout: 0, reconnectStrategy: false, signal: ended.signal },
      commandOptions: { timeout: 0, typeMapping: replies },
      maintNotifications: 'disabled',
      disableClientInfo: true,
    });
    const connection = new Connection(place, client, options);
    client.on('error', (error) => connection.#end(error.message || 'the connection was closed'));
    client.unref();
    const patience = Math.max(options.silence, 1_000);
    const silent = () => end(new Error(`${showPlace(place)} said nothing for ${patience} ms`));
    const timer = options.clock.timer(patience, silent, { unref: true });
    stop.addEventListener('abort', abort);
    try {
      if (stop.aborted) abort();
      await untilAborted(client.connect(), ended.signal);
      return connection;
    } catch (error) {
      connection.close();
      throw ended.signal.aborted ? ended.signal.reason : error;
    } finally {
      timer.cancel();
      stop.removeEventListener('abort', abort);
    }
  }

  get isOver(): boolean {
    return this.#over;
  }

  send(args: Arguments): Promise<unknown> {
    return this.#owe(this.#client.sendCommand(args));
  }

  /**
   * Gives the server the library of a script, or its text, by running it without keys, for which scripts do nothing: Redis 6
   * would bring one that was given with SCRIPT LOAD to its replicas, and back after a restart. However many calls miss it, it
   * goes over once. A server that refuses a library is given scripts from then on.
   */
  load(script: Script, key: string): Promise<unknown> {
    const library = this.#takesLibraries ? script.library : undefined;
    const name = library?.name ?? script.sha;
    const known = this.#loading.get(name);
    if (known) return known;
    const loading = library ? this.#loadLibrary(library) : this.#loadScript(script, key);
    const forget = () => void this.#loading.delete(name);
    this.#loading.set(name, loading);
    loading.then(forget, forget);
    return loading;
  }

  /** What the server is told to run, without its keys and arguments. */
  callOf({ library, name, sha }: Script): Arguments {
    return library && this.#takesLibraries ? ['FCALL', `${library.name}_${name}`] : ['EVALSHA', sha];
  }

  /** From now on it is given scripts instead. */
  refuseLibraries(): void {
    this.#takesLibraries = false;
  }

  async #loadScript({ text, prelude }: Script, key: string): Promise<void> {
    if (prelude !== undefined) await this.send(['EVAL', prelude, '1', key]);
    await this.send(['EVAL', text, '0']);
  }

  async #loadLibrary({ text }: Library): Promise<void> {
    try {
      await this.send(['FUNCTION', 'LOAD', text]);
    } catch (error) {
      // Somebody else was faster.
      if (/already exists/.test(toError(error).message)) return;
      if (isReply(error)) this.refuseLibraries();
      throw error;
    }
  }

  /** Resolves when what was sent so far in this turn is where `waits` wants it. */
  confirm(waits: Waits, waiting: Waiting): Promise<void> {
    const patience = Math.min(1_000, Math.ceil(this.#options.silence / 2));
    this.#confirmations ??= new Confirmations((args) => this.send(args), waits, patience);
    return this.#confirmations.confirm(waiting);
  }

  subscribe(channels: string[]): Promise<unknown> {
    this.#listening = true;
    const { message, clock } = this.#options;
    const hear = (bytes: Buffer, channel: Buffer) => {
      this.#heardAt = clock.monotonic();
      message(channel.toString(), bytes);
    };
    return this.#oneByOne(() => this.#client.subscribe(channels, hear, true));
  }

  unsubscribe(channels: string[]): Promise<unknown> {
    return this.#oneByOne(() => this.#client.unsubscribe(channels, undefined, true));
  }

  /** Gives it up; what it owes is rejected, and may have happened. */
  drop(reason: string): void {
    this.#client.destroy();
    this.#end(reason);
  }

  close(): void {
    this.#over = true;
    this.#watch?.cancel();
    this.#client.destroy();
  }

  /** When it is told that it has left a channel, the driver forgets it, also when somebody has asked for it again meanwhile. */
  #oneByOne(change: () => Promise<unknown>): Promise<unknown> {
    const changed = this.#changes.then(() => this.#owe(change()));
    this.#changes = changed.catch(() => undefined); // told to who asked
    return changed;
  }

  #owe(answer: Promise<unknown>): Promise<unknown> {
    if (this.#owed++ === 0) this.#heardAt = this.#options.clock.monotonic();
    this.#watch ??= this.#lookIn(this.#options.silence);
    const heard = () => {
      this.#owed--;
      this.#heardAt = this.#options.clock.monotonic();
    };
    answer.then(heard, heard);
    return answer;
  }

  #lookIn(ms: number): Timer | undefined {
    if (this.#over) return undefined;
    return this.#options.clock.timer(ms, () => this.#look(), { unref: true });
  }

  #look(): void {
    this.#watch = undefined;
    if (this.#owed === 0 && !this.#listening) return;
    const { silence, clock } = this.#options;
    const left = this.#heardAt + silence - clock.monotonic();
    if (left > 0) {
      this.#watch = this.#lookIn(left);
    } else if (this.#owed === 0) {
      this.send(['PING']).catch(() => undefined); // its loss is told by `lost`
    } else {
      // When this process itself was busy for so long, the answer lies in the socket and is read before this runs.
      const before = this.#heardAt;
      setImmediate(() => {
        if (this.#heardAt === before && this.#owed > 0)
          this.drop(`${showPlace(this.place)} said nothing for ${silence} ms`);
        else this.#watch ??= this.#lookIn(silence);
      });
    }
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.close();
    this.#options.lost(reason);
  }
}

function untilAborted(connecting: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const done = () => signal.removeEventListener('abort', abort);
    connecting.then(resolve, reject).finally(done);
  });
}
