import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import type { JobFilter } from '../backend/filter.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { isError } from '../errors.ts';
import { defineJob } from '../job/job.ts';
import { losslessJson } from '../job/lossless-json.ts';
import { Client } from './client.ts';
import type { EventsOptions } from './event-stream.ts';
import { Inspector } from './inspector.ts';

const mail = defineJob({ name: 'mail', queue: 'mail', run: (_: { to: string; n: number }) => undefined });
const credit = defineJob({ name: 'credit', codec: losslessJson, run: (_: { account: bigint }) => undefined });

async function setup() {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock });
  await backend.open();
  const client = new Client({ backend, clock });
  const inspector = new Inspector({ backend, clock, jobs: [credit] });
  const fill = (count: number, options = {}) =>
    client.enqueueMany(
      mail,
      Array.from({ length: count }, (_, n) => ({ to: n % 2 ? 'ada' : 'bob', n })),
      options,
    );
  return { clock, backend, client, inspector, fill };
}

describe('Inspector', () => {
  it('finds jobs by words or by a filter, page by page, decoded', async () => {
    const { inspector, fill } = await setup();
    await fill(25);
    const first = await inspector.find('queue:mail args.to:ada args.n:>4', { limit: 4 });
    assert.deepEqual(
      first.jobs.map(({ payload }) => payload),
      [5, 7, 9, 11].map((n) => ({ to: 'ada', n })),
    );
    assert.ok(first.next);
    const rest = await inspector.find('queue:mail args.to:ada args.n:>4', { after: first.next });
    assert.equal(rest.jobs.length, 6);
    assert.equal(rest.next, undefined);
    assert.equal((await inspector.find({ queue: 'other' })).jobs.length, 0);
    assert.equal((await inspector.find()).jobs.length, 25);
  });

  it('fills its page although single looks find little', async () => {
    const { backend, inspector, fill } = await setup();
    await fill(30);
    const list = backend.list.bind(backend);
    backend.list = async (filter, page) => {
      // As a backend that gives up early: every look goes through three jobs.
      const found = await list({}, { ...page, limit: 3 });
      const jobs = found.jobs.filter(({ payload }) => String(payload).includes('ada'));
      assert.equal(filter.name, 'mail');
      return { ...found, jobs: jobs.slice(0, page?.limit) };
    };
    const { jobs, next } = await inspector.find('name:mail', { limit: 5 });
    assert.equal(jobs.length, 5);
    assert.ok(next);
    const abort = AbortSignal.abort(new Error('enough'));
    await assert.rejects(inspector.find('name:mail', { signal: abort }), { message: 'enough' });
  });

  it('reads payloads with the codec of their job, and only when asked', async () => {
    const { backend, client, inspector } = await setup();
    const { id } = await client.enqueue(credit, { account: 2n ** 64n });
    assert.deepEqual((await inspector.get(id))?.payload, { account: 2n ** 64n });
    const stranger = await new Inspector({ backend }).get(id);
    assert.equal(stranger?.state, 'available');
    assert.throws(() => stranger?.payload, { code: 'MILLRACE_CODEC_MISMATCH' });
    assert.equal(await inspector.get('nowhere'), undefined);
  });

  it('acts on all that match, however many pages that is, and on no more than its limit', async () => {
    const { backend, inspector, fill } = await setup();
    await fill(2_500);
    const pages: number[] = [];
    const act = backend.act.bind(backend);
    backend.act = async (...call) => {
      const result = await act(...call);
      pages.push(result.count);
      return result;
    };
    assert.equal(await inspector.cancel('queue:mail args.to:ada', 'test', { limit: 3 }), 3);
    assert.equal(await inspector.cancel('queue:mail args.to:ada', 'test'), 1_247);
    assert.ok(Math.max(...pages) <= 1_000);
    assert.equal(await inspector.discard('queue:mail state:available', 'test', { limit: 1_200 }), 1_200);
    assert.equal(await inspector.retry('state:cancelled'), 1_250);
    assert.equal(await inspector.remove('state:discarded'), 1_200);
    const [mails] = await inspector.queues();
    assert.deepEqual([mails?.available, mails?.discarded, mails?.cancelled], [1_300, 0, 0]);
  });

  it('acts on every job only when that is said: a filter that names nothing may be a mistake', async () => {
    const { inspector, fill } = await setup();
    await fill(3);
    const nothing = ['', '  ', {}, undefined, { where: [] }, { queue: undefined, ids: undefined }] as (
      | string
      | JobFilter
    )[];
    for (const filter of nothing) {
      for (const call of [
        inspector.retry(filter),
        inspector.retry(filter, { rate: { limit: 1, per: 1 } }),
        inspector.cancel(filter, 'test'),
        inspector.discard(filter, 'test', { all: false }),
        inspector.remove(filter, { limit: 1 }),
      ]) {
        await assert.rejects(call, (error) => isError(error, 'OPTION_INVALID') && error.fields.option === 'filter');
      }
    }
    assert.equal((await inspector.queues())[0]?.available, 3);
    assert.equal(await inspector.remove({ states: [] }), 0);
    assert.equal(await inspector.discard('', 'test', { all: true }), 3);
    assert.equal(await inspector.retry({}, { all: true, limit: 1 }), 1);
    assert.equal(await inspector.remove({}, { all: true }), 3);
  });

  it('retries at a rate, spread over time across pages', async () => {
    const { clock, backend, inspector, fill } = await setup();
    await fill(2_100);
    await inspector.discard('queue:mail', 'test');
    const start = clock.now();
    assert.equal(await inspector.retry('state:discarded', { rate: { limit: 100, per: 1_000 } }), 2_100);
    const at = async (text: string) =>
      (await backend.list({ where: [{ path: ['n'], is: '=', value: Number(text) }] })).jobs[0]?.runAt;
    for (const n of [0, 1, 999, 1_000, 2_099]) assert.equal(await at(String(n)), start + n * 10, `job ${n}`);
    const wrong = { rate: { limit: 0, per: 1 } };
    await assert.rejects(inspector.retry('queue:mail', wrong), { code: 'MILLRACE_OPTION_INVALID' });
  });

  it('pauses, resumes and sets queues, and knows the servers', async () => {
    const { backend, inspector } = await setup();
    assert.equal((await inspector.pause('mail')).paused, true);
    assert.equal((await inspector.resume('mail')).paused, false);
    const { concurrency, keys } = await inspector.configure('mail', { concurrency: 5, keys: { concurrency: 2 } });
    assert.deepEqual([concurrency, keys.concurrency], [5, 2]);
    await assert.rejects(inspector.configure('mail', { concurrency: 0 }), { code: 'MILLRACE_OPTION_INVALID' });
    await backend.beat({ id: 's', host: 'h', pid: 1, queues: ['mail'], concurrency: 3 });
    assert.deepEqual(
      (await inspector.servers()).map(({ id }) => id),
      ['s'],
    );
  });

  it('refuses words that are none, and options that are not known', async () => {
    const { inspector } = await setup();
    await assert.rejects(inspector.find('vip'), { code: 'MILLRACE_FILTER_INVALID' });
    await assert.rejects(inspector.remove('stat:discarded'), { code: 'MILLRACE_FILTER_INVALID' });
    await assert.rejects(inspector.find('', { limit: 0 }), { code: 'MILLRACE_OPTION_INVALID' });
    await assert.rejects(inspector.remove('queue:mail', { max: 1 } as object), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });
});

describe('the events of an Inspector', () => {
  async function recorded() {
    const all = await setup();
    await all.inspector.configure('mail', { events: 5 });
    /** Starts a reader; `texts` grows as it reads, `ended` resolves when its loop has ended. */
    const read = (options: EventsOptions = {}) => {
      const texts: string[] = [];
      const ended = (async () => {
        for await (const event of all.inspector.events(options)) texts.push(event.kind);
      })();
      return { texts, ended };
    };
    const turns = async () => {
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    return { ...all, read, turns };
  }

  it('replay what is kept, then go on as things happen, until the signal', async () => {
    const { clock, backend, inspector, fill, read, turns } = await recorded();
    let listening = 0;
    const listen = backend.listen.bind(backend);
    backend.listen = (...call) => {
      listening++;
      const stop = listen(...call);
      return () => {
        listening--;
        stop();
      };
    };
    await fill(2);
    const abort = new AbortController();
    const reader = read({ signal: abort.signal });
    await turns();
    assert.deepEqual(reader.texts, ['added', 'added']);
    await inspector.cancel('args.n:1', 'test');
    await turns();
    assert.deepEqual(reader.texts, ['added', 'added', 'cancelled']);
    abort.abort();
    await reader.ended;
    assert.deepEqual([listening, clock.pending, getEventListeners(abort.signal, 'abort').length], [0, 0, 0]);
  });

  it('begin behind a number, or now', async () => {
    const { fill, inspector, read, turns } = await recorded();
    await fill(3);
    const numbers: number[] = [];
    for await (const event of inspector.events()) {
      if (event.kind !== 'missed') numbers.push(event.number);
      if (numbers.length === 3) break;
    }
    const abort = new AbortController();
    const behind = read({ after: numbers[1] as number, signal: abort.signal });
    const now = read({ after: 'now', signal: abort.signal });
    await turns();
    assert.deepEqual([behind.texts, now.texts], [['added'], []]);
    await fill(1);
    await turns();
    assert.deepEqual([behind.texts, now.texts], [['added', 'added'], ['added']]);
    abort.abort();
    await Promise.all([behind.ended, now.ended]);
    await assert.rejects(read({ after: -1 }).ended, { code: 'MILLRACE_OPTION_INVALID' });
  });

  it('tell a slow reader what it has missed', async () => {
    const { fill, inspector } = await recorded();
    await fill(1);
    const events = inspector.events();
    const first = await events.next();
    const { number } = first.value as { number: number };
    await fill(8);
    const second = await events.next();
    assert.deepEqual(second.value, { kind: 'missed', after: number });
    const third = await events.next();
    assert.equal((third.value as { number: number }).number, number + 4, 'the last five of nine are kept');
    await events.return();
  });

  it('are found by a poll when the word got lost', async () => {
    const { clock, backend, fill, read, turns } = await recorded();
    backend.listen = () => () => undefined;
    const abort = new AbortController();
    const reader = read({ signal: abort.signal });
    await turns();
    await fill(1);
    await turns();
    assert.deepEqual(reader.texts, []);
    await clock.advance(1_000);
    await turns();
    assert.deepEqual(reader.texts, ['added']);
    abort.abort();
    await reader.ended;
  });
});
