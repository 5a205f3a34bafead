/**
 * A call whose answer was lost is sent again, byte for byte. Here every call is sent twice and only the second answer is heard: the
 * story goes as with calls that are sent once, and Redis holds the same in the end.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import type { ClaimedJob, Ending, NewJob, ServerInfo } from '../backend.ts';
import { type Link, makeLink } from '../redis/link/link.ts';
import { ResqueBackend } from './backend.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

function doubled(link: Link): Link {
  return new Proxy(link, {
    get(target, name) {
      if (name === 'run') {
        return async (...call: Parameters<Link['run']>) => {
          await target.run(...call).catch(() => undefined);
          return target.run(...call);
        };
      }
      const value = target[name as keyof Link];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const job = (n: number, rest: Partial<NewJob> = {}): NewJob => ({
  queue: 'q',
  name: 'Count',
  payload: Buffer.from(`[${n}]`),
  priority: 4,
  maxAttempts: 1,
  ...rest,
});
const member = (id: string): ServerInfo => ({ id, host: 'h', pid: 1, queues: ['q'], concurrency: 2 });
const error = { attempt: 1, at: 0, message: 'broken' };

/** Everything that changes something, and what it was answered. */
async function story(link: Link, namespace: string): Promise<unknown[]> {
  const clock = new VirtualClock();
  const backend = new ResqueBackend(link, { namespace, clock, attempts: 2 });
  const said: unknown[] = [];
  await backend.open();
  try {
    const once = { key: 'k', fingerprint: 'f', ttl: 3_600_000 };
    said.push(await backend.add([{ jobs: Array.from({ length: 12 }, (_, n) => job(n)) }, { jobs: [job(12)], once }]));
    said.push(await backend.add([{ jobs: [job(12)], once }, { jobs: [job(13, { runAt: clock.now() + 5_000 })] }]));
    for (const id of ['a', 'b']) await backend.beat(member(id));
    const claim = async (id: string, limit: number) => {
      const { jobs } = await backend.claim({ server: id, queues: ['q'], limit });
      said.push(jobs.map(({ id: its, claim, attempt, crashes }) => [its, claim, attempt, crashes]));
      return jobs;
    };
    const held = await claim('a', 6);
    const endings: Ending[] = [
      { kind: 'completed' },
      { kind: 'failed', error, retryAt: clock.now() + 2_000 },
      { kind: 'failed', error },
      { kind: 'returned' },
      { kind: 'snoozed', runAt: clock.now() + 3_000 },
    ];
    const outcomes = endings.map((ending, i) => {
      const { id, claim: token } = held[i] as ClaimedJob;
      return { id, claim: token, ending };
    });
    said.push(await backend.settle('a', outcomes));
    await claim('b', 4);
    said.push(await backend.act({ kind: 'cancel', reason: 'enough' }, { states: ['available'] }, { limit: 2 }));
    said.push(await backend.act({ kind: 'retry' }, { states: ['discarded'] }));
    await backend.configure('q', { maxCrashes: 5 });
    await backend.leave('b');
    clock.advance(10_000);
    said.push(await backend.rescue(10_000));
    await backend.beat(member('c'));
    await claim('c', 100);
    said.push(await backend.counts());
  } finally {
    await backend.close();
  }
  return said;
}

/** What is in Redis, but for the answers that are kept. */
async function contents(namespace: string): Promise<unknown> {
  const dump = `
    local all = {}
    for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
      local kind = redis.call('TYPE', key).ok
      local value
      if kind == 'string' then value = redis.call('GET', key)
      elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
      elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
      elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value)
      else value = {} local flat = redis.call('HGETALL', key)
        for i = 1, #flat, 2 do value[#value + 1] = flat[i] .. '=' .. redis.sha1hex(flat[i + 1]) end table.sort(value) end
      if not string.find(key, 'millrace:answers:', 1, true) then all[#all + 1] = { string.sub(key, #ARGV[1] + 2), value } end
    end
    table.sort(all, function(a, b) return a[1] < b[1] end)
    return all`;
  return server.command('EVAL', dump, '0', namespace);
}

it('a call that is sent twice has its effect once, and is answered the same', async () => {
  const once = await story(makeLink(server.url), 'once');
  const twice = await story(doubled(makeLink(server.url)), 'twice');
  assert.deepEqual(twice, once);
  const expected = (await contents('once')) as unknown[];
  assert.ok(expected.length > 10);
  assert.deepEqual(await contents('twice'), expected);
});
