/** What docs/redis.md says of options, keys and rights is what the code has; the samples are run by docs.test.ts. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { Client, defineJob, JobServer, openBackend } from '../src/index.ts';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';

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
      ...found(/^function optionsOf.*?^}/ms.exec(read('src/backend/redis/address.ts'))?.[0] ?? '', /'(\w+)'/g),
      ...found(/parseAddress\(url, \[(.*?)\]/.exec(read('src/backend/redis/open.ts'))?.[1] ?? '', /'(\w+)'/g),
    ].filter((name) => !['single', 'unix', 'sentinel', 'cluster'].includes(name));
    assert.ok(known.length > 10);
    assert.deepEqual(found(firstCells('Options of an address'), /`(\w+)`/g), [...new Set(known)].sort());
  });

  it('names every key, and no other', () => {
    const used = [...found(scripts, /prefix \.\. '(\w+)/g), ...found(scripts, /'(\w\w+):'/g)];
    assert.ok(used.length > 30);
    const named = found(firstCells('What lies where'), /`(\w+)(?::\S*)?`/g);
    assert.deepEqual(named, [...new Set([...used, 'guard', 'mark'])].sort());
  });
});

/** The arguments of ACL SETUSER, as a shell would pass them on. */
const [, ruleText = ''] = /redis-cli ACL SETUSER (millrace on .*?)\n```/s.exec(manual) ?? [];
const rule = ruleText.replaceAll(/\\\n/g, ' ').replaceAll("'", '').trim().split(/\s+/);

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

describe('The rights in the manual of Redis', () => {
  it('are for each command that is sent or that a script calls, and for no other', () => {
    const called = found(scripts, /\b(?:call|many)\('([A-Z]+)'/g).map((name) => `+${name.toLowerCase()}`);
    assert.ok(called.length > 25);
    const sent = ['+evalsha', '+eval', '+script|load', '+info', '+ping', '+subscribe', '+unsubscribe'];
    assert.deepEqual(rule.filter((word) => word.startsWith('+')).sort(), [...new Set([...called, ...sent])].sort());
  });

  it('is enough for jobs', async (t) => {
    const { redis, url } = await restricted(t);
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
    const log = (await redis.command('ACL', 'LOG')) as string[][];
    const refused = log.map((entry) => entry[entry.indexOf('object') + 1]);
    assert.deepEqual(
      refused.filter((what) => what !== 'config|get'),
      [],
    );
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
