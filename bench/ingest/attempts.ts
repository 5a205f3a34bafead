/**
 * The article's three attempts in our runtime: the same handler, the same answer, nothing durable.
 *
 *   node bench/ingest/attempts.ts --attempt 3 --workers 100 --queue 100 --upload 50
 *
 * Attempt 1 starts an upload per payload. Attempt 2 sends payloads into a bounded channel that one processor empties.
 * Attempt 3 submits them to the two-tier dispatcher; ours waits for a worker itself, so its queue is a bound and the
 * handler feels it. `--upload MS` is how long an upload takes; 0 does nothing.
 *
 * Prints `http://127.0.0.1:PORT`. `GET /stats` answers with AttemptStats.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Channel } from '../../src/pool/channel.ts';
import { Dispatcher } from '../../src/pool/dispatcher.ts';
import type { AttemptStats } from './protocol.ts';

const { values } = parseArgs({
  options: {
    attempt: { type: 'string', default: '3' },
    workers: { type: 'string', default: '100' },
    queue: { type: 'string', default: '100' },
    upload: { type: 'string', default: '0' },
  },
});
const workers = Number(values.workers);
const capacity = Number(values.queue);
const duration = Number(values.upload);

const stats = { accepted: 0, uploaded: 0, tasks: 0 };

async function upload(_payload: unknown): Promise<void> {
  stats.tasks++;
  if (duration > 0) await pause(duration);
  stats.tasks--;
  stats.uploaded++;
}

type Push = (payload: unknown) => Promise<void> | undefined;

const attempts: Record<string, () => Push> = {
  1: () => (payload) => {
    void upload(payload);
    return undefined;
  },
  2: () => {
    const channel = new Channel<unknown>(capacity);
    void (async () => {
      for await (const payload of channel) await upload(payload);
    })();
    return (payload) => channel.send(payload);
  },
  3: () => {
    const dispatcher = new Dispatcher<unknown>({ workers, queue: capacity, run: upload });
    return (payload) => dispatcher.submit(payload);
  },
};

const attempt = attempts[values.attempt];
if (!attempt) throw new Error(`--attempt should be 1, 2 or 3, got ${values.attempt}`);
const push = attempt();

const server = createServer((request, response) => {
  if (request.url === '/stats') return void response.end(JSON.stringify(stats satisfies AttemptStats));
  if (request.method !== 'POST') return void response.writeHead(405, { 'Content-Length': 0 }).end();
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', async () => {
    try {
      const { data } = JSON.parse(Buffer.concat(pieces).toString());
      for (const payload of data) await push(payload);
      stats.accepted += data.length;
      response.writeHead(200, { 'Content-Length': 0 }).end();
    } catch {
      response.writeHead(400, { 'Content-Length': 0 }).end();
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
