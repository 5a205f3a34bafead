/**
 * The store for the runs: takes S3 PUTs in memory, with little CPU, and knows which payloads it holds. A program of its
 * own.
 *
 *   node bench/ingest/sink.ts [--latency MS] [--knee N] [--forget]        prints `http://127.0.0.1:PORT`
 *
 *   --latency MS  how long a PUT takes. Default 0
 *   --knee N      more PUTs than this at once are answered 503 SlowDown. Default: no bound
 *   --forget      keep nothing of what is stored: for PUTs of any content
 *
 *   GET /-/stats   SinkStats as JSON
 *   GET /-/counts  a byte per payload number: how many objects hold it
 *
 * It checks no signature and no hash: test/s3/ has a store that does, and pays for it with CPU that a run on two cores
 * wants for what it measures. So this one reads requests from bare sockets. An object stored again replaces the first, so
 * a payload counts twice only when two different keys hold it.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { eachNumber } from './payloads.ts';
import type { SinkStats } from './protocol.ts';

const { values } = parseArgs({
  options: { latency: { type: 'string' }, knee: { type: 'string' }, forget: { type: 'boolean' } },
});
const latency = Number(values.latency ?? 0);
const knee = Number(values.knee ?? Number.POSITIVE_INFINITY);

const objects = new Map<string, Buffer>();
let counts = new Uint8Array(1 << 20);
const stats = { puts: 0, slowDowns: 0, payloads: 0, bytes: 0 };
let underWay = 0;

function store(key: string, body: Buffer): void {
  stats.puts++;
  stats.bytes += body.length;
  if (values.forget) return;
  const before = objects.get(key);
  if (before) eachNumber(inflate(before), (n) => count(n, -1));
  eachNumber(inflate(body), (n) => count(n, 1));
  objects.set(key, body);
}

function count(n: number, change: 1 | -1): void {
  while (n >= counts.length) {
    const larger = new Uint8Array(counts.length * 2);
    larger.set(counts);
    counts = larger;
  }
  const now = (counts[n] as number) + change;
  counts[n] = now;
  if (change === 1 && now === 1) stats.payloads++;
  if (change === -1 && now === 0) stats.payloads--;
}

/** By what the bytes are, whatever the header says. */
function inflate(body: Buffer): Buffer {
  if (body[0] === 0x1f && body[1] === 0x8b) return gunzipSync(body);
  if (body[0] === 0x28 && body[1] === 0xb5) return zstdDecompressSync(body);
  return body;
}

/** Requests of one connection, one after the other. */
function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  let busy = false;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (piece) => {
    pending = pending.length === 0 ? piece : Buffer.concat([pending, piece]);
    next();
  });

  function next(): void {
    if (busy) return;
    const end = pending.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = pending.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (pending.length < end + 4 + length) return;
    // A copy: the object must not keep the rest of the piece alive.
    const body = Buffer.from(pending.subarray(end + 4, end + 4 + length));
    pending = pending.subarray(end + 4 + length);
    const [method = '', target = ''] = head.slice(0, head.indexOf('\r\n')).split(' ');
    busy = true;
    handle(method, target, body, (status, answer) => {
      busy = false;
      socket.write(
        `HTTP/1.1 ${status} -\r\nETag: "0"\r\nx-amz-request-id: 0\r\nContent-Length: ${answer.length}\r\n\r\n`,
      );
      if (answer.length > 0) socket.write(answer);
      next();
    });
  }
}

type Answer = (status: number, body: Buffer) => void;
const EMPTY = Buffer.alloc(0);
const SLOW_DOWN = Buffer.from(
  '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
);

function handle(method: string, target: string, body: Buffer, answer: Answer): void {
  if (target === '/-/stats') {
    const now: SinkStats = { ...stats, objects: objects.size };
    return void answer(200, Buffer.from(JSON.stringify(now)));
  }
  if (target === '/-/counts') return void answer(200, Buffer.from(counts));
  if (method !== 'PUT') return void answer(200, EMPTY);
  if (underWay >= knee) {
    stats.slowDowns++;
    return void answer(503, SLOW_DOWN);
  }
  const finish = () => {
    store(target, body);
    answer(200, EMPTY);
  };
  if (latency === 0) return void finish();
  underWay++;
  setTimeout(() => {
    underWay--;
    finish();
  }, latency);
}

const server = createServer(serve);
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
