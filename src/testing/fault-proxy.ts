/**
 * A TCP proxy on this machine that breaks what goes through it, when told to: cut at once, cut after so many bytes of an
 * answer, or fall silent as a network does that nobody can see is gone.
 *
 * Nothing here waits by time: what has gone through is told by `passed`.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

interface Watch {
  readonly text: string;
  readonly resolve: () => void;
}

export class FaultProxy {
  readonly #server: Server;
  #target: number;
  readonly #pairs = new Set<Pair>();
  readonly #watches = new Set<Watch>();
  #isSilent = false;
  #refuses = false;
  /** Bytes of answers that may still pass before the connection is cut. */
  #allowance = Number.POSITIVE_INFINITY;
  /** And then new ones are refused. */
  #isLast = false;
  #connections = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** @param target the port that it stands in front of */
  static async start(target: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** How many it has accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Resolves when a request with this text has come, whether or not it is passed on. */
  passed(text: string): Promise<void> {
    return new Promise((resolve) => this.#watches.add({ text, resolve }));
  }

  /** New connections go to this port, as after the failover of an address. */
  set target(port: number) {
    this.#target = port;
  }

  /** Resets every connection, and takes new ones. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Answers pass up to so many bytes, then the connection is cut. The next one is whole again. */
  cutAfter(bytes: number): void {
    this.#allowance = bytes;
  }

  /** Answers pass up to so many bytes, then it is as after `refuse`: nobody is back before that. */
  refuseAfter(bytes: number): void {
    this.#allowance = bytes;
    this.#isLast = true;
  }

  /** Accepts and takes everything, and passes nothing on in either direction, until `mend`. */
  silence(): void {
    this.#isSilent = true;
  }

  /** Cuts every connection, and cuts new ones at once, until `mend`. */
  refuse(): void {
    this.#refuses = true;
    this.cut();
  }

  /** New connections are whole again; what a silent one has swallowed stays swallowed. */
  mend(): void {
    this.#isSilent = false;
    this.#refuses = false;
    this.#isLast = false;
    this.#allowance = Number.POSITIVE_INFINITY;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #accept(client: Socket): void {
    this.#connections++;
    client.on('error', () => undefined);
    if (this.#refuses) {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    server.on('error', end);
    client.on('close', end);
    server.on('close', end);
    client.on('data', (bytes) => {
      this.#see(bytes);
      if (!this.#isSilent) server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (this.#isSilent) return;
      if (bytes.length < this.#allowance) {
        this.#allowance -= bytes.length;
        client.write(bytes);
        return;
      }
      client.write(bytes.subarray(0, this.#allowance), () => client.resetAndDestroy());
      this.#allowance = Number.POSITIVE_INFINITY;
      if (this.#isLast) this.#refuses = true;
    });
  }

  #see(bytes: Buffer): void {
    for (const watch of this.#watches) {
      if (!bytes.includes(watch.text)) continue;
      this.#watches.delete(watch);
      watch.resolve();
    }
  }
}
