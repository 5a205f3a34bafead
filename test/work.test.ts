/** `millrace work` as somebody meets it who comes from goworker: queues, order, ends, signals, and what does not end it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Client, openBackend, workerClass } from '../src/index.ts';
import { type RedisServer, startRedis, until } from '../src/testing/redis.ts';
import { Work } from './support/work.ts';

type Job = readonly [name: string, args: readonly unknown[], queue: string];

let folder: string;
let redis: RedisServer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-work-'));
  redis = await startRedis();
});
after(async () => {
  await redis.stop();
  await rm(folder, { recursive: true });
});

let made = 0;
/** Flags of a place for jobs of its own, and its URL. */
const places = {
  sqlite: () => {
    const url = `sqlite:${folder}/${made++}.db`;
    return { url, flags: [`-uri=${url}`] };
  },
  redis: () => {
    const url = `${redis.url}?namespace=${made++}`;
    return { url, flags: [`--backend=${url}`] };
  },
  resque: () => {
    const namespace = made++;
    return {
      url: `resque:${redis.url}?namespace=${namespace}`,
      flags: [`-uri=${redis.url}/`, `-namespace=${namespace}:`],
    };
  },
  sidekiq: () => {
    const url = `sidekiq:${redis.url}?namespace=${made++}`;
    return { url, flags: [`-uri=${url}`] };
  },
};

/** All of them in this order, each tried once. */
async function enqueue(url: string, ...jobs: Job[]): Promise<void> {
  const backend = await openBackend(url);
  const client = new Client({ backend });
  for (const [name, args, queue] of jobs) await client.enqueue(workerClass(name), args, { queue, maxAttempts: 1 });
  await client.close();
  await backend.close();
}

/** Jobs of all queues by state. */
async function counts(url: string) {
  const backend = await openBackend(url);
  const all = await backend.counts();
  await backend.close();
  const sum = (state: 'completed' | 'discarded' | 'available' | 'running') =>
    all.reduce((count, queue) => count + queue[state], 0);
  return { completed: sum('completed'), discarded: sum('discarded'), left: sum('available') + sum('running') };
}

for (const [name, place] of Object.entries(places)) {
  describe(`millrace work on ${name}`, () => {
    it('runs all there is in strict order, what its jobs enqueue too, and ends', async () => {
      const { url, flags } = place();
      await enqueue(
        url,
        ['Say', [1], 'low'],
        ['Say', [2, 'two', null], 'low'],
        ['Chain::Link', [url, 2], 'low'],
        ['Say', [], 'high'],
        ['Say', [{ a: [true] }], 'high'],
        ['Say', [], 'other'],
      );
      await using work = new Work([...flags, '-queues=high,low', '-concurrency=1', '-exit-on-complete']);
      assert.equal(await work.ended, 0, work.err);
      const lines = ['said high', 'said high { a: [ true ] }', 'said low 1', 'said low 2 two null'];
      assert.deepEqual(work.said, [...lines, 'link 2', 'link 1', 'link 0']);
      assert.match(work.out, /^Millrace works on high, then low with 1 workers: .*\n {2}classes: .*Say, .*Chain::Link/);
      assert.deepEqual(await counts(url), { completed: 7, discarded: 0, left: 1 });
    });

    it('goes on after a class that nobody has and one that throws, and says so', async () => {
      const { url, flags } = place();
      await enqueue(url, ['Nobody', ['hi'], 'a'], ['Panic', [], 'a'], ['Say', ['fine'], 'a']);
      await using work = new Work([...flags, '-queues=a=2,b', '-exit-on-complete', '-connections=2']);
      assert.equal(await work.ended, 0, work.err);
      assert.deepEqual(work.said, ['said a fine']);
      const log = work.err
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const failed = log
        .filter(({ level }) => level === 'error')
        .map((entry) => [entry.class, entry.queue, entry.error]);
      assert.deepEqual(failed.sort(), [
        ['Nobody', 'a', failed.find(([name]) => name === 'Nobody')?.[2]],
        ['Panic', 'a', 'try{}exception{}'],
      ]);
      assert.match(String(failed.sort()[0]?.[2]), /no job named "Nobody" is registered here \(known: .*Chain::Link/);
      assert.ok(log.some(({ message }) => String(message).includes('--connections has no effect')));
      assert.deepEqual(await counts(url), { completed: 1, discarded: 2, left: 0 });
    });

    it('gives integers beyond 2^53 digit for digit with -use-number, rounded without', async () => {
      for (const [flag, shown] of [
        ['-use-number=true', 'shown bigint 9007199254740993'],
        ['-use-number=false', 'shown number 9007199254740992'],
      ] as const) {
        const { url, flags } = place();
        await enqueue(url, ['Show', [2n ** 53n + 1n], 'a']);
        await using work = new Work([...flags, '-queues=a', '-exit-on-complete', flag]);
        assert.equal(await work.ended, 0, work.err);
        assert.deepEqual(work.said, [shown]);
      }
    });

    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
      it(`lets what runs finish at ${signal}, however long it takes, and starts nothing more`, async () => {
        const { url, flags } = place();
        await enqueue(url, ['Hold', ['one'], 'a'], ['Say', ['later'], 'a']);
        await using work = new Work([...flags, '-queues=a', '-concurrency=1', '-interval=0']);
        await work.wrote('began one');
        work.kill(signal);
        await work.wrote('stopping; once more to end at once');
        work.goOn();
        assert.equal(await work.ended, 0, work.err);
        assert.deepEqual(work.said, ['began one', 'ended one']);
        assert.deepEqual(await counts(url), { completed: 1, discarded: 0, left: 1 });
      });
    }
  });
}

