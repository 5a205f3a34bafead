/**
 * The load: connections that post numbered collections as fast as they are answered. A program of its own.
 *
 *   node bench/ingest/load.ts --port 8080 --seconds 10 --connections 64
 *
 *   --port N           on 127.0.0.1
 *   --path /payloads   where to post
 *   --seconds N        how long requests are sent, after the warm-up. Default 10
 *   --warmup N         seconds that are not counted in the figures. Default 2
 *   --connections N    keep-alive connections, one request at a time on each. Default 64
 *   --pause MS         how long a connection rests after a 503 or 429. Default 100
 *   --outcomes FILE    a byte per request: 0 not sent, 1 accepted, 2 refused, 3 unknown
 *
 * Prints a `LoadProgress` once a second, and a `LoadResult` as its last line.
 *
 * It must take little of the machine that it measures: bare TCP, one prebuilt request per connection with only the digits
 * rewritten, and of an answer nothing is read but its status and length. About 15 µs of CPU per request.
 */
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { LatencyHistogram } from './latency.ts';
import { NumberedRequest } from './payloads.ts';
import { ACCEPTED, type LoadProgress, type LoadResult, REFUSED, UNKNOWN } from './protocol.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    path: { type: 'string', default: '/payloads' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    connections: { type: 'string', default: '64' },
    pause: { type: 'string', default: '100' },
    outcomes: { type: 'string' },
  },
});
const port = Number(values.port);
const pause = Number(values.pause);
/** After the last request was sent, how long its answer may take, ms. */
const PATIENCE = 10_000;
/** How long a connection that broke waits before the next, ms. */
const RECONNECT = 100;

const began = performance.now();
const measureFrom = began + Number(values.warmup) * 1000;
const sendUntil = measureFrom + Number(values.seconds) * 1000;

/** Outcome of every request; doubled when it is full. */
let outcomes = new Uint8Array(1 << 20);
let sent = 0;
let accepted = 0;
let broken = 0;
let open = 0;
const statuses = new Map<number, number>();
const latency = new LatencyHistogram();

/** One connection: sends, waits for the answer, sends again. */
class Connection {
  readonly #request = new NumberedRequest(`127.0.0.1:${port}`, values.path);
  #socket: Socket | undefined;
  #current = -1;
  #sentAt = 0;
  #answer = '';

  open(): void {
    open++;
    const onread = { buffer: Buffer.allocUnsafe(16 * 1024), callback: this.#read };
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread });
    this.#socket.on('connect', () => this.#send());
    this.#socket.on('error', () => {}); // `close` follows
    this.#socket.on('close', () => this.#closed());
  }

  destroy(): void {
    this.#socket?.destroy();
  }

  #send(): void {
    this.#sentAt = performance.now();
    if (this.#sentAt >= sendUntil) return void this.#socket?.end();
    if (sent === outcomes.length) outcomes = grow(outcomes);
    this.#current = sent++;
    outcomes[this.#current] = UNKNOWN;
    this.#request.number(this.#current);
    this.#socket?.write(this.#request.bytes);
  }

  /** Called with each piece that arrives; an answer is nearly always one piece. */
  readonly #read = (length: number, buffer: Uint8Array): boolean => {
    const piece = (buffer as Buffer).toString('latin1', 0, length);
    this.#answer = this.#answer === '' ? piece : this.#answer + piece;
    const head = this.#answer.indexOf('\r\n\r\n');
    if (head < 0) return true;
    const declared = /\r\ncontent-length: *(\d+)/i.exec(this.#answer);
    if (this.#answer.length < head + 4 + Number(declared?.[1] ?? 0)) return true;
    const status = Number(this.#answer.slice(9, 12));
    const closes = /\r\nconnection: *close/i.test(this.#answer);
    this.#answer = '';
    this.#answered(status, closes);
    return true;
  };

  #answered(status: number, closes: boolean): void {
    const now = performance.now();
    if (status === 200) accepted++;
    outcomes[this.#current] = status === 200 ? ACCEPTED : REFUSED;
    if (this.#sentAt >= measureFrom) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      latency.add(now - this.#sentAt);
    }
    this.#current = -1;
    if (closes) return; // the server closes, and `close` reconnects
    if ((status === 503 || status === 429) && pause > 0) setTimeout(() => this.#send(), pause);
    else this.#send();
  }

  #closed(): void {
    open--;
    this.#answer = '';
    if (this.#current >= 0) {
      broken++;
      this.#current = -1;
    }
    if (performance.now() < sendUntil) setTimeout(() => this.open(), RECONNECT);
    else if (open === 0) finish();
  }
}

function grow(full: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(full.length * 2);
  larger.set(full);
  return larger;
}

function finish(): void {
  clearInterval(progress);
  clearTimeout(giveUp);
  if (values.outcomes) writeFileSync(values.outcomes, outcomes.subarray(0, sent));
  const answered = Array.from(statuses.values()).reduce((sum, count) => sum + count, 0);
  const seconds = Number(values.seconds);
  const { user, system } = process.cpuUsage();
  const result: LoadResult = {
    answered,
    seconds,
    statuses: Object.fromEntries(statuses),
    acceptedPerSecond: (statuses.get(200) ?? 0) / seconds,
    latency: { p50: latency.quantile(0.5), p99: latency.quantile(0.99), max: latency.max },
    sent,
    accepted,
    broken,
    cpu: (user + system) / Math.max(1, sent),
  };
  console.log(JSON.stringify(result));
}

const connections = Array.from({ length: Number(values.connections) }, () => new Connection());
const progress = setInterval(() => {
  const line: LoadProgress = { t: (performance.now() - began) / 1000, accepted };
  console.log(JSON.stringify(line));
}, 1000);
const giveUp = setTimeout(
  () => {
    for (const connection of connections) connection.destroy();
  },
  sendUntil - began + PATIENCE,
);
for (const connection of connections) connection.open();
