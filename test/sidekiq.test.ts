/**
 * The Sidekiq backend beside the real thing: Ruby pushes, works and manages, and so do we, on the same Redis. The numbers are those
 * of the checks that every implementation of these wires is held to; docs/sidekiq.md has the table of what was seen with which version.
 */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { Backend } from '../src/backend/backend.ts';
import { openBackend } from '../src/backend/open.ts';
import { Client } from '../src/client/client.ts';
import { discard } from '../src/job/control.ts';
import { defineJob, type JobDefinition } from '../src/job/job.ts';
import { workerClass } from '../src/job/worker-class.ts';
import type { ServerEvent } from '../src/server/events.ts';
import { JobServer, type JobServerOptions } from '../src/server/server.ts';
import { type RedisServer, startRedis, until } from '../src/testing/redis.ts';
import { RubyConsole, RubyProcess, sidekiqMajor, sidekiqMissing, sidekiqVersion } from './support/sidekiq.ts';

console.error(sidekiqMissing ? `\n*** ${sidekiqMissing} ***\n` : `Ruby's Sidekiq is ${sidekiqVersion}`);

/** Everything that one of the two sides might write in another way. */
const awkward = [
  '<a&b>',
  'é ✉ 👩‍👩‍👧 \u2028\u2029 \u007f \u0001 "\\/\'',
  9007199254740993n,
  -1180591620717411303424n,
  0.1,
  1e21,
  1.5e-7,
  true,
  null,
  [],
  {},
  [[{ 'a b': [null, { ü: '🙂' }] }]],
  '',
];