describe('millrace work on the jobs of Sidekiq', () => {
  it('ends as at a signal when somebody presses Stop in its pages', async () => {
    const { url, flags } = places.sidekiq();
    const namespace = url.split('=')[1];
    await enqueue(url, ['Hold', ['one'], 'a'], ['Say', ['later'], 'a']);
    await using work = new Work([...flags, '-queues=a', '-concurrency=1']);
    await work.wrote('began one');
    const [process] = (await redis.command('SMEMBERS', `${namespace}:processes`)) as string[];
    await redis.command('LPUSH', `${namespace}:${process}-signals`, 'TERM');
    await work.wrote('stopping, as others wish');
    work.goOn();
    assert.equal(await work.ended, 0, work.err);
    assert.deepEqual(work.said, ['began one', 'ended one']);
  });
});

describe('millrace work on the jobs of Resque and goworker', () => {
  let namespace: string;
  beforeEach(() => {
    namespace = `${made++}:`;
  });
  const key = (name: string) => `${namespace}${name}`;
  const push = (...items: string[]) => redis.command('RPUSH', key('queue:a'), ...items);
  const list = (name: string) => redis.command('LRANGE', key(name), '0', '-1') as Promise<string[]>;
  const start = (...flags: string[]) =>
    new Work([`-namespace=${namespace}`, '-queues=a', ...flags], { REDIS_URL: redis.url });

  it('runs what Ruby, goworker and node-resque write, each in its own way', async () => {
    await push(
      '{"class":"Say","args":["Ruby <a&b> \u2028",1,null]}',
      '{"class":"Say","args":["goworker \\u003ca\\u0026b\\u003e"]}',
      '{"class":"Say","queue":"a","args":["node-resque"]}',
    );
    await using work = start('-exit-on-complete', '-concurrency=1');
    assert.equal(await work.ended, 0, work.err);
    assert.deepEqual(work.said, ['said a Ruby <a&b> \u2028 1 null', 'said a goworker <a&b>', 'said a node-resque']);
    assert.equal(await redis.command('GET', key('stat:processed')), '3');
    assert.deepEqual(await redis.command('SMEMBERS', key('workers')), []);
  });

  it('writes into `failed` what a goworker would, and goes on (check 8)', async () => {
    await push('{"class":"Nobody","args":["hi",1]}', '{"class":"Panic","args":[]}', '{"class":"Say","args":["fine"]}');
    await using work = start('-exit-on-complete', `-uri=${redis.url}?manner=goworker`);
    assert.equal(await work.ended, 0, work.err);
    assert.deepEqual(work.said, ['said a fine']);
    const failed = (await list('failed')).map((item) => JSON.parse(item) as Record<string, unknown>);
    const told = failed.map(({ exception, error, backtrace, queue }) => [exception, error, backtrace, queue]);
    assert.deepEqual(told.sort(), [
      ['Error', 'No worker for Nobody in queue a with args [hi 1]', null, 'a'],
      ['Error', 'try{}exception{}', null, 'a'],
    ]);
  });

  it('leaves what had not begun at the head of its queue, once, at a signal (check 9)', async () => {
    const [held, next, last] = [
      '{"class":"Hold","args":["one"]}',
      '{"class":"Say","args":[1]}',
      '{"class":"Say","args":[2]}',
    ];
    await push(held, next, last);
    await using work = start('-concurrency=1');
    await work.wrote('began one');
    work.kill('SIGTERM');
    await work.wrote('stopping');
    work.goOn();
    assert.equal(await work.ended, 0, work.err);
    assert.deepEqual(
      [work.said, await list('queue:a')],
      [
        ['began one', 'ended one'],
        [next, last],
      ],
    );
  });
});

