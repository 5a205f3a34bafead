/**
 * The peer for the door: the least that a Node server can do with a collection. `node:http`, `JSON.parse`, both payloads
 * pushed into a bounded array, 200. Nothing is stored: a kill loses all of it.
 *
 *   node bench/ingest/bare.ts         prints `http://127.0.0.1:PORT`
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const CAPACITY = 100_000;
const queue: unknown[] = [];

const server = createServer((request, response) => {
  if (request.method !== 'POST') return void response.writeHead(405, { Allow: 'POST', 'Content-Length': 0 }).end();
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    try {
      const { data } = JSON.parse((pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)).toString());
      for (const payload of data) queue.push(payload);
      // The consumer that costs nothing: what would not fit is forgotten.
      if (queue.length >= CAPACITY) queue.length = 0;
      response.writeHead(200, { 'Content-Length': 0 }).end();
    } catch {
      response.writeHead(400, { 'Content-Length': 0 }).end();
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
