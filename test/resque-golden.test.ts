/**
 * The wire of Resque, byte by byte. What stands here as Ruby's was written by Resque 3.0 and resque-scheduler 5.0 themselves,
 * what stands here as Go's by the rules of goworker's source. The numbers are those of docs/resque.md.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NewJob } from '../src/backend/backend.ts';
import type { ResqueBackend } from '../src/backend/resque/backend.ts';
import { isError } from '../src/errors.ts';
import { Client, JobServer, workerClass } from '../src/index.ts';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';
import { claim, job, member, openResque, START, text } from './support/resque.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

/** Written by Ruby's Resque.enqueue. */
const fromRuby =
  '{"class":"MyClass","args":["<a&b>","é","\u2028",1.0e+21,9007199254740993,-0.0,1.0,null,{"a":[1,{"b":null}]},"😀","a/b"]}';
/** The same by Go's encoding/json, which escapes for HTML and has no -0.0 and 1.0. */
const fromGo =
  '{"class":"MyClass","args":["\\u003ca\\u0026b\\u003e","é","\\u2028",1e+21,9007199254740993,-0,1,null,{"a":[1,{"b":null}]},"😀","a/b"]}';

const failure = {
  attempt: 1,
  at: START,
  message: 'boom <&>',
  stack: 'TypeError: boom <&>\n    at run (a.js:1:2)\n    at b',
};

describe('check 1: an enqueue', () => {
  it('is the bytes of Ruby in the list, and the name of the queue in the set', async (t) => {
    const { backend, redis, keys } = await openResque(t, server);
    await backend.add([{ jobs: [job('["hi","there"]')] }]);
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), ['{"class":"MyClass","args":["hi","there"]}']);
    assert.deepEqual(await redis('SMEMBERS', 'queues'), ['myqueue']);
    assert.deepEqual(await keys(), ['queue:myqueue', 'queues']);
  });

  it('by a client with a worker class is the same', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const client = new Client({ backend });
    await client.enqueue(workerClass('MyClass'), ['hi', 'there'], { queue: 'myqueue' });
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), ['{"class":"MyClass","args":["hi","there"]}']);
    await client.close();
  });

  it('of what is no list of arguments is refused, and so is what the wire cannot carry', async (t) => {
    const { backend, keys } = await openResque(t, server);
    const refused = async (one: NewJob, code: 'OPTION_INVALID' | 'NOT_SUPPORTED') =>
      assert.rejects(backend.add([{ jobs: [job('[]'), one] }]), (error) => isError(error, code));
    for (const args of ['{"a":1}', 'text', '"[]"', '', '[1']) await refused(job(args), 'OPTION_INVALID');
    const lacking: Partial<NewJob>[] = [
      { priority: 3 },
      { key: 'k' },
      { tags: ['t'] },
      { keepFor: 1 },
      { id: 'mine' },
      { headers: { codec: 'gzip' } },
    ];
    for (const rest of lacking) await refused(job('[]', rest), 'NOT_SUPPORTED');
    assert.deepEqual(await keys(), []);
  });
});