describe('millrace work', () => {
  it('ends at once at the second signal, and the next one has its job', async () => {
    const { url, flags } = places.sqlite(); // a server of this machine that is gone is seen at once
    await enqueue(url, ['Hold', ['one'], 'a']);
    await using work = new Work([...flags, '-queues=a']);
    await work.wrote('began one');
    work.kill('SIGTERM');
    await work.wrote('stopping');
    work.kill('SIGTERM');
    assert.equal(await work.ended, 143);
    await using next = new Work([...flags, '-queues=a']);
    await next.wrote('began one');
    next.goOn();
    await next.wrote('ended one');
    next.kill('SIGTERM');
    assert.equal(await next.ended, 0, next.err);
    assert.deepEqual(await counts(url), { completed: 1, discarded: 0, left: 0 });
  });

  it('goes on when Redis was away, which ends a goworker without a word', async () => {
    await using own = await startRedis({ appendfsync: 'always' });
    const url = `resque:${own.url}`;
    await enqueue(url, ['Say', ['before'], 'a']);
    await using work = new Work([`-uri=${own.url}?timeout=500`, '-queues=a', '-interval=0.1']);
    await work.wrote('said a before');
    await own.kill();
    await work.wrote('the backend does not answer; trying again');
    await own.restart();
    await enqueue(url, ['Say', ['after'], 'a']);
    await work.wrote('said a after');
    await until('both are done', async () => (await counts(url)).completed === 2);
    work.kill('SIGTERM');
    assert.equal(await work.ended, 0, work.err);
  });

  it('says what is wrong with how it was called, and ends with 2', async () => {
    for (const [args, says] of [
      [['-queues=low=a'], '`--queues` should be names with integers as weights'],
      [[], '`--queues` should be given: at least one queue'],
      [['-queues=a', '-require=nothing.ts'], '`--require` should be the file of a module, got "nothing.ts"'],
      [['-queues=a', '-exit-on-completion'], '`--exit-on-completion` is not an option'],
    ] as const) {
      await using work = new Work(args);
      assert.equal(await work.ended, 2);
      assert.ok(work.err.startsWith(`millrace: ${says}`), work.err);
    }
  });

  it('ends with 1 and the reason when Redis is not there or lets nobody in, and keeps the password to itself', async () => {
    await using work = new Work(['-queues=a', '--backend=redis://:s3cret@127.0.0.1:1?timeout=300']);
    assert.equal(await work.ended, 1);
    assert.match(work.err, /^millrace: /);
    assert.ok(!(work.out + work.err).includes('s3cret'));
  });
});
