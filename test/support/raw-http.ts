/**
 * HTTP by hand for tests: sends any bytes over a socket, and reads whatever comes back as answers.
 *
 * `fetch` would refuse to send what these tests are about, and would hide how the connection ends.
 */
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawClient {
  readonly #socket: Socket;
  readonly #answers: Answer[] = [];
  #pieces: Buffer[] = [];
  /** Bytes that came, and how many must have come before looking at them again makes sense. */
  #size = 0;
  #needed = 0;
  #closed = false;
  #changed: (() => void)[] = [];
  /** Set for the next answer: it has no body whatever its headers say. */
  expectsHead = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  static connect(url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** Answers so far, `100 Continue` included. */
  get answers(): readonly Answer[] {
    return this.#answers;
  }

  send(bytes: string | Uint8Array): this {
    if (this.#socket.writable) this.#socket.write(bytes);
    return this;
  }

  /** Says that nothing more will come. */
  end(): this {
    this.#socket.end();
    return this;
  }

  /** Goes away without a word. */
  abort(): void {
    // A socket that is shutting down cannot be reset: its handle would stay open.
    if (this.#socket.writableEnded) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  /** The next answer that was not taken yet. Rejects when the connection ends before. */
  async next(): Promise<Answer> {
    while (this.#answers.length === 0) {
      if (this.#closed) throw new Error('the connection was closed without an answer');
      await this.#change();
    }
    return this.#answers.shift() as Answer;
  }

  /** Resolves when the connection is over. */
  async ended(): Promise<void> {
    while (!this.#closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  #take(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#needed) return;
    let received = Buffer.concat(this.#pieces);
    for (let end = received.indexOf('\r\n\r\n'); end !== -1; end = received.indexOf('\r\n\r\n')) {
      const [line = '', ...fields] = received.toString('latin1', 0, end).split('\r\n');
      const headers = Object.fromEntries(fields.map((field) => splitField(field)));
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
      const length = this.expectsHead || status < 200 ? 0 : Number(headers['content-length'] ?? 0);
      this.#needed = end + 4 + length;
      if (received.length < this.#needed) break;
      this.#answers.push({ status, headers, body: received.toString('utf8', end + 4, this.#needed) });
      received = received.subarray(this.#needed);
      this.#needed = 0;
      this.#wake();
    }
    this.#pieces = [received];
    this.#size = received.length;
  }
}

function splitField(field: string): [string, string] {
  const colon = field.indexOf(':');
  return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
}

/** The bytes of a POST to /payloads; a header set to undefined is left out. */
export function post(body: string | Uint8Array, headers: Readonly<Record<string, string | undefined>> = {}): Buffer {
  const bytes = Buffer.from(body);
  const all = { host: 'test', 'content-type': 'application/json', 'content-length': String(bytes.length), ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]));
  return Buffer.concat([Buffer.from(`POST /payloads HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]);
}