describe(`beside Ruby's Sidekiq ${sidekiqVersion}`, { skip: sidekiqMissing ?? false, timeout: 120_000 }, () => {
  let redis: RedisServer;
  let ruby: RubyConsole;
  before(async () => {
    redis = await startRedis();
    ruby = new RubyConsole(redis.url);
  });
  after(async () => {
    await ruby.stop();
    await redis.stop();
  });
  beforeEach(() => redis.command('FLUSHALL'));

  /** What is done at the end of a test, the latest first. */
  let ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    ends = [];
  });

  const open = async (): Promise<Backend> => {
    const backend = await openBackend(`sidekiq:${redis.url}/0?version=${sidekiqMajor}`);
    ends.push(() => backend.close());
    return backend;
  };

  /** A Ruby process that works off the default queue, until the end of the test. */
  const work = (args?: readonly string[]) => {
    const process = new RubyProcess(redis.url, args);
    ends.push(() => process.stop());
    return process;
  };

  /** Of ours, until the end of the test; with what it says. */
  const serve = async (jobs: readonly JobDefinition[], options: Partial<JobServerOptions> = {}) => {
    const backend = await open();
    const events: ServerEvent[] = [];
    const waiting = new Set<() => void>();
    const server = new JobServer({
      backend,
      jobs,
      lease: 1_000,
      pollInterval: 100,
      ...options,
      observe: (event) => {
        events.push(event);
        for (const look of waiting) look();
      },
    });
    ends.push(() => server.stop());
    await server.start();
    /** Resolves with the event, when it has come. */
    const seen = <Type extends ServerEvent['type']>(type: Type, count = 1) =>
      new Promise<Extract<ServerEvent, { type: Type }>>((resolve) => {
        const look = () => {
          const found = events.filter((event) => event.type === type);
          if (found.length < count) return;
          waiting.delete(look);
          resolve(found[count - 1] as Extract<ServerEvent, { type: Type }>);
        };
        waiting.add(look);
        look();
      });
    return { backend, server, seen };
  };

  /** What a Ruby process has run next: its job id, and the arguments as JSON. */
  const ran = async () => {
    const answer = (await redis.command('BLPOP', 'seen', '20')) as [string, string] | null;
    assert.ok(answer, 'a Ruby process runs it within 20 s');
    const [, jid, args] = /^\{"jid":"(.*?)","args":(.*),"by":"ruby"\}$/s.exec(answer[1]) ?? [];
    return { jid, args };
  };

  it('15. runs in Ruby what we push, digit for digit and sign for sign', async () => {
    const backend = await open();
    const hard = workerClass('HardJob');
    const client = new Client({ backend, jobs: [hard] });
    const { id } = await client.enqueue(hard, awkward);
    work();
    const { jid, args = '' } = await ran();
    assert.equal(jid, id);
    assert.match(args, /,9007199254740993,-1180591620717411303424,/);
    const [text, signs] = JSON.parse(args) as string[];
    assert.deepEqual([text, signs], awkward.slice(0, 2));
    assert.deepEqual(JSON.parse(args).slice(4), awkward.slice(4));
    await until('Ruby has counted it', async () => (await redis.command('GET', 'stat:processed')) === '1');
  });

  it('15. runs here what Ruby pushes, digit for digit and sign for sign', async () => {
    let heard: unknown[] = [];
    const keep = (queue: string, ...args: unknown[]) => {
      heard = [queue, ...args];
    };
    const hard = workerClass('HardJob', keep, { bigints: true });
    const { seen } = await serve([hard], { queues: ['critical'] });
    const jid = await ruby.run<string>(
      `HardJob.set(queue: "critical").perform_async("<a&b>", "é ✉ \\u2028 👩‍👩‍👧", 9007199254740993, -(2**70), 0.1, 1e21, 1.0, [nil, {"ü" => true}])`,
    );
    const { job } = await seen('completed');
    assert.equal(job.id, jid);
    const expected = ['<a&b>', 'é ✉ \u2028 👩‍👩‍👧', 9007199254740993n, -(2n ** 70n), 0.1, 1e21, 1, [null, { ü: true }]];
    assert.deepEqual(heard, ['critical', ...expected]);
  });

  it('15. a job of ours that fails is under Retries with its error and the right next time, and Ruby retries it', async () => {
    const backend = await open();
    let runs = 0;
    const flaky = workerClass('Flaky', (_queue, _: string) => {
      if (runs++ === 0) throw new TypeError('no such thing: <&> \u2028 ✉');
    });
    await new Client({ backend, jobs: [flaky] }).enqueue(flaky, ['x']);
    const { seen } = await serve([flaky]);
    await seen('failed');
    await until('it is settled', async () => (await redis.command('ZCARD', 'retry')) === 1);
    const entry = await ruby.run<Record<string, unknown>>(
      'e = Sidekiq::RetrySet.new.first; {klass: e.klass, args: e.args, message: e["error_message"], class: e["error_class"], ' +
        'count: e["retry_count"], wait: e.score - Time.now.to_f, queue: e.queue, error: e.error?, ' +
        `failed: ${sidekiqMajor === 8 ? 'e["failed_at"] / 1000.0' : 'e["failed_at"]'} - Time.now.to_f, kind: e["failed_at"].class.name}`,
    );
    const { wait, failed, ...rest } = entry as { wait: number; failed: number };
    assert.ok(wait > 12 && wait <= 24, `again in ${wait} s`);
    assert.ok(failed > -3 && failed <= 0, `failed ${failed} s ago`);
    assert.deepEqual(rest, {
      klass: 'Flaky',
      args: ['x'],
      message: 'no such thing: <&> \u2028 ✉',
      class: 'TypeError',
      count: 0,
      queue: 'default',
      error: true,
      kind: sidekiqMajor === 8 ? 'Integer' : 'Float',
    });
    const [status, html] = await ruby.run<[number, string]>('page("GET", "/retries")');
    assert.equal(status, 200);
    assert.match(html, /Flaky/);
    assert.match(html, /TypeError/);
    await ruby.run('Sidekiq::RetrySet.new.first.retry; true');
    const { job } = await seen('completed');
    assert.equal(runs, 2);
    // The button takes one failure back, as Ruby's own jobs have it.
    assert.equal(job.attempt, 1);
  });

  it('15. kills and brings back a job of ours from the pages of Ruby', async () => {
    const backend = await open();
    let isMended = false;
    const broken = workerClass('Broken', () => {
      if (!isMended) throw new Error('broken');
    });
    const { id } = await new Client({ backend, jobs: [broken] }).enqueue(broken, []);
    const { seen } = await serve([broken]);
    await seen('failed');
    await until('it is settled', async () => (await redis.command('ZCARD', 'retry')) === 1);
    await ruby.run('Sidekiq::RetrySet.new.first.kill; true');
    assert.equal((await backend.get(id))?.state, 'discarded');
    assert.match((await ruby.run<[number, string]>('page("GET", "/morgue")'))[1], /Broken/);
    isMended = true;
    await ruby.run('Sidekiq::DeadSet.new.first.retry; true');
    assert.equal((await seen('completed')).job.id, id);
  });

  it('15. buries what gives itself up or has no attempts left, as Ruby reads it', async () => {
    const backend = await open();
    const hopeless = workerClass('Hopeless', () => discard('no such customer'));
    const once = workerClass('Once', () => Promise.reject(new RangeError('too far')), { maxAttempts: 1 });
    const client = new Client({ backend, jobs: [hopeless, once] });
    await client.enqueue(hopeless, []);
    await client.enqueue(once, []);
    const { seen } = await serve([hopeless, once]);
    await seen('failed', 2);
    await until('both are settled', async () => (await redis.command('ZCARD', 'dead')) === 2);
    const dead = await ruby.run<string[][]>(
      'Sidekiq::DeadSet.new.map { |e| [e.klass, e["error_class"], e["error_message"]] }.sort',
    );
    assert.deepEqual(dead, [
      ['Hopeless', 'MILLRACE_JOB_DISCARDED', 'no such customer'],
      ['Once', 'RangeError', 'too far'],
    ]);
    assert.deepEqual(await ruby.run('s = Sidekiq::Stats.new; [s.processed, s.failed, s.dead_size]'), [2, 2, 2]);
  });

  it('15. trims the dead to what Sidekiq keeps', async () => {
    const backend = await open();
    await redis.command(
      'EVAL',
      "for i = 1, 10050 do redis.call('ZADD', 'dead', 1e9 + i, '{\"n\":' .. i .. '}') end",
      '0',
    );
    await redis.command('ZADD', 'dead', '4000000000', '{"late":1}');
    const once = workerClass('Once', () => Promise.reject(new Error('no')), { maxAttempts: 1 });
    await new Client({ backend, jobs: [once] }).enqueue(once, []);
    const { seen } = await serve([once]);
    await seen('failed');
    await until('the old ones are gone', async () => (await redis.command('ZCARD', 'dead')) === 2);
    await redis.command(
      'EVAL',
      "for i = 1, 10050 do redis.call('ZADD', 'dead', 4e9 + i, '{\"n\":' .. i .. '}') end",
      '0',
    );
    await new Client({ backend, jobs: [once] }).enqueue(once, []);
    await seen('failed', 2);
    await until('9,999 are left', async () => (await redis.command('ZCARD', 'dead')) === 9_999);
  });

  it('15. a job that failed in Ruby is run again here, and its history is read', async () => {
    const backend = await open();
    const jid = await ruby.run<string>('FailingJob.perform_async("x")');
    const process = work();
    await until('it has failed in Ruby', async () => (await redis.command('ZCARD', 'retry')) === 1);
    await process.stop();
    const record = await backend.get(jid);
    assert.ok(record);
    const [error] = record.errors;
    assert.deepEqual([record.state, record.attempt, record.maxAttempts], ['retryable', 2, 6]);
    assert.deepEqual([error?.code, error?.message], ['ArgumentError', 'no such thing: <&> \u2028 ✉']);
    assert.match(error?.stack ?? '', /^ArgumentError: .*\n {4}at .*sidekiq\.rb:\d+/s);
    assert.ok(Math.abs((error?.at ?? 0) - Date.now()) < 20_000);
    const failing = workerClass('FailingJob', () => undefined);
    const { seen } = await serve([failing]);
    assert.deepEqual(await backend.act({ kind: 'retry' }, { ids: [jid] }), { count: 1 });
    const { job } = await seen('completed');
    assert.deepEqual([job.id, job.attempt], [jid, 2]);
  });

  it('15. a retry of ours keeps what Ruby asked for: the backtrace, the queue, members that nobody knows', async () => {
    await ruby.run(
      'Sidekiq::Client.push("class" => "Ours", "args" => [2**70], "retry" => 3, "backtrace" => 2, "retry_queue" => "low", "x" => {"y" => [1.0]})',
    );
    const ours = workerClass('Ours', () => Promise.reject(new Error('no')));
    const { seen } = await serve([ours]);
    await seen('failed');
    await until('it is settled', async () => (await redis.command('ZCARD', 'retry')) === 1);
    const [args, lines, queue, x] = await ruby.run<[number[], string[], string, unknown]>(
      'e = Sidekiq::RetrySet.new.first; [e.args.map(&:to_s), e.error_backtrace, e.queue, e["x"]]',
    );
    assert.deepEqual([args, queue, x], [['1180591620717411303424'], 'low', { y: [1] }]);
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? '', /sidekiq\.test\.ts:\d+/);
    const [raw] = (await redis.command('ZRANGE', 'retry', '0', '0')) as string[];
    assert.match(raw ?? '', /"x":\{"y":\[1\.0\]\}/);
  });

  it('15. each side brings to its queue what the other has scheduled', async () => {
    const backend = await open();
    const hard = workerClass('HardJob', (_queue, ..._: unknown[]) => undefined);
    const client = new Client({ backend, jobs: [hard] });
    const { id } = await client.enqueue(hard, ['ours'], { delay: 1_000_000 });
    assert.deepEqual(
      await ruby.run(
        'e = Sidekiq::ScheduledSet.new.first; [e.jid, e.args, (e.at - Time.now).round(-1), e["at"], e["enqueued_at"]]',
      ),
      [id, ['ours'], 1_000, null, null],
    );
    await ruby.run('Sidekiq::ScheduledSet.new.first.reschedule(Time.now - 1); promote');
    assert.equal((await backend.get(id))?.state, 'available');
    const jid = await ruby.run<string>('HardJob.perform_in(1000, "theirs")');
    assert.equal((await backend.get(jid))?.state, 'scheduled');
    await ruby.run('Sidekiq::ScheduledSet.new.first.reschedule(Time.now - 1); true');
    const { seen } = await serve([hard]);
    const jids = [(await seen('completed')).job.id, (await seen('completed', 2)).job.id];
    assert.deepEqual(jids, [id, jid]);
    assert.equal(await ruby.run('Sidekiq::ScheduledSet.new.size'), 0);
  });

  it('15. is seen under Busy with what it runs, and obeys Quiet and Stop', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const slow = workerClass('Slow', (_queue, ..._: string[]) => released);
    const { backend, server, seen } = await serve([slow], { workers: 3 });
    const client = new Client({ backend, jobs: [slow] });
    const { id } = await client.enqueue(slow, ['a']);
    await seen('started');
    await until('it is shown', async () => (await ruby.run('Sidekiq::WorkSet.new.size')) === 1);
    const [found] = await ruby.run<Record<string, unknown>[]>(
      'Sidekiq::ProcessSet.new.map { |p| {host: p["hostname"], pid: p["pid"], busy: p["busy"], most: p["concurrency"], queues: p.queues, ' +
        'beat: Time.now.to_f - p["beat"], rss: p["rss"] > 1000, tag: p.tag, labels: p.labels, stopping: p.stopping?} }',
    );
    const { beat, ...rest } = found as { beat: number };
    assert.ok(beat < 5 && beat > -5, `${beat} s`);
    const expected = { host: hostname(), pid: process.pid, busy: 1, most: 3, queues: ['default'], rss: true };
    assert.deepEqual(rest, { ...expected, tag: 'millrace', labels: ['millrace'], stopping: false });
    const works = await ruby.run<[string, string, number][]>(
      'Sidekiq::WorkSet.new.map { |_, _, w| w.respond_to?(:job) ? [w.queue, w.job.jid, (Time.now - w.run_at).to_i] ' +
        ': [w["queue"], w["payload"]["jid"], Time.now.to_i - w["run_at"]] }',
    );
    assert.deepEqual(
      works.map(([queue, jid]) => [queue, jid]),
      [['default', id]],
    );
    assert.ok((works[0]?.[2] ?? -1) >= 0);
    assert.match((await ruby.run<[number, string]>('page("GET", "/busy")'))[1], /millrace.*Slow/s);

    const press = (button: string) =>
      ruby.run<number>(
        `press("/busy", "/busy", {"identity" => Sidekiq::ProcessSet.new.first.identity, "${button}" => "1"})`,
      );
    assert.ok([302, 303].includes(await press('quiet')));
    assert.equal((await seen('signal')).signal, 'quiet');
    await until('Ruby sees it', () => ruby.run<boolean>('Sidekiq::ProcessSet.new.first.stopping?'));
    await client.enqueue(slow, ['b']);
    assert.equal(server.running, 1);
    assert.equal(await ruby.run('Sidekiq::Queue.new.size'), 1);

    assert.ok([302, 303].includes(await press('stop')));
    assert.equal((await seen('signal', 2)).signal, 'stop');
    release();
    await until('it has left', async () => server.state === 'stopped');
    assert.equal(await ruby.run('Sidekiq::ProcessSet.new.size'), 0);
    assert.equal(await ruby.run('Sidekiq::Queue.new.size'), 1);
  });

  it('shows the processes of Ruby among the servers, and their queues among the counts', async () => {
    const backend = await open();
    work(['-c', '3', '-q', 'low', '-q', 'default']);
    await until('it beats', async () => (await backend.servers()).length === 1);
    const [server] = await backend.servers();
    assert.deepEqual(
      [server?.host, server?.concurrency, [...(server?.queues ?? [])].sort()],
      [hostname(), 3, ['default', 'low']],
    );
    await ruby.run(
      'HardJob.set(queue: "elsewhere").perform_in(1000, 1); HardJob.set(queue: "third").perform_async(1); true',
    );
    const counts = (await backend.counts()).map(({ queue, available, scheduled }) => [queue, available, scheduled]);
    assert.deepEqual(counts, [
      ['elsewhere', 0, 1],
      ['third', 1, 0],
    ]);
  });

  it('finds and deletes from Ruby what waits in a queue, and acts from here on what Ruby has pushed', async () => {
    const backend = await open();
    const hard = workerClass('HardJob');
    const client = new Client({ backend, jobs: [hard] });
    const handles = await client.enqueueMany(hard, [[1], [2], [3]]);
    const ids = handles.map(({ id }) => id);
    assert.deepEqual(await ruby.run('Sidekiq::Queue.new.map { |j| [j.jid, j.args] }'), [
      [ids[2], [3]],
      [ids[1], [2]],
      [ids[0], [1]],
    ]);
    assert.ok((await ruby.run<number>('Sidekiq::Queue.new.latency')) < 20);
    assert.equal(await ruby.run(`Sidekiq::Queue.new.find_job("${ids[1]}").delete`), true);
    const jid = await ruby.run<string>('HardJob.perform_async("theirs")');
    assert.deepEqual(
      (await backend.list({ queue: 'default' })).jobs.map(({ id }) => id),
      [ids[0], ids[2], jid],
    );
    assert.deepEqual(await backend.act({ kind: 'discard', reason: 'not wanted' }, { ids: [jid] }), { count: 1 });
    assert.deepEqual(await ruby.run('Sidekiq::DeadSet.new.map { |e| [e.jid, e["error_message"]] }'), [
      [jid, 'not wanted'],
    ]);
    assert.deepEqual(await backend.act({ kind: 'remove' }, { name: 'HardJob', states: ['available'] }), { count: 2 });
    assert.equal(await ruby.run('Sidekiq::Queue.new.size'), 0);
  });

  it('shares a queue with a Ruby process: every job runs once', async () => {
    const mine: string[] = [];
    const hard = defineJob({ name: 'HardJob', run: (_: unknown, job) => void mine.push(job.id) });
    const backend = await open();
    const client = new Client({ backend, jobs: [hard] });
    const payloads = Array.from({ length: 400 }, (_, i) => [i]);
    const ids = (await client.enqueueMany(hard, payloads)).map(({ id }) => id);
    work(['-c', '5']);
    const first = await ran(); // Ruby is at work
    await serve([hard], { workers: 2, prefetch: 0 });
    await until(
      'the queue is empty',
      async () =>
        (await redis.command('GET', 'stat:processed')) !== null &&
        (await redis.command('EXISTS', 'queue:default')) === 0,
    );
    await until(
      'all have run',
      async () => mine.length + Number(await redis.command('LLEN', 'seen')) + 1 === ids.length,
    );
    const theirs = ((await redis.command('LRANGE', 'seen', '0', '-1')) as string[]).map(
      (line) => JSON.parse(line).jid as string,
    );
    assert.deepEqual([...mine, ...theirs, first.jid].sort(), [...ids].sort());
  });

  it('what nobody can read goes to the dead as it is, and holds nothing up', async () => {
    const lines = [
      '{"class":"HardJob","args":[1',
      'null',
      '[]',
      '{"class":7,"args":[]}',
      '{"class":"HardJob","args":{}}',
      '',
    ];
    for (const line of lines) await redis.command('LPUSH', 'queue:default', line);
    await redis.command('ZADD', 'schedule', '1', '{"class":');
    await ruby.run('HardJob.perform_async("good")');
    const hard = workerClass('HardJob', (_queue, ..._: unknown[]) => undefined);
    const { seen } = await serve([hard]);
    await seen('completed');
    const dead = (await redis.command('ZRANGE', 'dead', '0', '-1')) as string[];
    assert.deepEqual(dead.sort(), [...lines, '{"class":'].sort());
    assert.equal(await ruby.run('Sidekiq::DeadSet.new.size'), 7);
    assert.deepEqual(await ruby.run('s = Sidekiq::Stats.new; [s.enqueued, s.dead_size]'), [0, 7]);
  });
});