describe('check 2: values', () => {
  it('of Ruby and of Go arrive, and their bytes are those that were written', async (t) => {
    const { backend, redis } = await openResque(t, server);
    for (const payload of [fromRuby, fromGo]) {
      await redis('RPUSH', 'queue:myqueue', payload);
      const [one] = await claim(backend);
      assert.ok(one);
      assert.equal(text(one), payload.slice('{"class":"MyClass","args":'.length, -1));
      const [a, e, line, large, , zero, whole, nothing, nested, emoji, slash] = JSON.parse(text(one)) as unknown[];
      assert.deepEqual([a, e, line, large, whole], ['<a&b>', 'é', '\u2028', 1e21, 1]);
      assert.ok(Object.is(zero, -0));
      assert.deepEqual([nothing, nested, emoji, slash], [null, { a: [1, { b: null }] }, '😀', 'a/b']);
      await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending: { kind: 'returned' } }]);
      assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), [payload]);
      await redis('DEL', 'queue:myqueue');
    }
  });

  it('of ours are written as Ruby writes them, so that dequeue finds them', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const client = new Client({ backend });
    await client.enqueue(
      workerClass('MyClass'),
      ['<a&b>', 'é', '\u2028', 9007199254740993n, null, { a: [1] }, '😀', 'a/b'],
      {
        queue: 'myqueue',
      },
    );
    const written = '{"class":"MyClass","args":["<a&b>","é","\u2028",9007199254740993,null,{"a":[1]},"😀","a/b"]}';
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), [written]);
    await client.close();
  });

  it('keep every digit in a worker class with bigints', async (t) => {
    const { backend, redis } = await openResque(t, server, { isReal: true });
    await redis('RPUSH', 'queue:myqueue', fromRuby);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const jobs = [workerClass('MyClass', (_queue, ...args: unknown[]) => resolve(args[4]), { bigints: true })];
    const worker = new JobServer({ backend, jobs, queues: ['myqueue'], workers: 1 });
    await worker.start();
    assert.equal(await promise, 9007199254740993n);
    await worker.stop();
  });

  it('in forms of others are read: white space, other members, other orders, escapes, no arguments, doubled names', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const forms: [payload: string, name: string, args: string][] = [
      ['{"class":"A","queue":"q","args":[1,"}"]}', 'A', '[1,"}"]'],
      [' { "args" : [ 1 , { "x" : "]" } ] , "class" : "A" } ', 'A', '[ 1 , { "x" : "]" } ]'],
      ['{"class":"A","args":[1],"extra":[2]}', 'A', '[1]'],
      ['{"class":"A::\\u0042\\"","args":["\\\\"]}', 'A::B"', '["\\\\"]'],
      ['{"class":"A"}', 'A', '[]'],
      ['{"class":"A","args":null}', 'A', '[]'],
      ['{"class":"A","args":{"one":1}}', 'A', '[{"one":1}]'],
      ['{"class":"A","args":1.50}', 'A', '[1.50]'],
      ['{"class":"A","class":"B","args":[1],"args":[2]}', 'B', '[2]'],
    ];
    for (const [payload] of forms) await redis('RPUSH', 'queue:myqueue', payload);
    const claimed = await claim(backend);
    assert.deepEqual(
      claimed.map((one) => [one.name, text(one)]),
      forms.map(([, name, args]) => [name, args]),
    );
  });
});

