/** The command line as a person meets it: what it prints, how it ends, and what two signals do. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBackend } from '../src/index.ts';
import { startFakeS3 } from './s3/fake.ts';
import { Serve } from './support/serve.ts';

const folder = await mkdtemp(join(tmpdir(), 'millrace-cli-'));
after(() => rm(folder, { recursive: true, force: true }));

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const millrace = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', timeout: 60_000 });

const servers: Serve[] = [];
after(() => Promise.all(servers.map((server) => server.end('SIGKILL'))));
async function serve(name: string, ...flags: string[]): Promise<Serve> {
  const flow = ['--backend', `sqlite:${folder}/${name}.db`, '--sink', `file:${folder}/${name}`];
  const server = await Serve.start(['--port', '0', ...flow, ...flags]);
  servers.push(server);
  return server;
}

describe('millrace', () => {
  it('shows help and version, and ends with 0', () => {
    for (const [args, shows] of [
      [['--help'], /Usage: millrace COMMAND/],
      [[], /Usage: millrace COMMAND/],
      [['--version'], /^\d+\.\d+\.\d+/],
      [['serve', '--help'], /--max-queue N +most waiting payloads.*MAX_QUEUE/],
      [['retry', '--help'], /--rate N\/TIME/],
      [['limit', '--help'], /keys\.onFailure=HOW/],
    ] as const) {
      const { status, stdout } = millrace(...args);
      assert.equal(status, 0);
      assert.match(stdout, shows);
    }
  });

  it('ends with 2 and a sentence when it is used wrongly', () => {
    for (const [args, says] of [
      [['sreve'], '`sreve` is not an option'],
      [['serve', '--prot', '1'], 'did you mean `--port`?'],
      [['serve', '--port', 'http'], '`--port` should be an integer from 0 to 65535, got "http"'],
      [
        ['serve', '--host', '0.0.0.0', '--port', '0', '--backend', 'memory:', '--sink', `file:${folder}/x`],
        '`host` should be',
      ],
    ] as const) {
      const { status, stderr } = millrace(...args);
      assert.equal(status, 2, stderr);
      assert.ok(stderr.includes(says), stderr);
    }
  });

  it('ends with 1 and the reason when it cannot work', () => {
    for (const processes of ['1', '2']) {
      const flags = ['--port', '0', '--backend', 'sqlite:/dev/null/jobs.db', '--processes', processes];
      const { status, stderr } = millrace('serve', ...flags);
      assert.equal(status, 1);
      assert.match(stderr, /^millrace: the sqlite/);
    }
    assert.equal(millrace('status', '--backend', 'redis://nowhere').status, 1);
  });

  it('shows the queues, and retries what was discarded', async () => {
    const url = `sqlite:${folder}/retry.db`;
    const backend = await openBackend(url);
    const server = { id: 'a', host: 'h', pid: 1, queues: ['q'], concurrency: 1 };
    await backend.beat(server);
    await backend.add([{ jobs: [{ queue: 'q', name: 'n', payload: Buffer.from('1'), priority: 4, maxAttempts: 1 }] }]);
    const { jobs } = await backend.claim({ server: 'a', queues: ['q'], limit: 1 });
    const error = { attempt: 1, at: 0, message: 'no' };
    await backend.settle(
      'a',
      jobs.map(({ id, claim }) => ({ id, claim, ending: { kind: 'failed', error } })),
    );
    await backend.close();
    assert.match(millrace('retry', '--backend', url, 'queue:other').stdout, /^0 discarded jobs/);
    assert.match(millrace('retry', '--backend', url, 'queue:q').stdout, /^1 discarded jobs are available again/);
    assert.match(millrace('status', '--backend', url).stdout, /│ q +│ false +│ 0 +│ 1 +│ 0 /);
  });
});

describe('millrace serve', () => {
  it('prints its address and a curl line that works, and stops cleanly on SIGTERM and on SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const server = await serve(signal);
      assert.equal((await server.post([{ hello: 'world' }])).status, 200);
      await server.until('millrace_jobs_completed_total{queue="payloads"}', 1);
      assert.equal(await server.end(signal), 0);
      const lines = server.log
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { message: string });
      assert.deepEqual(
        lines.map(({ message }) => message),
        ['stopping; once more to end at once', 'stopped'],
      );
    }
  });

  it('ends at once on a second signal while an upload hangs, and the payload arrives after the next start', async () => {
    await using store = await startFakeS3();
    const { promise: stalled, resolve } = Promise.withResolvers<void>();
    store.fault = () => {
      resolve();
      return { kind: 'stall' };
    };
    const flags = [
      '--port',
      '0',
      '--backend',
      `sqlite:${folder}/twice.db`,
      '--sink',
      's3://bucket/in',
      '--s3-endpoint',
      store.endpoint,
    ];
    const env = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'SECRET' };
    const first = await Serve.start(flags, env);
    servers.push(first);
    await first.post([{ n: 1 }]);
    await stalled;
    const exit = once(first.process, 'exit');
    first.process.kill('SIGTERM');
    while (!first.log.includes('once more')) await once(first.process.stderr as NodeJS.ReadableStream, 'data');
    first.process.kill('SIGTERM');
    assert.deepEqual((await exit)[0], 143);

    store.fault = () => undefined;
    const second = await Serve.start(flags, env);
    servers.push(second);
    await second.until('millrace_jobs_completed_total{queue="payloads"}', 1);
    assert.equal(await second.end(), 0);
    assert.equal(store.objects.size, 1);
  });

  it('shares one port and one file among processes, replaces one that dies, and stops them all', async () => {
    const server = await serve('herd', '--processes', '2');
    for (let n = 0; n < 20; n++) assert.equal((await server.post([{ n }])).status, 200);
    await server.until('millrace_jobs_completed_total{queue="payloads"}', 20);
    const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(server.process.pid)], { encoding: 'utf8' });
    const [child] = children.stdout.trim().split(/\s+/).map(Number);
    assert.ok(child);
    process.kill(child, 'SIGKILL');
    while (!server.log.includes('is replaced')) await once(server.process.stderr as NodeJS.ReadableStream, 'data');
    for (let n = 20; n < 40; ) {
      const response = await server.post([{ n }]).catch(() => undefined);
      if (response?.status === 200) n++;
    }
    await server.until('millrace_jobs_completed_total{queue="payloads"}', 40);
    assert.equal(await server.end(), 0);
    await assert.rejects(once(connect(Number(server.port), '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' });
    const names = await readdir(join(folder, 'herd'), { recursive: true });
    assert.equal(names.filter((name) => name.endsWith('.json')).length, 40);
  });

  it('is only a door with --no-workers and only workers with --no-door, on one file', async () => {
    const door = await serve('halves', '--no-workers');
    for (let n = 0; n < 5; n++) assert.equal((await door.post([{ n }])).status, 200);
    assert.equal((await readdir(folder)).includes('halves'), false, 'nothing carries them yet');
    const workers = Serve.startWithoutDoor([
      '--backend',
      `sqlite:${folder}/halves.db`,
      '--sink',
      `file:${folder}/halves`,
    ]);
    await door.until('millrace_jobs_completed_total{queue="payloads"}', 5);
    workers.kill('SIGTERM');
    await once(workers, 'exit');
    assert.equal(await door.end(), 0);
  });
});
