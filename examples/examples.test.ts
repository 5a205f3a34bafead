import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Clock, openBackend, openSink, systemClock, VirtualClock } from '../src/index.ts';
import { S3Sink } from '../src/sink/s3/s3.ts';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';
import { fakeCredentials, startFakeS3 } from '../test/s3/fake.ts';
import { double, fanOut } from './fan-out.ts';
import { ingest } from './ingest.ts';
import { jobServer } from './job-server.ts';

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

/** What the study's program prints. */
const printed = [
  '[JobServer] [poll] polling',
  '......mail() begin......',
  ' args: xcl_168@aliyun.com',
  ' args: sub',
  ' args: body',
  '......mail() end......',
  '[JobServer] [poll] test_notfound not found',
  '......sendLog() begin......',
  ' args: x.log',
  ' args: c.log',
  ' args: l.log',
  '......sendLog() end......',
  '[JobServer] [poll] polling',
  '......panic() begin......',
  '[JobServer] [run] Panicking test exception',
  '[JobServer] [poll] polling',
  '......mail() begin......',
  ' args: xcl_168@aliyun.com2',
  ' args: sub2',
  ' args: body2',
  '......mail() end......',
  '[JobServer] [poll] polling',
];

const isNews = (line: string) => !line.endsWith('polling');

describe('the job server of the goworker study', () => {
  it('tells the same story in the same order, and ends cleanly', async () => {
    const clock = new VirtualClock();
    const lines: string[] = [];
    const backend = await openBackend('memory:', { clock });
    const { server, story } = jobServer({ backend, clock, print: (line) => lines.push(line) });
    await server.start();
    let told = false;
    void story().then(() => {
      told = true;
    });
    // In small steps: an enqueue takes a few turns of the event loop, and the story waits for it.
    while (!told) await clock.advance(50);
    await clock.advance(3_000);
    await server.stop();
    await backend.close();
    assert.equal(clock.pending, 0);
    const once = lines.filter((line, i) => line !== lines[i - 1]);
    assert.deepEqual(once, printed);
  });

  it('tells it wherever the jobs wait', async () => {
    // Fifty times as fast, and looks where nothing was found are not counted: how many there are is a matter of time.
    const clock: Clock = { ...systemClock, timer: (ms, fire, options) => systemClock.timer(ms / 50, fire, options) };
    const folder = await mkdtemp(join(tmpdir(), 'millrace-example-'));
    after(() => rm(folder, { recursive: true }));
    for (const url of [`sqlite:${folder}/jobs.db`, redis.url, `resque:${redis.url}`]) {
      const lines: string[] = [];
      const backend = await openBackend(url);
      const { server, story } = jobServer({ backend, clock, print: (line) => lines.push(line) });
      await server.start();
      const all = printed.filter(isNews);
      await story();
      while (lines.filter(isNews).length < all.length) await new Promise((resolve) => setImmediate(resolve));
      await server.stop();
      await backend.close();
      assert.deepEqual(lines.filter(isNews), all, url);
    }
  });
});

describe('the worker of the first page of goworker', () => {
  it('runs what anybody writes into Redis, and ends when all is done', async () => {
    const item = '{"class":"MyClass","args":["hi","there"]}';
    await redis.command('RPUSH', 'resque:queue:myqueue', ...Array<string>(100).fill(item));
    const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
    const workers = fileURLToPath(new URL('workers.ts', import.meta.url));
    const flags = [`-require=${workers}`, '-queues=myqueue,delimited,queues', '-exit-on-complete', `-uri=${redis.url}`];
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'work', ...flags]);
    const lines = stdout.split('\n').filter((line) => line.startsWith('From'));
    assert.deepEqual(lines, Array(100).fill('From myqueue, [hi there]'));
  });
});

describe('fan-out and fan-in', () => {
  it('gathers a result for every generated job', async () => {
    const { sum, failed } = await fanOut({ count: 10, workers: 2 });
    assert.equal(sum, 2 * (45 - 7));
    assert.deepEqual(failed, ['seven: wrong argument type']);
  });

  it('stops when it is cancelled, with the reason, and starts nothing more', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const seen: number[] = [];
    const cancelled = fanOut({
      count: 1_000,
      workers: 2,
      signal: stop.signal,
      onResult({ index }) {
        seen.push(index);
        if (index === 5) stop.abort(reason);
      },
    });
    await assert.rejects(cancelled, reason);
    assert.ok(seen.length < 20, `${seen.length} results came`);
  });

  it('refuses what it cannot double', async () => {
    assert.equal(await double(10), 20);
    await assert.rejects(double('10'), { message: 'wrong argument type' });
  });
});

describe('HTTP in, S3 out', () => {
  const payloads = ['{"a": 1}', '{"b":"\\u00fc"}', '[1, 2,  3]'];
  const post = async (url: string) => {
    const body = `{"version":"1","token":"t","data":[${payloads.join(', ')}]}`;
    const response = await fetch(`${url}/payloads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    assert.equal(await response.text(), '{"accepted":3}');
  };
  const settings = { backend: 'memory:', maxWorkers: 4, maxQueue: 100, port: 0 };

  it('uploads each payload of a collection to S3, byte for byte', async () => {
    const { promise: uploaded, resolve } = Promise.withResolvers<void>();
    await using store = await startFakeS3({ onPut: () => store.objects.size === payloads.length && resolve() });
    const sink = new S3Sink('s3://bucket/in', { endpoint: store.endpoint, credentials: fakeCredentials });
    await sink.open();
    const program = await ingest({ ...settings, sink });
    await post(program.url);
    await uploaded;
    await program.stop();
    assert.deepEqual([...store.objects.values()].map(({ body }) => body.toString()).sort(), [...payloads].sort());
  });

  it('does the same with a folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-example-'));
    after(() => rm(folder, { recursive: true }));
    const program = await ingest({ ...settings, sink: await openSink(`file:${folder}`) });
    await post(program.url);
    const written = async () =>
      (await readdir(join(folder, 'default')).catch(() => [])).filter((name) => name.endsWith('.json'));
    while ((await written()).length < payloads.length);
    await program.stop();
    const bodies = await Promise.all((await written()).map((name) => readFile(join(folder, 'default', name), 'utf8')));
    assert.deepEqual(bodies.sort(), [...payloads].sort());
  });
});