describe('what is no job', () => {
  const broken = [
    '',
    'nonsense',
    '[1,2]',
    '{"args":[]}',
    '{"class":7}',
    '{"class":"A","args":[1}',
    '"A"',
    '{"class":""}',
  ];

  it('goes to failed with a clear error, readable for others, and can be had back byte for byte', async (t) => {
    const { backend, redis } = await openResque(t, server);
    for (const payload of broken) await redis('RPUSH', 'queue:myqueue', payload);
    await redis('RPUSH', 'queue:myqueue', '{"class":"Good","args":[]}');
    const claimed = await claim(backend);
    assert.deepEqual(
      claimed.map(({ name }) => name),
      ['Good'],
    );
    const failed = ((await redis('LRANGE', 'failed', '0', '-1')) as string[]).map((entry) => JSON.parse(entry));
    assert.equal(failed.length, broken.length);
    for (const { payload, error, exception, queue } of failed) {
      assert.equal(typeof payload.class, 'string', 'what resque-web shows');
      assert.ok(Array.isArray(payload.args) || payload.args === undefined);
      assert.equal(error, 'what stood in queue "myqueue" is no job: expected a JSON object with a class');
      assert.deepEqual([exception, queue], ['MILLRACE_JOB_UNREADABLE', 'myqueue']);
    }
    assert.equal((await backend.act({ kind: 'retry' }, { states: ['discarded'] })).count, broken.length);
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), broken);
    assert.equal(await redis('LLEN', 'failed'), 0);
  });

  it('may be no text at all: bytes that are not UTF-8 come through every way', async (t) => {
    const { backend, redis, namespace } = await openResque(t, server);
    const push = `return redis.call('RPUSH', KEYS[1], '\\255\\254\\0x', '{"class":"A","args":["\\255\\254"]}')`;
    await server.command('EVAL', push, '1', `${namespace}:queue:myqueue`);
    const [one, ...none] = await claim(backend);
    assert.ok(one && none.length === 0);
    assert.deepEqual(Buffer.from(one.payload), Buffer.from([0x5b, 0x22, 0xff, 0xfe, 0x22, 0x5d]));
    await backend.settle('web1-123-ab12', [
      { id: one.id, claim: one.claim, ending: { kind: 'failed', error: failure } },
    ]);
    assert.equal((await backend.act({ kind: 'retry' }, {})).count, 2);
    const same = `return {redis.sha1hex(redis.call('LINDEX', KEYS[1], 0)), redis.sha1hex(redis.call('LINDEX', KEYS[1], 1)),
      redis.sha1hex('\\255\\254\\0x'), redis.sha1hex('{"class":"A","args":["\\255\\254"]}')}`;
    const [first, second, ...expected] = (await server.command(
      'EVAL',
      same,
      '1',
      `${namespace}:queue:myqueue`,
    )) as string[];
    assert.deepEqual([first, second], expected);
    assert.equal(await redis('LLEN', 'failed'), 0);
  });
});

describe('check 4: the names of workers', () => {
  it('have three parts, and a host part that is no host', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.beat(member());
    assert.deepEqual(await redis('SMEMBERS', 'workers'), ['web1-123-ab12:123-0:high,low']);
    await backend.beat(member('a:b:c', { queues: ['*'] }));
    assert.ok(((await redis('SMEMBERS', 'workers')) as string[]).includes('a-b-c:123-0:*'));
  });

  it('are as many as the server runs jobs at once, and more when it takes jobs ahead', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const many = member('m', { concurrency: 3 });
    await backend.beat(many);
    assert.equal(await redis('SCARD', 'workers'), 3);
    await backend.add([{ jobs: Array.from({ length: 5 }, (_, i) => job(`[${i}]`)) }]);
    assert.equal((await claim(backend, many)).length, 5);
    assert.deepEqual(
      ((await redis('SMEMBERS', 'workers')) as string[]).sort(),
      [0, 1, 2, 3, 4].map((n) => `m:123-${n}:high,low`),
    );
  });

  it("are goworker's own in its manner, with its poller and its zeros", async (t) => {
    const { backend, redis, keys } = await openResque(t, server, { manner: 'goworker', queues: 'high,high,low' });
    await backend.beat(member());
    const names = ['web1:123-0:high,high,low', 'web1:123-poller:high,high,low'];
    assert.deepEqual(((await redis('SMEMBERS', 'workers')) as string[]).sort(), names);
    assert.deepEqual(
      await keys(),
      [
        ...names.flatMap((name) => [`stat:failed:${name}`, `stat:processed:${name}`, `worker:${name}:started`]),
        'workers',
      ].sort(),
    );
    assert.equal(await redis('GET', `stat:processed:${names[0]}`), '0');
    assert.equal(await redis('GET', `worker:${names[1]}:started`), '2015-01-02 23:04:05 +0000 UTC');
  });

  it('are not taken from somebody who has them, and what he holds stays his', async (t) => {
    const { backend, redis } = await openResque(t, server, { manner: 'goworker' });
    const other = 'web1:123-0:high,low';
    await redis('SADD', 'workers', other);
    await redis('SET', `worker:${other}`, 'his');
    await backend.add([{ jobs: [job('[]')] }]);
    const [one] = await claim(backend);
    assert.ok(one);
    assert.equal(await redis('GET', `worker:${other}`), 'his');
    assert.match(String(await redis('GET', 'worker:web1:123-1:high,low')), /MyClass/);
    await backend.leave('web1-123-ab12');
    assert.equal(await redis('GET', `worker:${other}`), 'his');
    assert.deepEqual(await redis('SMEMBERS', 'workers'), [other]);
  });
});

