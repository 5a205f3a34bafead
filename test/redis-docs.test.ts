/** What docs/redis.md says of options, keys and rights is what the code has; the samples are run by docs.test.ts. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { Client, defineJob, JobServer, openBackend } from '../src/index.ts';
import { type RedisServer, startCluster, startRedis, startSentinel } from '../src/testing/redis.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const manual = read('docs/redis.md');

const scripts = globSync('src/backend/redis/lua/**/*.lua', { cwd: root }).map(read).join('\n');
/** First groups, each once, in order. */
const found = (text: string, pattern: RegExp) =>
  [...new Set(Array.from(text.matchAll(pattern), ([, name]) => name as string))].sort();

/** The rows of the table under a heading, the first cell of each. */
function firstCells(heading: string): string {
  const section = manual.split(/^## /m).find((each) => each.startsWith(heading)) ?? '';
  return found(section, /^\| (`.*?) \|/gm).join(' ');
}

describe('The manual of Redis', () => {
  it('names every option of an address, and no other', () => {
    const known = [
      ...found(/^function optionsOf.*?^}/ms.exec(read('src/backend/redis/link/address.ts'))?.[0] ?? '', /'(\w+)'/g),
      ...found(/parseAddress\(url, \[(.*?)\]/.exec(read('src/backend/redis/open.ts'))?.[1] ?? '', /'(\w+)'/g),
    ].filter((name) => !['single', 'unix', 'sentinel', 'cluster'].includes(name));
    assert.ok(known.length > 10);
    assert.deepEqual(found(firstCells('Options of an address'), /`(\w+)`/g), [...new Set(known)].sort());
  });

  it('names every key, and no other', () => {
    const used = [...found(scripts, /prefix \.\. '(\w+)/g), ...found(scripts, /'(\w\w+):'/g)];
    assert.ok(used.length > 30);
    const named = found(firstCells('What lies where'), /`(\w+)(?::\S*)?`/g);
    assert.deepEqual(named, [...new Set([...used, 'guard', 'mark', 'shards'])].sort());
  });
});

/** The arguments of ACL SETUSER, as a shell would pass them on. */
const [, ruleText = ''] = /redis-cli ACL SETUSER (millrace on .*?)\n```/s.exec(manual) ?? [];
const rule = ruleText.replaceAll(/\\\n/g, ' ').replaceAll("'", '').trim().split(/\s+/);

/** What is to be added for it, from the table. */
const alsoFor = (what: string) =>
  found(new RegExp(`^\\| ${what} \\|(.*)`, 'm').exec(manual)?.[1] ?? '', /`'?([~&+][^`']+)'?`/g).map((word) =>
    word.replaceAll('\\|', '|'),
  );

const greet = defineJob({
  name: 'greet',
  key: () => 'a',
  keepFor: 60_000,
  run: async (name: string) => `hello ${name}`,
});

async function restricted(t: TestContext, ...more: string[]): Promise<{ redis: RedisServer; url: string }> {
  const redis = await startRedis();
  t.after(() => redis.stop());
  await redis.command('ACL', 'SETUSER', ...rule, ...more);
  return { redis, url: `redis://millrace:PASSWORD@127.0.0.1:${redis.port}` };
}

/** Most of what there is. */
async function work(url: string): Promise<void> {
  const backend = await openBackend(url);
  const server = new JobServer({ backend, jobs: [greet] });
  await server.start();
  const client = new Client({ backend, jobs: [greet] });
  await client.schedule('daily', greet, 'Eve', { every: 86_400_000 });
  const handle = await client.enqueue('greet', 'Ada', { unique: { period: 60_000 }, id: 'one', tags: ['x'] });
  assert.equal(await handle.result(), 'hello Ada');
  await server.stop();
  await client.close();
  await backend.tidy();
  await backend.close();
}

/** What the server has refused to do, but for what is not needed. */
async function refusals(redis: RedisServer): Promise<string[]> {
  const log = (await redis.command('ACL', 'LOG')) as string[][];
  return log.map((entry) => entry[entry.indexOf('object') + 1] as string).filter((what) => what !== 'config|get');
}

describe('The rights in the manual of Redis', () => {
  it('are for each command that is sent or that a script calls, and for no other', () => {
    const called = found(scripts, /\b(?:call|many)\('([A-Z]+)'/g).map((name) => `+${name.toLowerCase()}`);
    assert.ok(called.length > 25);
    const sent = [
      '+fcall',
      '+function|load',
      '+evalsha',
      '+eval',
      '+script|load',
      '+info',
      '+ping',
      '+subscribe',
      '+unsubscribe',
    ];
    assert.deepEqual(rule.filter((word) => word.startsWith('+')).sort(), [...new Set([...called, ...sent])].sort());
  });

  it('is enough for jobs', async (t) => {
    const { redis, url } = await restricted(t);
    await work(url);
    assert.deepEqual(await refusals(redis), []);
  });

  it('is enough for a cluster, with what is said of it', async (t) => {
    const cluster = await startCluster();
    t.after(() => cluster.stop());
    for (const node of cluster.masters) await node.command('ACL', 'SETUSER', ...rule, ...alsoFor('a cluster'));
    await work(cluster.url.replace('://', '://millrace:PASSWORD@'));
    for (const node of cluster.masters) assert.deepEqual(await refusals(node), []);
  });

  it('is enough for a master with sentinels, with what is said of it', async (t) => {
    const set = await startSentinel();
    t.after(() => set.stop());
    const [role, ofSentinels] = [['+role'], alsoFor('Sentinel').filter((word) => word !== '+role')];
    assert.ok(alsoFor('Sentinel').includes('+role'));
    for (const server of set.servers) await server.command('ACL', 'SETUSER', ...rule, ...role);
    for (const sentinel of set.sentinels) {
      await sentinel.command('ACL', 'SETUSER', 'asker', 'on', '>SECRET', 'resetchannels', 'nocommands', ...ofSentinels);
    }
    const credentials = 'sentinelUsername=asker&sentinelPassword=SECRET';
    await work(`${set.url.replace('://', '://millrace:PASSWORD@')}?${credentials}`);
    for (const server of [...set.servers, ...set.sentinels]) assert.deepEqual(await refusals(server), []);
  });

  it('reaches nothing else', async (t) => {
    const { redis, url } = await restricted(t);
    const refused = { code: 'MILLRACE_BACKEND_REFUSED' };
    await assert.rejects(openBackend(`${url}?namespace=other`), refused);
    await assert.rejects(openBackend(`${url}/1`), refused);
    await redis.command('ACL', 'SETUSER', 'millrace', '+select');
    await (await openBackend(`${url}/1`)).close();
    const client = createClient({ url, socket: { reconnectStrategy: false } });
    client.on('error', () => undefined); // told by what is awaited
    await client.connect();
    for (const command of [
      ['FLUSHALL'],
      ['CONFIG', 'GET', '*'],
      ['KEYS', '*'],
      ['ACL', 'LIST'],
      ['GET', 'elsewhere'],
    ]) {
      await assert.rejects(client.sendCommand(command), /NOPERM/);
    }
    client.destroy();
  });
});
