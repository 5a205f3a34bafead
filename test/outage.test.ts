/**
 * The store misbehaves, the queue holds: nothing is lost, no attempt is spent, the door says so at its bound, and memory
 * stays flat. The whole program against the verifying store of `s3/fake.ts`.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type FakeS3, fakeCredentials, slowDown, startFakeS3 } from './s3/fake.ts';
import { Serve } from './support/serve.ts';

const folder = await mkdtemp(join(tmpdir(), 'millrace-outage-'));
after(() => rm(folder, { recursive: true, force: true }));

/**
 * V8 doubles its young generation when it likes, up to 134 MB on a large machine: memory that says nothing about the program. So it
 * is held to 8 MB per half, which floods of refused posts reach at once.
 */
const environment = {
  AWS_ACCESS_KEY_ID: fakeCredentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: fakeCredentials.secretAccessKey,
  NODE_OPTIONS: '--max-semi-space-size=8',
};

/** Servers of a test that failed half way must not outlive it. */
const servers: Serve[] = [];
after(() => Promise.all(servers.map((server) => server.end('SIGKILL'))));

async function serveTo(store: FakeS3, ...flags: string[]): Promise<Serve> {
  const backend = `sqlite:${folder}/${servers.length}.db`;
  const flow = ['--backend', backend, '--sink', 's3://bucket/in', '--s3-endpoint', store.endpoint];
  const server = await Serve.start(['--port', '0', ...flow, ...flags], environment);
  servers.push(server);
  return server;
}

const completed = 'millrace_jobs_completed_total{queue="payloads"}';
const discarded = 'millrace_jobs{queue="payloads",state="discarded"}';

/** What the store holds, as lines, whatever the objects' shape. */
function lines(store: FakeS3): string[] {
  return [...store.objects.entries()]
    .flatMap(([key, { body }]) => {
      const plain = key.endsWith('.gz') ? gunzipSync(body) : key.endsWith('.zst') ? zstdDecompressSync(body) : body;
      return plain.toString().trimEnd().split('\n');
    })
    .sort();
}

const payload = (n: number) => ({ n, text: 'über alles' });
const expected = (count: number) => Array.from({ length: count }, (_, n) => JSON.stringify(payload(n))).sort();

async function postAll(server: Serve, count: number, perPost = 50): Promise<void> {
  for (let n = 0; n < count; n += perPost) {
    const response = await server.post(Array.from({ length: perPost }, (_, i) => payload(n + i)));
    assert.equal(response.status, 200, await response.text());
  }
}

/** Posts, waits, and finds every payload in the store and none discarded. */
async function carriesAll(store: FakeS3, count: number): Promise<void> {
  const server = await serveTo(store);
  await postAll(server, count);
  await server.until(completed, count);
  assert.equal(await server.metric(discarded), 0);
  assert.equal(await server.end(), 0);
  assert.deepEqual(lines(store), expected(count));
}

describe('serve with an S3 sink', () => {
  it('makes an object of each payload, byte for byte', async () => {
    await using store = await startFakeS3();
    await carriesAll(store, 200);
    assert.equal(store.objects.size, 200);
    assert.ok(
      [...store.objects.keys()].every((key) => /^bucket\/in\/payloads\/\d{4}(\/\d\d){3}\/\w+\.json$/.test(key)),
    );
  });

  for (const compress of ['gzip', 'zstd'] as const) {
    it(`packs payloads into ${compress} NDJSON with --batch, and sends what is left at a stop`, async () => {
      await using store = await startFakeS3();
      const server = await serveTo(store, '--batch', '80', '--batch-wait', '1h', '--compress', compress);
      await postAll(server, 200);
      await server.until(completed, 160);
      assert.equal(await server.end(), 0);
      assert.deepEqual(lines(store), expected(200));
      assert.equal(store.objects.size, 3);
    });
  }

  it('waits out a store that answers 503 for a while: nothing lost, nothing discarded', async () => {
    await using store = await startFakeS3();
    store.fault = (request) => (request.nth <= 12 ? slowDown() : undefined);
    await carriesAll(store, 300);
  });

  it('gets every payload through resets, lost answers and expired credentials', async () => {
    await using store = await startFakeS3();
    store.fault = ({ nth }) => {
      if (nth % 11 === 3) return { kind: 'reset' };
      if (nth % 11 === 5) return { kind: 'lostAnswer' };
      if (nth % 37 === 7) return { kind: 'error', status: 403, code: 'ExpiredToken' };
      return undefined;
    };
    await carriesAll(store, 300);
  });

  it('keeps what the store refuses for good as discarded, with the reason', async () => {
    await using store = await startFakeS3();
    store.fault = ({ nth }) => (nth === 1 ? { kind: 'error', status: 400, code: 'EntityTooLarge' } : undefined);
    const server = await serveTo(store, '--max-workers', '1');
    await postAll(server, 50);
    await server.until(completed, 49);
    await server.until(discarded, 1);
    assert.match(server.log, /a payload was discarded.*EntityTooLarge/);
    assert.equal(await server.end(), 0);
  });

  it('answers 503 with Retry-After at MAX_QUEUE while the store is gone, keeps its memory flat, and recovers', async (t) => {
    await using store = await startFakeS3();
    let gone = true;
    store.fault = () => (gone ? { kind: 'reset' } : undefined);
    const server = await serveTo(store, '--max-queue', '1000');

    let stored = 0;
    let refused: Response | undefined;
    while (!refused) {
      const response = await server.post(Array.from({ length: 50 }, (_, i) => payload(stored + i)));
      if (response.status === 200) stored += 50;
      else refused = response;
    }
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.headers.get('content-type'), 'application/problem+json');
    // Waiting jobs are bounded by 1000; the uploads that have a worker are no longer waiting.
    assert.ok(stored >= 1000 && stored <= 1300, `${stored} were stored`);

    // Of floods after the first two, in which V8 finds the size of its heap, the peaks are compared: between two collections
    // a heap goes up and down. What stayed of a flood would lie under all of the next. A post is half a megabyte: each takes as
    // long to be answered as the machine has others to run.
    const peakOf = async (posts: number) => {
      const big = Array.from({ length: 25 }, () => ({ text: 'x'.repeat(20_000) }));
      let peak = 0;
      for (let i = 0; i < posts; i++) {
        const response = await server.post(big);
        await response.arrayBuffer();
        assert.equal(response.status, 503);
        peak = Math.max(peak, server.rss);
      }
      return peak;
    };
    await peakOf(400);
    const before = await peakOf(200);
    const grown = (await peakOf(200)) - before;
    const stayed = `100 MB were refused and ${Math.round(grown / 2 ** 20)} MiB stayed`;
    t.diagnostic(stayed);
    assert.ok(grown < 48 * 2 ** 20, stayed);

    gone = false;
    await server.until(completed, stored);
    assert.equal(await server.metric(discarded), 0);
    assert.equal((await server.post([payload(stored)])).status, 200);
    await server.until(completed, stored + 1);
    assert.equal(await server.end(), 0);
    assert.deepEqual(lines(store), expected(stored + 1));
  });
});