const name = 'web1-123-ab12:123-0:high,low';

describe('check 5: a job that runs', () => {
  it('stands in the record of its worker, which is gone afterwards', async (t) => {
    const { backend, redis, clock } = await openResque(t, server);
    await backend.add([{ jobs: [job('["hi","there"]')] }]);
    clock.advance(1_234);
    const [one] = await claim(backend);
    assert.ok(one);
    const record = String(await redis('GET', `worker:${name}`));
    const { millrace, worker, ...known } = JSON.parse(record) as Record<string, unknown>;
    const ruby =
      '{"queue":"myqueue","run_at":"2015-01-02T23:04:06Z","payload":{"class":"MyClass","args":["hi","there"]}}';
    assert.equal(JSON.stringify(known), ruby);
    assert.ok(Array.isArray(millrace));
    assert.equal(worker, 'web1-123-ab12:123-0', 'as node-resque has it');
    await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending: { kind: 'completed' } }]);
    assert.equal(await redis('EXISTS', `worker:${name}`), 0);
    assert.equal(await redis('GET', `worker:${name}:started`), '2015-01-02 23:04:06 +0000', 'kept to the exit');
  });

  it("has goworker's times in its manner, and no `:started` afterwards", async (t) => {
    const { backend, redis, clock } = await openResque(t, server, { manner: 'goworker' });
    await backend.add([{ jobs: [job('[]')] }]);
    clock.advance(120);
    const [one] = await claim(backend);
    assert.ok(one);
    const goName = 'web1:123-0:high,low';
    assert.match(String(await redis('GET', `worker:${goName}`)), /"run_at":"2015-01-02T23:04:05.12Z"/);
    assert.equal(await redis('GET', `worker:${goName}:started`), '2015-01-02 23:04:05.12 +0000 UTC');
    await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending: { kind: 'completed' } }]);
    assert.equal(await redis('EXISTS', `worker:${goName}`), 0);
    assert.equal(await redis('EXISTS', `worker:${goName}:started`), 0);
  });
});

describe('check 6: the counters', () => {
  async function endTwo(backend: ResqueBackend) {
    await backend.add([{ jobs: [job('[1]'), job('[2]')] }]);
    const [one, two] = await claim(backend, member(), 1).then(async ([first]) => [
      first,
      (await claim(backend, member(), 1))[0],
    ]);
    assert.ok(one && two);
    await backend.settle('web1-123-ab12', [
      { id: one.id, claim: one.claim, ending: { kind: 'completed' } },
      { id: two.id, claim: two.claim, ending: { kind: 'failed', error: failure } },
    ]);
  }

  for (const [manner, processed] of [
    ['resque', '2'],
    ['goworker', '1'],
  ] as const) {
    it(`count a failure as ${manner === 'resque' ? 'processed too' : 'failed only'} in the manner of ${manner}`, async (t) => {
      const { backend, redis } = await openResque(t, server, { manner });
      await endTwo(backend);
      assert.deepEqual([await redis('GET', 'stat:processed'), await redis('GET', 'stat:failed')], [processed, '1']);
      await backend.rescue(60_000); // a server calls it with each beat, and those of its workers are written then
      const workers = (await redis('SMEMBERS', 'workers')) as string[];
      const sum = async (stat: string) => {
        const slots = workers.filter((worker) => !worker.includes('poller'));
        const counts = await Promise.all(slots.map((worker) => redis('GET', `stat:${stat}:${worker}`)));
        return counts.reduce<number>((all, count) => all + Number(count ?? 0), 0);
      };
      assert.deepEqual([await sum('processed'), await sum('failed')], [Number(processed), 1]);
    });
  }
});

