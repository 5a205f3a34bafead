/** What the Sidekiq backend does in its own way: what stands where on the wire after each step. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import { FaultProxy } from '../../testing/fault-proxy.ts';
import { type RedisServer, startRedis, until } from '../../testing/redis.ts';
import type { NewJob, Outcome } from '../backend.ts';
import { act, add, claim, failure, known, server, settle } from '../conformance/support.ts';
import { Calls } from '../redis/calls.ts';
import { makeLink } from '../redis/link/link.ts';
import { SidekiqBackend, type SidekiqOptions } from './backend.ts';
import { scriptOf } from './scripts.ts';

const job = (args = '[]', rest: Partial<NewJob> = {}): NewJob => {
  const given = { queue: 'q', name: 'work', payload: Buffer.from(args), priority: 4, maxAttempts: 3 };
  return { ...given, ...rest };
};
const args = ({ payload }: { readonly payload: Uint8Array }) => Buffer.from(payload).toString();

describe('on the Sidekiq wire', () => {
  let redis: RedisServer;
  let proxy: FaultProxy;
  before(async () => {
    redis = await startRedis();
    proxy = await FaultProxy.start(redis.port);
  });
  after(async () => {
    await proxy.stop();
    await redis.stop();
  });
  beforeEach(async () => {
    proxy.mend();
    await redis.command('FLUSHALL');
  });

  const open = async (t: TestContext, options: SidekiqOptions = {}, url = redis.url) => {
    const backend = new SidekiqBackend(makeLink(url), options);
    t.after(() => backend.close());
    await backend.open();
    return backend;
  };
  /** With a clock that stands still: 2026-01-01. */
  const timed = async (t: TestContext, options: SidekiqOptions = {}) => {
    const clock = new VirtualClock();
    return { clock, backend: await open(t, { ...options, clock }) };
  };
  /** The scripts themselves. */
  const openCalls = async (t: TestContext) => {
    const link = makeLink(redis.url);
    const calls = new Calls(link, scriptOf, { prefix: 'millrace:', clock: undefined, common: { db: 0 } });
    t.after(() => link.close());
    await calls.open();
    return calls;
  };
  const members = async (key: string) => (await redis.command('ZRANGE', key, '0', '-1')) as string[];
  const fields = async (key: string) => (await members(key)).map((each) => JSON.parse(each) as Record<string, unknown>);
  const score = async (key: string, member: string) => Number(await redis.command('ZSCORE', key, member));
  const push = (line: object | string) =>
    redis.command('LPUSH', 'queue:q', typeof line === 'string' ? line : JSON.stringify(line));

  it('a failed job stands in `retry` until its moment, then in its queue again, one failure more each time', async (t) => {
    const { backend, clock } = await timed(t);
    const [id] = await add(backend, [job('[1]')]);
    const start = clock.now();
    await settle(backend, await claim(backend), { kind: 'failed', error: failure(1), retryAt: start + 15_000 });
    const [raw = ''] = await members('retry');
    assert.equal(await score('retry', raw), (start + 15_000) / 1_000);
    const { enqueued_at: _, ...first } = JSON.parse(raw);
    const given = { retry: 2, queue: 'q', class: 'work', args: [1], jid: id, created_at: start / 1_000 };
    const error = { error_message: 'broken', error_class: 'E_BROKEN', failed_at: 1 };
    assert.deepEqual(first, { ...given, ...error, retry_count: 0 });
    await clock.advance(15_000);
    const again = await claim(backend);
    assert.deepEqual([again[0]?.attempt, again[0]?.runAt], [2, start + 15_000]);
    await settle(backend, again, { kind: 'failed', error: failure(2), retryAt: clock.now() });
    const [second] = await fields('retry');
    assert.deepEqual([second?.retry_count, second?.failed_at, second?.retried_at], [1, 1, 1]);
    await settle(backend, await claim(backend), { kind: 'failed', error: failure(3) });
    assert.deepEqual(await members('retry'), []);
    const [dead] = await fields('dead');
    assert.deepEqual([dead?.jid, dead?.retry_count], [id, 2]);
    const record = await known(backend, id);
    assert.deepEqual([record.state, record.attempt, record.endedAt], ['discarded', 3, clock.now()]);
  });

  it('a job that wants no retries or no grave gets none, and one whose time for retries is over is dead', async (t) => {
    const { backend, clock } = await timed(t);
    const begin = clock.now() / 1_000 - 100;
    await push({ class: 'A', args: [], jid: 'none', retry: false });
    await push({ class: 'A', args: [], jid: 'no-grave', retry: 0, dead: false });
    await push({ class: 'A', args: [], jid: 'in-time', retry_for: 200, retry_count: 90, failed_at: begin });
    await push({ class: 'A', args: [], jid: 'late', retry_for: 99, retry_count: 0, failed_at: begin });
    const [none, noGrave, inTime, late] = await claim(backend);
    assert.ok(none && noGrave && inTime && late);
    await settle(backend, [none, noGrave], { kind: 'failed', error: failure() });
    await settle(backend, [inTime, late], { kind: 'failed', error: failure(), retryAt: 4e12 });
    assert.deepEqual(
      (await fields('retry')).map(({ jid }) => jid),
      ['in-time'],
    );
    assert.deepEqual(
      (await fields('dead')).map(({ jid }) => jid),
      ['late'],
    );
    assert.equal(await redis.command('GET', 'stat:failed'), '4');
  });

  it('counts what has run and what has failed, in all and by day, as Sidekiq does', async (t) => {
    const { backend, clock } = await timed(t);
    await add(backend, [job(), job(), job(), job(), job()]);
    const [one, two, three, four, five] = await claim(backend);
    assert.ok(one && two && three && four && five);
    await settle(backend, [one], { kind: 'completed' });
    await settle(backend, [two], { kind: 'failed', error: failure(), retryAt: 4e12 });
    await settle(backend, [three], { kind: 'returned' });
    await settle(backend, [four], { kind: 'snoozed', runAt: 4e12 });
    await clock.advance(86_400_000);
    await settle(backend, [five], { kind: 'discarded', error: failure() });
    const keys = ['stat:processed', 'stat:failed', 'stat:processed:2026-01-01', 'stat:failed:2026-01-01'];
    assert.deepEqual(await redis.command('MGET', ...keys, 'stat:processed:2026-01-02'), ['3', '2', '2', '1', '1']);
    const ttl = Number(await redis.command('TTL', 'stat:processed:2026-01-01'));
    assert.ok(ttl > 157_679_000 && ttl <= 157_680_000);
  });

  it('a snoozed job stands in `schedule`, with the failures that it had', async (t) => {
    const { backend, clock } = await timed(t);
    await push({ class: 'A', args: [2], jid: 'x', queue: 'q', retry_count: 1, enqueued_at: 1 });
    await settle(backend, await claim(backend), { kind: 'snoozed', runAt: clock.now() + 60_000 });
    assert.deepEqual(await fields('schedule'), [{ class: 'A', args: [2], jid: 'x', queue: 'q', retry_count: 1 }]);
    await clock.advance(60_000);
    assert.equal((await claim(backend))[0]?.attempt, 3);
  });

  it('a job whose servers die gets a last chance in `retry`, then a grave; one that succeeds is forgiven', async (t) => {
    const { backend, clock } = await timed(t);
    const [bad, good] = await add(backend, [job('["bad"]'), job('["good"]')]);
    const crash = async () => {
      const held = await claim(backend);
      await clock.advance(1_000);
      assert.equal(await backend.rescue(1_000), held.length);
      return held.map(({ crashes }) => crashes);
    };
    assert.deepEqual(await crash(), [0, 0]);
    assert.deepEqual(
      (await backend.list({})).jobs.map(({ id }) => id),
      [bad, good],
      'in their old order',
    );
    const [first, second] = await claim(backend);
    assert.ok(first && second);
    assert.deepEqual([first.crashes, second.crashes], [1, 1]);
    await settle(backend, [second], { kind: 'completed' });
    assert.equal(await redis.command('HEXISTS', 'millrace:crashes', good as string), 0);
    await clock.advance(1_000);
    await backend.rescue(1_000);
    const [chance = ''] = await members('retry');
    assert.equal(await score('retry', chance), clock.now() / 1_000 + 60);
    assert.equal(JSON.parse(chance).error_class, 'MILLRACE_SERVER_DIED');
    await clock.advance(60_000);
    assert.deepEqual(await crash(), [2]);
    const [dead] = await fields('dead');
    assert.deepEqual([dead?.jid, dead?.error_class, dead?.args], [bad, 'MILLRACE_SERVER_DIED', ['bad']]);
    await clock.advance(3 * 86_400_000);
    assert.equal(await backend.tidy(), 1);
    assert.equal(await redis.command('EXISTS', 'millrace:crashes', 'millrace:crashed'), 0);
  });

  it('brings everything that is due to its queues before it claims, hundreds at once, in the order of their moments', async (t) => {
    const { backend, clock } = await timed(t);
    const soon = clock.now() + 1_000;
    await add(
      backend,
      Array.from({ length: 500 }, (_, i) => job(`[${i}]`, { runAt: soon + (499 - i) })),
    );
    await redis.command('ZADD', 'retry', '1', '{"class":"A","args":["elsewhere"],"queue":"r"}');
    await redis.command('ZADD', 'schedule', '1', 'what is this');
    assert.deepEqual(await claim(backend), []);
    await clock.advance(1_499);
    const found = await claim(backend, 500);
    assert.deepEqual(
      found.map(args),
      Array.from({ length: 500 }, (_, i) => `[${499 - i}]`),
    );
    assert.deepEqual(await members('schedule'), []);
    assert.equal(await redis.command('LLEN', 'queue:r'), 1);
    assert.deepEqual(await members('dead'), ['what is this']);
    assert.deepEqual(((await redis.command('SMEMBERS', 'queues')) as string[]).sort(), ['q', 'r']);
  });

  it('takes jobs from where they stand, though others were taken meanwhile, and tells how many', async (t) => {
    const backend = await open(t);
    const ids = await add(
      backend,
      Array.from({ length: 1_200 }, (_, i) => job(`[${i}]`)),
    );
    const page = await backend.list({}, { limit: 700 });
    assert.equal(page.jobs.length, 700);
    await claim(backend, 300); // those before them are gone, so they stand elsewhere
    const chosen = ids.filter((_, i) => i >= 200 && i < 700 && i % 2 === 0);
    assert.deepEqual(await backend.act({ kind: 'cancel', reason: 'no' }, { ids: chosen, states: ['available'] }), {
      count: 200,
    });
    assert.equal(await redis.command('LLEN', 'queue:q'), 700);
    const rest = await backend.list({}, { limit: 1_000, after: page.next as string });
    assert.ok(rest.jobs.length > 0);
    assert.equal(await act(backend, { kind: 'discard', reason: 'all' }, { states: ['available'] }), 700);
    const [counts] = await backend.counts();
    assert.deepEqual([counts?.available, counts?.running, counts?.discarded, counts?.cancelled], [0, 300, 700, 200]);
    assert.equal(await act(backend, { kind: 'retry', at: 4e12, every: 1_000 }, { states: ['discarded'] }), 700);
    const times = (await backend.list({ states: ['scheduled'] }, { limit: 1_000 })).jobs.map(({ runAt }) => runAt);
    assert.deepEqual(
      times,
      Array.from({ length: 700 }, (_, i) => 4e12 + i * 1_000),
    );
  });

  it('looks on page by page through all places, each job once while nobody changes anything', async (t) => {
    const { backend } = await timed(t);
    for (const queue of ['b', 'a', 'q'])
      await add(
        backend,
        [1, 2, 3].map((n) => job(`["${queue}${n}"]`, { queue })),
      );
    const held = await claim(backend, 2, { queues: ['a'] });
    await settle(backend, held.slice(1), { kind: 'discarded', error: failure() });
    await settle(backend, await claim(backend, 1, { queues: ['b'] }), {
      kind: 'failed',
      error: failure(),
      retryAt: 4e12,
    });
    await add(backend, [job('["later"]', { runAt: 4e12 })]);
    const seen: string[] = [];
    for (let after: string | undefined, pages = 0; ; pages++) {
      assert.ok(pages < 10);
      const { jobs, next } = await backend.list({}, { limit: 2, ...(after !== undefined && { after }) });
      seen.push(...jobs.map(args));
      if (next === undefined) break;
      after = next;
    }
    const places = [['a1'], ['a3'], ['b2'], ['b3'], ['q1'], ['q2'], ['q3'], ['later'], ['b1'], ['a2']];
    assert.deepEqual(
      seen,
      places.map((each) => JSON.stringify(each)),
    );
    await redis.command('DEL', 'queue:b');
    await redis.command('SREM', 'queues', 'b');
    assert.deepEqual((await backend.list({}, { after: 'queue:1:b' })).jobs.map(args), [
      '["q1"]',
      '["q2"]',
      '["q3"]',
      '["later"]',
      '["b1"]',
      '["a2"]',
    ]);
  });

  it('counts sets of any size by queue', async (t) => {
    const backend = await open(t);
    const lines =
      "for i = 1, 2500 do redis.call('ZADD', 'retry', 4e9, '{\"queue\":\"' .. (i % 5 == 0 and 'r' or 's') .. '\",\"n\":' .. i .. '}') end";
    await redis.command('EVAL', lines, '0');
    await redis.command('ZADD', 'retry', '1', 'not JSON');
    const counts = (await backend.counts()).map(({ queue, retryable }) => [queue, retryable]);
    assert.deepEqual(counts, [
      ['r', 500],
      ['s', 2000],
    ]);
  });

  it('shows a server among the processes for a minute after its last beat, and what it runs', async (t) => {
    const { backend, clock } = await timed(t, { version: 6 });
    await add(
      backend,
      Array.from({ length: 6 }, (_, i) => job(`["<${i}>"]`)),
    );
    await claim(backend, 6);
    await backend.beat(server());
    const [identity = ''] = (await redis.command('SMEMBERS', 'processes')) as string[];
    assert.match(identity, new RegExp(`^host:${process.pid}:[0-9a-f]{12}$`));
    const shown = (await redis.command('HMGET', identity, 'busy', 'quiet', 'concurrency', 'beat', 'info')) as string[];
    assert.deepEqual(shown.slice(0, 4), ['4', 'false', '4', String(clock.now() / 1_000)]);
    const { hostname, pid, queues, identity: own, embedded } = JSON.parse(shown[4] ?? '');
    assert.deepEqual([hostname, pid, queues, own, embedded], ['host', process.pid, ['q'], identity, false]);
    for (const name of ['work', 'workers']) {
      const works = (await redis.command('HVALS', `${identity}:${name}`)) as string[];
      const shownArgs = works.map((each) => JSON.parse(JSON.parse(each).payload).args[0] as string);
      assert.deepEqual(shownArgs.sort(), ['<0>', '<1>', '<2>', '<3>'], 'as many as it can run, the first');
      const { queue, run_at: runAt } = JSON.parse(works[0] ?? '');
      assert.deepEqual([queue, runAt], ['q', Math.floor(clock.now() / 1_000)]);
    }
    for (const key of [identity, `${identity}:work`]) {
      const ttl = Number(await redis.command('TTL', key));
      assert.ok(ttl > 50 && ttl <= 60, `${key}: ${ttl}`);
    }
    await backend.leave('a');
    assert.equal(await redis.command('EXISTS', identity, `${identity}:work`, `${identity}:workers`, 'processes'), 0);
    assert.equal(await redis.command('LLEN', 'queue:q'), 6);
  });

  it('hears the signals of the Web page until the server leaves; Stop outweighs Quiet, and others are let pass', async (t) => {
    const backend = await open(t);
    await backend.beat(server());
    const [identity] = (await redis.command('SMEMBERS', 'processes')) as string[];
    const press = (signal: string) => redis.command('LPUSH', `${identity}-signals`, signal);
    assert.equal(await backend.signal('a'), undefined);
    await press('TTIN');
    assert.equal(await backend.signal('a'), undefined);
    await press('TSTP');
    assert.deepEqual([await backend.signal('a'), await backend.signal('a')], ['quiet', 'quiet']);
    await backend.beat(server());
    assert.equal(await redis.command('HGET', identity as string, 'quiet'), 'true');
    await press('TERM');
    await press('TSTP');
    assert.deepEqual([await backend.signal('a'), await backend.signal('a')], ['stop', 'stop']);
    await backend.leave('a');
    await backend.beat(server());
    assert.equal(await backend.signal('a'), undefined);
    assert.equal(await backend.signal('nobody'), undefined);
  });

  it('hears within a second of jobs that peers push, who tell nobody', async (t) => {
    const backend = await open(t);
    let wakes = 0;
    let waiting = () => {};
    backend.listen({ queues: ['q'] }, () => {
      wakes++;
      waiting();
    });
    /** Resolves with the first wake that was not yet. */
    const woken = (known: number) =>
      new Promise<void>((resolve) => {
        waiting = () => wakes > known && resolve();
        waiting();
      });
    await woken(0); // the one that says that listening has begun
    const before = wakes;
    await push({ class: 'A', args: [] });
    await woken(before);
    await redis.command('DEL', 'queue:q');
    await redis.command('ZADD', 'schedule', '1', '{"class":"A","args":[],"queue":"elsewhere"}');
    await woken(wakes);
  });

  it('does not hear of a paused queue', async (t) => {
    const calls = await openCalls(t);
    await push({ class: 'A', args: [] });
    await redis.command('SADD', 'paused', 'q');
    assert.deepEqual(await calls.ask('peek', { queues: ['q', 'r'] }), []);
    await redis.command('SREM', 'paused', 'q');
    assert.deepEqual(String(await calls.ask('peek', { queues: ['q', 'r'] })), 'q');
  });

  it('finds a job in its list though those before it have gone since it was seen', async (t) => {
    const calls = await openCalls(t);
    for (const name of ['a', 'b', 'c', 'd', 'e']) await push(name);
    await redis.command('RPOP', 'queue:q');
    await redis.command('RPOP', 'queue:q');
    const jobs = ['d', 'a', 'c', 'd'].map((raw) => [Buffer.from(raw), 'gone']);
    assert.equal(String(await calls.change('move', { place: 'queue', queue: 'q', from: 2, to: 4, jobs })), '1010');
    assert.deepEqual(await redis.command('LRANGE', 'queue:q', '0', '-1'), ['e']);
  });

  it('keeps as many of the dead, and for as long, as Sidekiq does', async (t) => {
    const { backend, clock } = await timed(t);
    const fill = (from: number) =>
      redis.command('EVAL', `for i = 1, 10050 do redis.call('ZADD', 'dead', ${from} + i, i) end`, '0');
    const bury = async () => {
      await add(backend, [job('["new"]')]);
      await settle(backend, await claim(backend), { kind: 'discarded', error: failure() });
    };
    await fill(clock.now() / 1_000 - 180 * 86_400 - 20_000);
    await bury();
    assert.equal(await redis.command('ZCARD', 'dead'), 1);
    await fill(clock.now() / 1_000 - 20_000);
    await bury();
    assert.equal(await redis.command('ZCARD', 'dead'), 9_999);
    assert.equal((await members('dead')).filter((each) => each.includes('new')).length, 2);
  });

  it('keeps its keys apart by namespace', async (t) => {
    const plain = await open(t);
    const apart = await open(t, { namespace: 'app' });
    await add(apart, [job('["apart"]')]);
    await claim(apart, 0);
    assert.deepEqual(await claim(plain), []);
    const keys = ((await redis.command('KEYS', '*')) as string[]).filter(
      (key) => !/^(millrace|processes|host):/.test(key),
    );
    assert.deepEqual(keys.filter((key) => !key.startsWith('app:')).sort(), ['processes']);
    assert.ok(keys.includes('app:queue:q') && keys.includes('app:queues') && keys.includes('app:processes'));
    assert.deepEqual((await claim(apart)).map(args), ['["apart"]']);
    await apart.leave('a');
    assert.equal(await redis.command('LLEN', 'app:queue:q'), 1);
  });

  it('heeds and sets the pauses of Sidekiq Pro', async (t) => {
    const backend = await open(t);
    await push({ class: 'A', args: [] });
    await redis.command('SADD', 'paused', 'q');
    assert.deepEqual(await claim(backend), []);
    assert.equal((await backend.counts())[0]?.settings.paused, true);
    assert.equal((await backend.configure('q', { paused: false })).paused, false);
    assert.equal((await claim(backend)).length, 1);
    await backend.configure('q', { paused: true });
    assert.deepEqual(await redis.command('SMEMBERS', 'paused'), ['q']);
  });

  it('refuses what the wire cannot say, and stores nothing', async (t) => {
    const backend = await open(t);
    for (const part of [{ id: 'mine' }, { priority: 0 }, { key: 'k' }, { keepFor: 1 }]) {
      const call = backend.add([{ jobs: [job(), job('[]', part)] }]);
      await assert.rejects(call, { code: 'MILLRACE_NOT_SUPPORTED' }, JSON.stringify(part));
    }
    for (const payload of ['{}', '7', '"[]"', '[', '']) {
      await assert.rejects(
        backend.add([{ jobs: [job(), job(payload)] }]),
        { code: 'MILLRACE_OPTION_INVALID' },
        payload,
      );
    }
    await assert.rejects(backend.list({ key: 'k' }), { code: 'MILLRACE_NOT_SUPPORTED' });
    await assert.rejects(backend.configure('q', { events: 1 }), { code: 'MILLRACE_NOT_SUPPORTED' });
    assert.deepEqual(await redis.command('KEYS', 'queue*'), []);
  });

  it('what is sent again because its answer was lost is done once', async (t) => {
    const backend = await open(t, {}, `redis://127.0.0.1:${proxy.port}`);
    await backend.beat(server());
    await add(backend, [job('["warm"]')]);
    await settle(backend, await claim(backend), { kind: 'completed' });
    const cut = async <T>(call: () => Promise<T>) => {
      const before = proxy.connections;
      proxy.cutAfter(1);
      const asked = call();
      await until('the connection was cut', async () => proxy.connections > before);
      proxy.mend();
      return asked;
    };
    await cut(() => add(backend, [job('[1]'), job('[2]')]));
    assert.equal(await redis.command('LLEN', 'queue:q'), 2);
    const { jobs } = await cut(() => backend.claim({ server: 'a', queues: ['q'], limit: 5 }));
    assert.deepEqual(jobs.map(args), ['[1]', '[2]']);
    assert.deepEqual(await cut(() => settle(backend, jobs, { kind: 'completed' })), ['taken', 'taken']);
    assert.equal(await redis.command('GET', 'stat:processed'), '3');
  });

  it('what a claim gave that was given up is given by the next one', async (t) => {
    const backend = await open(t, {}, `redis://127.0.0.1:${proxy.port}?timeout=1500`);
    const watcher = await open(t);
    await add(backend, [job('[1]'), job('[2]'), job('[3]')]);
    await claim(backend, 0); // the script is there
    proxy.refuseAfter(1);
    const lost = assert.rejects(claim2(backend, 2), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    await until('the claim is made', async () => (await watcher.counts())[0]?.running === 2);
    await lost;
    proxy.mend();
    const jobs = await claim2(backend, 5);
    assert.deepEqual(jobs.map(args), ['[1]', '[2]', '[3]']);
    const done = jobs.map(({ id, claim }): Outcome => ({ id, claim, ending: { kind: 'completed' } }));
    assert.deepEqual(await backend.settle('a', done), ['taken', 'taken', 'taken']);
    assert.equal((await watcher.counts())[0]?.running, 0);
  });

  it('does not take a server for dead that could not beat because nobody could reach Redis', async (t) => {
    const backend = await open(t, {}, `redis://127.0.0.1:${proxy.port}?timeout=500`);
    const other = await open(t);
    await backend.tidy();
    await other.beat(server('b'));
    proxy.refuse();
    await assert.rejects(backend.tidy(), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    proxy.mend();
    await backend.tidy();
    assert.equal((await other.servers()).length, 1);
    await backend.rescue(400);
    assert.deepEqual(
      (await other.servers()).map(({ id }) => id),
      ['b'],
    );
    await other.rescue(400);
    assert.deepEqual(await other.servers(), []);
  });

  it('keeps the lease from a thread of its own', async (t) => {
    const backend = await open(t);
    const pulse = new Int32Array(new SharedArrayBuffer(4));
    await backend.startHeart?.(server(), { every: 5, stallTimeout: 60_000, pulse });
    const beatAt = async () => (await backend.servers()).find(({ id }) => id === 'a')?.beatAt ?? 0;
    const first = await beatAt();
    await until('it beats', async () => (await beatAt()) > first + 50);
    assert.deepEqual(
      (await backend.servers()).map(({ id, queues, concurrency }) => [id, queues, concurrency]),
      [['a', ['q'], 4]],
    );
    await backend.leave('a');
    assert.deepEqual(await backend.servers(), []);
  });
});

async function claim2(backend: SidekiqBackend, limit: number) {
  return (await backend.claim({ server: 'a', queues: ['q'], limit })).jobs;
}
