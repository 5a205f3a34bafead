/** The ingest program with its jobs in Redis: several processes, doors and workers apart, and a Redis that dies. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBackend } from '../src/backend/open.ts';
import { Inspector } from '../src/client/inspector.ts';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';
import { Serve } from './support/serve.ts';

const HOUR = 3_600_000;
const password = 'hunter2';
const completed = 'millrace_jobs_completed_total{queue="payloads"}';

let redis: RedisServer;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-serve-redis-'));
  redis = await startRedis({ appendfsync: 'always', config: { requirepass: password } });
});
after(async () => {
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A set of jobs and a folder for its payloads. */
const flow = (name: string, timeout = 10_000) => [
  '--backend',
  `redis://:${password}@127.0.0.1:${redis.port}?namespace=${name}&timeout=${timeout}`,
  '--sink',
  `file:${folder}/${name}`,
];

/** The numbers of the payloads that have arrived, in order. */
const arrived = (name: string) =>
  globSync('**/*.json', { cwd: join(folder, name) })
    .map((file) => (JSON.parse(readFileSync(join(folder, name, file), 'utf8')) as { n: number }).n)
    .sort((a, b) => a - b);

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

describe('millrace serve with jobs in Redis', () => {
  it('shares them among processes, carries each payload once, and shows no password', async (t) => {
    const server = await Serve.start(['--port', '0', '--processes', '2', ...flow('herd')]);
    t.after(() => server.end('SIGKILL'));
    for (const n of upTo(30)) assert.equal((await server.post([{ n }])).status, 200);
    await server.until(completed, 30);
    assert.deepEqual(arrived('herd'), upTo(30));
    assert.equal(await server.end(), 0);
    assert.match(server.banner, new RegExp(`redis://127.0.0.1:${redis.port} → file:`));
    assert.doesNotMatch(server.banner + server.log, new RegExp(password));
  });

  it('may be a door here and workers there', async (t) => {
    const door = await Serve.start(['--port', '0', '--no-workers', ...flow('halves')]);
    t.after(() => door.end('SIGKILL'));
    for (const n of upTo(5)) assert.equal((await door.post([{ n }])).status, 200);
    assert.deepEqual(arrived('halves'), [], 'nothing carries them yet');
    const workers = Serve.startWithoutDoor(flow('halves'));
    const ended = once(workers, 'exit');
    await door.until(completed, 5);
    workers.kill('SIGTERM');
    await ended;
    assert.deepEqual(arrived('halves'), upTo(5));
    assert.equal(await door.end(), 0);
  });

  it('goes by the clock of Redis where that of its machine is wrong', async (t) => {
    const skew = `const { now } = Date; Date.now = () => now() + ${HOUR};`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(skew)}` };
    // A key that the sink refuses, so that the job stays, with the moment of its error.
    const refused = ['--key', '.incoming/{id}.json'];
    const server = await Serve.start(['--port', '0', ...flow('skewed'), ...refused], env);
    t.after(() => server.end('SIGKILL'));
    const begun = Date.now();
    assert.equal((await server.post([{ n: 0 }])).status, 200);
    await server.until('millrace_jobs{queue="payloads",state="discarded"}', 1);
    assert.equal(await server.end(), 0);
    const logged = /"time":"([^"]+)"/.exec(server.log)?.[1];
    assert.ok(Date.parse(logged ?? '') > begun + HOUR / 2, `its machine is wrong: ${server.log}`);

    const backend = await openBackend(flow('skewed')[1] as string);
    t.after(() => backend.close());
    const { jobs } = await new Inspector({ backend }).find({ states: ['discarded'] });
    const at = jobs[0]?.errors[0]?.at ?? Number.NaN;
    assert.ok(at >= begun - 1_000 && at <= Date.now(), `an error of ${at}, begun at ${begun}`);
  });

  it('says 503 while Redis is away, goes on when it is back, and what it answered with 200 arrives', async (t) => {
    const server = await Serve.start(['--port', '0', ...flow('outage', 1_000)]);
    t.after(() => server.end('SIGKILL'));
    const stored = new Set<number>();
    const send = async (n: number) => {
      const response = await server.post([{ n }]);
      if (response.status === 200) stored.add(n);
      else assert.equal(response.status, 503);
      return response;
    };
    for (const n of upTo(20)) await send(n);
    assert.equal(stored.size, 20);

    await redis.kill();
    const refusal = await send(20);
    assert.ok(Number(refusal.headers.get('retry-after')) >= 1);
    assert.match(await refusal.text(), /BACKEND_AWAY/);
    assert.equal((await fetch(`${server.url}/readyz`)).status, 503);

    await redis.restart();
    for (let n = 21; stored.size < 40; n++) await send(n);
    while ((await server.metric(completed)) < stored.size);
    assert.equal(await server.end(), 0);
    const there = arrived('outage');
    assert.equal(new Set(there).size, there.length, 'none came twice');
    assert.deepEqual(
      [...stored].filter((n) => !there.includes(n)),
      [],
      'none is missing',
    );
    assert.doesNotMatch(server.log, new RegExp(password));
    assert.match(server.log, /"the backend (does not answer|cannot store payloads)"/);
  });
});