describe('check 7: a job that failed', () => {
  it('is an entry like those of Ruby', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.add([{ jobs: [job('["fail"]')] }]);
    const [one] = await claim(backend);
    assert.ok(one);
    await backend.settle('web1-123-ab12', [
      { id: one.id, claim: one.claim, ending: { kind: 'failed', error: failure } },
    ]);
    assert.deepEqual(await redis('LRANGE', 'failed', '0', '-1'), [
      '{"failed_at":"2015/01/02 23:04:05 UTC","payload":{"class":"MyClass","args":["fail"]},"exception":"TypeError",' +
        '"error":"boom <&>","backtrace":["run (a.js:1:2)","b"],"worker":"web1-123-ab12:123-0:high,low","queue":"myqueue"}',
    ]);
  });

  it("is an entry like goworker's in its manner", async (t) => {
    const { backend, redis } = await openResque(t, server, { manner: 'goworker' });
    await backend.add([{ jobs: [job('["fail"]')] }]);
    const [one] = await claim(backend);
    assert.ok(one);
    await backend.settle('web1-123-ab12', [
      { id: one.id, claim: one.claim, ending: { kind: 'failed', error: failure } },
    ]);
    assert.deepEqual(await redis('LRANGE', 'failed', '0', '-1'), [
      '{"failed_at":"2015-01-02T23:04:05Z","payload":{"class":"MyClass","args":["fail"]},"exception":"Error",' +
        '"error":"boom <&>","backtrace":null,"worker":"web1:123-0:high,low","queue":"myqueue"}',
    ]);
  });

  it('is seen and tried again whoever wrote it: Ruby, Go or node-resque', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const ruby =
      '{"failed_at":"2015/01/02 22:00:00 UTC","payload":{"class":"A","args":["r"]},"exception":"RuntimeError","error":"boom",' +
      '"backtrace":["g.rb:2:in `perform\'"],"worker":"vm:5311:*","queue":"myqueue"}';
    const go =
      '{"failed_at":"2015-01-02T15:00:00.123456789-08:00","payload":{"class":"A","args":["\\u003cg\\u003e"]},"exception":"Error",' +
      '"error":"boom","backtrace":null,"worker":"vm:1-0:q","queue":"myqueue"}';
    const node =
      '{"worker":"vm:1+1","queue":"myqueue","payload":{"class":"A","queue":"myqueue","args":["n"]},"exception":"Error",' +
      '"error":"boom","backtrace":["    at x"],"failed_at":"Fri Jan 02 2015 23:00:00 GMT+0000 (Coordinated Universal Time)"}';
    await redis('RPUSH', 'failed', ruby, go, node, '');
    const { jobs } = await backend.list({ states: ['discarded'] });
    assert.deepEqual(
      jobs.map(({ endedAt, errors: [error] }) => [new Date(endedAt ?? 0).toISOString(), error?.code, error?.message]),
      [
        ['2015-01-02T22:00:00.000Z', 'RuntimeError', 'boom'],
        ['2015-01-02T23:00:00.123Z', 'Error', 'boom'],
        ['2015-01-02T23:00:00.000Z', 'Error', 'boom'],
      ],
    );
    assert.equal((await backend.act({ kind: 'retry' }, { states: ['discarded'] })).count, 3);
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), [
      '{"class":"A","args":["r"]}',
      '{"class":"A","args":["\\u003cg\\u003e"]}',
      '{"class":"A","queue":"myqueue","args":["n"]}',
    ]);
    assert.deepEqual(await redis('LRANGE', 'failed', '0', '-1'), ['']);
  });
});

