/**
 * A real Redis or Valkey server for one test file: on a free port of this machine, in a folder of its own, gone with the
 * process that started it, however that ends.
 *
 * It binds its port itself; when somebody else has it, another one is tried, so two test files never meet.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createClient } from 'redis';

export interface RedisServerOptions {
  /** Every acknowledged write is on disk (`always`), or after a second (`everysec`, the default). */
  readonly appendfsync?: 'always' | 'everysec';
  /** More lines of redis.conf, without the dashes. */
  readonly config?: Readonly<Record<string, string>>;
  /** A configuration file to start with, made from the port and the folder. */
  readonly file?: (port: number, folder: string) => string;
  /** Flags after all others. */
  readonly flags?: readonly string[];
}

/** The program to start: `MILLRACE_REDIS_SERVER`, or the first of these on the PATH. */
export function findRedisServer(): string {
  const chosen = process.env.MILLRACE_REDIS_SERVER;
  if (chosen) return chosen;
  for (const program of ['redis-server', 'valkey-server']) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      if (folder && existsSync(join(folder, program))) return join(folder, program);
    }
  }
  throw new Error(
    [
      'NO REDIS SERVER: neither `redis-server` nor `valkey-server` is on the PATH, so nothing about Redis can be tested.',
      'Get one with:  sh scripts/install-redis.sh   or:  apt-get install redis-server',
    ].join('\n'),
  );
}

/** Ports below those that the system gives to outgoing connections; a node of a cluster takes the one 10,000 above, too. */
const anyPort = () => 10_000 + Math.floor(Math.random() * 12_000);

export class RedisServer {
  readonly folder: string;
  readonly #options: RedisServerOptions;
  #port = 0;
  #child: ChildProcess | undefined;
  #log = '';

  private constructor(folder: string, options: RedisServerOptions) {
    this.folder = folder;
    this.#options = options;
  }

  /** Resolves when it answers. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await mkdtemp(join(tmpdir(), 'millrace-redis-')), options);
    try {
      for (let tries = 0; ; tries++) {
        server.#port = anyPort();
        try {
          await server.#launch('ready');
          return server;
        } catch (error) {
          if (tries === 20 || !/already in use/i.test(server.#log)) throw error;
        }
      }
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** Of its unix socket. */
  get path(): string {
    return join(this.folder, 'redis.sock');
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What it has printed since it was started last. */
  get log(): string {
    return this.#log;
  }

  /** On a connection of its own. */
  async command(...args: string[]): Promise<unknown> {
    const client = createClient({ RESP: 2, socket: { host: '127.0.0.1', port: this.#port, reconnectStrategy: false } });
    client.on('error', () => undefined); // told by what is awaited
    try {
      await client.connect();
      return await client.sendCommand(args);
    } finally {
      client.destroy();
    }
  }

  /** Of a signal that ends it, resolves when it has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = once(child, 'close');
    child.kill(signal);
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
    await ended;
  }

  /** In the same folder, on the same port. `listening`: does not wait until it has read its files. */
  async restart(until: 'ready' | 'listening' = 'ready'): Promise<void> {
    await this.kill();
    await this.#launch(until);
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #launch(until: 'ready' | 'listening'): Promise<void> {
    const { appendfsync = 'everysec', config = {}, file, flags = [] } = this.#options;
    const path = file?.(this.#port, this.folder);
    const settings = {
      port: String(this.#port),
      bind: '127.0.0.1',
      dir: this.folder,
      unixsocket: this.path,
      save: '',
      appendonly: 'yes',
      appendfsync,
      'repl-diskless-sync-delay': '0',
      ...config,
    };
    const args = path ? [path] : Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(findRedisServer(), [...args, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#log = '';
    this.#child = child;
    const watch = child.pid === undefined ? undefined : guard(child.pid, this.folder);
    child.once('close', () => {
      if (this.#child === child) this.#child = undefined;
      watch?.kill('SIGKILL');
    });
    await this.#printed(child, until === 'ready' ? /Ready to accept|Sentinel ID is/ : /Server initialized/);
  }

  #printed(child: ChildProcess, line: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const read = (bytes: Buffer) => {
        this.#log += bytes;
        if (line.test(this.#log)) resolve();
      };
      child.stdout?.on('data', read);
      child.stderr?.on('data', read);
      child.once('error', reject);
      child.once('close', (code) => reject(new Error(`${child.spawnfile} ended with ${code}:\n${this.#log}`)));
    });
  }
}

/** Ends the server when this process is gone, also when it was killed: then nobody holds the other end of the pipe. */
function guard(pid: number, folder: string): ChildProcess {
  const script = 'cat >/dev/null; kill -9 "$0" 2>/dev/null; rm -rf "$1"';
  const child = spawn('sh', ['-c', script, String(pid), folder], { stdio: ['pipe', 'ignore', 'ignore'] });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
