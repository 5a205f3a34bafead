/**
 * What was answered 200 arrives, whatever kills the server: twenty thousand payloads over several connections, ten
 * SIGKILLs at random moments, the same file and the same folder after each restart.
 *
 * Each collection carries an Idempotency-Key and is sent until it is answered 200. So a kill between the commit and the
 * answer, which the client cannot tell from one before the commit, must not store anything twice.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { Serve } from './support/serve.ts';

const PAYLOADS = 20_000;
const PER_POST = 20;
const CONNECTIONS = 8;
const KILLS = 10;

const folder = await mkdtemp(join(tmpdir(), 'millrace-crash-'));
after(() => rm(folder, { recursive: true, force: true }));

it('loses nothing that was answered 200 and stores nothing under two names through ten kills', async (t) => {
  const seed = Number(process.env.MILLRACE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`MILLRACE_SEED=${seed}`);
  const random = mulberry32(seed);

  const options = ['--backend', `sqlite:${folder}/jobs.db`, '--sink', `file:${folder}/objects`];
  let server = await Serve.start(['--port', '0', ...options]);
  const { port } = server;
  let restarted = Promise.resolve();
  let kills = 0;

  const killAndRestart = async () => {
    kills++;
    await server.end('SIGKILL');
    server = await Serve.start(['--port', port, ...options]);
  };

  // The posts at which the server is killed: the moment of the kill is when one of them has just been sent.
  const posts = PAYLOADS / PER_POST;
  const killAt = new Set<number>();
  while (killAt.size < KILLS) killAt.add(Math.floor(random() * posts));

  let next = 0;
  const sender = async () => {
    for (let post = next++; post < posts; post = next++) {
      const payloads = Array.from({ length: PER_POST }, (_, i) => ({
        n: post * PER_POST + i,
        text: 'some text to carry',
      }));
      let kill = killAt.has(post);
      for (let stored = false; !stored; ) {
        const answer = server.post(payloads, { 'idempotency-key': `post-${post}` });
        if (kill) restarted = restarted.then(killAndRestart);
        kill = false;
        const response = await answer.catch(() => undefined);
        await response?.arrayBuffer().catch(() => undefined);
        stored = response?.status === 200;
        if (!stored) await restarted;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, sender));
  await restarted;
  assert.equal(kills, KILLS);

  await server.until('millrace_jobs_completed_total{queue="payloads"}', PAYLOADS);
  assert.equal(await server.end(), 0);

  const names = (await readdir(join(folder, 'objects/payloads'), { recursive: true })).filter((name) =>
    name.endsWith('.json'),
  );
  const copies = new Uint8Array(PAYLOADS);
  for (const name of names) {
    const text = await readFile(join(folder, 'objects/payloads', name), 'utf8');
    const { n } = JSON.parse(text) as { n: number };
    assert.equal(text, `{"n":${n},"text":"some text to carry"}`, 'byte for byte what was sent');
    copies[n] = (copies[n] ?? 0) + 1;
  }
  assert.deepEqual([names.length, copies.findIndex((count) => count !== 1)], [PAYLOADS, -1]);
});

/** Small seeded generator (Tommy Ettinger, 2017). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