describe('check 8: a class that nobody has, and a body that throws', () => {
  async function run(
    backend: ResqueBackend,
    failed: () => Promise<unknown>,
    args: readonly unknown[],
  ): Promise<string> {
    const client = new Client({ backend });
    const panic = workerClass('Panic', () => {
      throw new Error('it broke');
    });
    await client.enqueue(workerClass(args.length > 0 ? 'Nobody' : 'Panic'), args, { queue: 'myqueue' });
    const over = Promise.withResolvers<void>();
    const observe = ({ type }: { readonly type: string }) => {
      if (type === 'failed') over.resolve();
    };
    const worker = new JobServer({ backend, jobs: [panic], queues: ['myqueue'], workers: 1, observe });
    await worker.start();
    await over.promise;
    await worker.stop();
    await client.close();
    return JSON.parse(((await failed()) as string[])[0] ?? '{}').error as string;
  }

  it("fail with goworker's message in its manner", async (t) => {
    const values = ['hi', 1, 1.5, 1e6, 1e21, 0.00001, true, null, [1, ['x']], [], { b: 1, a: 'y' }];
    const { backend, redis } = await openResque(t, server, { manner: 'goworker', isReal: true });
    const message = await run(backend, () => redis('LRANGE', 'failed', '0', '-1'), values);
    const shown = '[hi 1 1.5 1e+06 1e+21 1e-05 true <nil> [1 [x]] [] map[a:y b:1]]';
    assert.equal(message, `No worker for Nobody in queue myqueue with args ${shown}`);
  });

  it('fail with ours otherwise, which names the classes there are', async (t) => {
    const { backend, redis } = await openResque(t, server, { isReal: true });
    const message = await run(backend, () => redis('LRANGE', 'failed', '0', '-1'), ['hi']);
    assert.equal(message, 'no job named "Nobody" is registered here (known: Panic)');
  });

  it('fail with the message alone', async (t) => {
    const { backend, redis } = await openResque(t, server, { manner: 'goworker', isReal: true });
    assert.equal(await run(backend, () => redis('LRANGE', 'failed', '0', '-1'), []), 'it broke');
  });
});

describe('check 9: a server that stops with jobs in hand', () => {
  it('puts them back at the head of their queue, once and in their order', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.add([{ jobs: ['[1]', '[2]', '[3]', '[4]'].map((args) => job(args)) }]);
    const [one] = await claim(backend, member(), 3);
    assert.ok(one);
    await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending: { kind: 'completed' } }]);
    await backend.leave('web1-123-ab12');
    const left = ['[2]', '[3]', '[4]'].map((args) => `{"class":"MyClass","args":${args}}`);
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), left);
  });
});

describe('check 10: the exit', () => {
  for (const manner of ['resque', 'goworker'] as const) {
    it(`leaves nothing of a server in the manner of ${manner}`, async (t) => {
      const { backend, keys } = await openResque(t, server, { manner });
      await backend.add([{ jobs: [job('[]'), job('[]')] }]);
      const jobs = await claim(backend);
      assert.equal(jobs.length, 2);
      const outcomes = jobs.map(({ id, claim: token }) => ({
        id,
        claim: token,
        ending: { kind: 'completed' } as const,
      }));
      assert.deepEqual(await backend.settle('web1-123-ab12', outcomes), ['taken', 'taken']);
      await backend.leave('web1-123-ab12');
      assert.deepEqual(await keys(), ['queues', 'stat:processed']);
    });
  }
});

describe('check 11: pause-all-workers', () => {
  it('is honoured however it is written, and shown', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.add([{ jobs: [job('[]')] }]);
    for (const value of ['true', ' TRUE\n', 'True']) {
      await redis('SET', 'pause-all-workers', value);
      assert.deepEqual(await claim(backend), [], value);
      assert.equal((await backend.counts())[0]?.settings.paused, true);
    }
    await redis('SET', 'pause-all-workers', 'false');
    assert.equal((await claim(backend)).length, 1);
  });
});

describe('check 12: dequeue', () => {
  it('by Ruby, which looks for equal bytes, finds ours', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.add([{ jobs: [job('["hi","there"]'), job('["hi"]')] }]);
    assert.equal(await redis('LREM', 'queue:myqueue', '0', '{"class":"MyClass","args":["hi","there"]}'), 1);
  });

  it('by us is to remove what has that id: all equal jobs, and no others', async (t) => {
    const { backend, redis } = await openResque(t, server);
    const [result] = await backend.add([{ jobs: [job('[1]'), job('[2]'), job('[1]')] }]);
    assert.ok(result?.status === 'stored');
    const [one, , same] = result.ids;
    assert.equal(one, same);
    assert.deepEqual(await backend.act({ kind: 'remove' }, { ids: [one as string] }), { count: 2 });
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), ['{"class":"MyClass","args":[2]}']);
  });
});

describe("check 13: resque-scheduler's delayed jobs", () => {
  const at = START + 60_000;
  const seconds = String(at / 1000);
  const delayed = (item: string) => [
    ['RPUSH', `delayed:${seconds}`, item],
    ['SADD', `timestamps:${item}`, `delayed:${seconds}`],
    ['ZADD', 'delayed_queue_schedule', seconds, seconds],
  ];

  it('are written as Ruby writes them, to the second and never too early', async (t) => {
    const { backend, redis, keys } = await openResque(t, server);
    await backend.add([{ jobs: [job('["later"]', { runAt: at - 999 })] }]);
    const item = '{"class":"MyClass","args":["later"],"queue":"myqueue"}';
    assert.deepEqual(await redis('LRANGE', `delayed:${seconds}`, '0', '-1'), [item]);
    assert.deepEqual(await redis('SMEMBERS', `timestamps:${item}`), [`delayed:${seconds}`]);
    assert.deepEqual(await redis('ZRANGE', 'delayed_queue_schedule', '0', '-1', 'WITHSCORES'), [seconds, seconds]);
    assert.deepEqual(await keys(), [`delayed:${seconds}`, 'delayed_queue_schedule', `timestamps:${item}`].sort());
  });

  const forms: [who: string, item: string, payload: string][] = [
    ['Ruby', '{"class":"MyClass","args":["later"],"queue":"myqueue"}', '{"class":"MyClass","args":["later"]}'],
    [
      'node-resque',
      '{"class":"MyClass","queue":"myqueue","args":["later"]}',
      '{"class":"MyClass","queue":"myqueue","args":["later"]}',
    ],
  ];
  for (const [who, item, payload] of forms) {
    it(`of ${who} are moved by us when they are due, and nothing of them is left behind`, async (t) => {
      const { backend, redis, keys, clock } = await openResque(t, server);
      for (const [command, key, ...args] of delayed(item)) await redis(command as string, key as string, ...args);
      await backend.beat(member());
      const ask = () => backend.claim({ server: 'web1-123-ab12', queues: ['other'], limit: 1 });
      clock.advance(59_999);
      assert.deepEqual(await ask(), { jobs: [], nextAt: at });
      assert.equal(await redis('LLEN', `delayed:${seconds}`), 1);
      clock.advance(1);
      assert.deepEqual(await ask(), { jobs: [] });
      assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), [payload]);
      assert.deepEqual(
        (await keys()).filter((key) => /delayed|timestamps/.test(key)),
        [],
      );
    });
  }

  it('that nobody can read go to failed instead of holding up the others', async (t) => {
    const { backend, redis, clock } = await openResque(t, server);
    for (const [command, key, ...args] of [
      ...delayed('nonsense'),
      ...delayed('{"class":"A","args":[],"queue":"myqueue"}'),
    ]) {
      await redis(command as string, key as string, ...args);
    }
    clock.advance(60_000);
    assert.equal((await claim(backend)).length, 1);
    const [entry] = (await redis('LRANGE', 'failed', '0', '-1')) as string[];
    assert.deepEqual(JSON.parse(entry ?? '').payload, { class: 'Millrace::Unreadable', args: ['nonsense', 'text'] });
  });

  it('are where a failed job waits for its retry; its attempt is noted beside them', async (t) => {
    const { backend, redis, clock, second } = await openResque(t, server, { attempts: 3 });
    await backend.add([{ jobs: [job('["again"]')] }]);
    for (let attempt = 1; attempt <= 3; attempt++) {
      const [one] = await claim(attempt === 2 ? await second() : backend);
      assert.ok(one);
      assert.deepEqual([one.attempt, one.maxAttempts], [attempt, 3]);
      const retryAt = attempt < 3 ? { retryAt: clock.now() + 1_000 } : {};
      const ending = { kind: 'failed', error: { ...failure, attempt }, ...retryAt } as const;
      assert.deepEqual(await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending }]), ['taken']);
      if (attempt === 3) break;
      const due = String(clock.now() / 1000 + 1);
      const item = '{"class":"MyClass","args":["again"],"queue":"myqueue"}';
      assert.deepEqual(await redis('LRANGE', `delayed:${due}`, '0', '-1'), [item]);
      const [waiting] = (await backend.list({ states: ['retryable'] })).jobs;
      assert.deepEqual([waiting?.id, waiting?.attempt, waiting?.errors[0]?.message], [one.id, attempt + 1, 'boom <&>']);
      clock.advance(1_000);
    }
    assert.equal(await redis('LLEN', 'failed'), 1);
    assert.equal(await redis('EXISTS', 'millrace:notes'), 0);
  });

  it('of ours that a peer ran leave a note that goes after a day', async (t) => {
    const { backend, redis, clock } = await openResque(t, server, { attempts: 3 });
    await backend.add([{ jobs: [job('[]')] }]);
    const [one] = await claim(backend);
    assert.ok(one);
    const ending = { kind: 'failed', error: failure, retryAt: clock.now() + 1_000 } as const;
    await backend.settle('web1-123-ab12', [{ id: one.id, claim: one.claim, ending }]);
    const [list] = (await redis('ZRANGE', 'delayed_queue_schedule', '0', '-1')) as string[];
    await redis('DEL', `delayed:${list}`);
    clock.advance(86_400_000);
    assert.equal(await backend.tidy(), 0);
    clock.advance(1_000);
    assert.equal(await backend.tidy(), 1);
    assert.equal(await redis('EXISTS', 'millrace:notes'), 0);
  });
});

describe('check 14: the pruning of Ruby', () => {
  it('finds no reason to take ours for dead: another host, and a beat', async (t) => {
    const { backend, redis, clock } = await openResque(t, server);
    await backend.beat(member());
    clock.advance(60_000);
    await backend.beat(member());
    const [worker] = (await redis('SMEMBERS', 'workers')) as string[];
    const [host] = worker?.split(':') ?? [];
    assert.notEqual(host, 'web1');
    assert.deepEqual(await redis('HGETALL', 'workers:heartbeat'), [worker, '2015-01-02T23:05:05Z']);
  });

  it('that took one for dead all the same is made good by the next beat, and its job does not run twice', async (t) => {
    const { backend, redis } = await openResque(t, server);
    await backend.add([{ jobs: [job('[]')] }]);
    const [one] = await claim(backend);
    assert.ok(one);
    await redis('SREM', 'workers', name);
    await redis('DEL', `worker:${name}`);
    await redis('HDEL', 'workers:heartbeat', name);
    await redis('RPUSH', 'failed', '{"payload":{"class":"MyClass","args":[]},"queue":"myqueue"}');
    const outcome = { id: one.id, claim: one.claim, ending: { kind: 'returned' } } as const;
    assert.deepEqual(await backend.settle('web1-123-ab12', [outcome]), ['stale']);
    await backend.beat(member());
    assert.deepEqual(await redis('SMEMBERS', 'workers'), [name]);
    assert.equal(await redis('HLEN', 'workers:heartbeat'), 1);
  });
});
