/** Jobs as bytes. The lines of real Sidekiqs were written by them; the version stands beside each. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inflateSync } from 'node:zlib';
import type { NewJob } from '../backend.ts';
import { Jids } from './jids.ts';
import { readMembers, writeMembers } from './members.ts';
import {
  ended,
  enqueued,
  failed,
  postponed,
  readJob,
  readTime,
  type Version,
  type WireJob,
  writeJob,
  writeTime,
} from './wire.ts';

const job = (args: string, rest: Partial<NewJob> = {}): NewJob => {
  const given = { queue: 'default', name: 'HardJob', payload: Buffer.from(args), priority: 4, maxAttempts: 26 };
  return { ...given, ...rest };
};
const read = (text: string): WireJob => {
  const found = readJob(Buffer.from(text));
  assert.ok(found, text);
  return found;
};
const jid = '4fe29416ec02020056f10447';

/** Pushed by `HardJob.perform_async(…)` and `Sidekiq::Client.push` of these versions, and what became of them. */
const golden = {
  '7.3.9': {
    pushed: `{"retry":true,"queue":"default","args":["a",1180591620717411303424,"<&> \u2028é"],"class":"HardJob","jid":"${jid}","created_at":1795286292.5006044,"enqueued_at":1795286292.5006764}`,
    scheduled: `{"retry":true,"queue":"default","class":"HardJob","args":[1],"jid":"${jid}","created_at":1795286292.5013297}`,
    failed: `{"retry":true,"queue":"default","tags":["x"],"backtrace":3,"args":["fail"],"class":"HardJob","jid":"${jid}","created_at":1795286292.5015202,"enqueued_at":1795286292.5015306,"error_message":"boom","error_class":"RuntimeError","failed_at":1795286292.7263896,"retry_count":0,"error_backtrace":"eJyLVtIvyS3QL0rSL9crSrIyssrMU0goSC1Kyy/KVVfSgcsWmxvr52QC6cyU1OzMQv2Covzk1OLi/CKwLiMDsL7UitTk0pLU+Kz8JKL1GlqYgvUm5eQnZytomCjkpJal5hRrKgAFoQrVlWIBdS04eQ=="}`,
    at: [1795286292501, 1795286292726],
  },
  '8.0.10': {
    pushed: `{"retry":true,"queue":"default","args":["a",1180591620717411303424,"<&> \u2028é"],"class":"HardJob","jid":"${jid}","created_at":1795286325871,"enqueued_at":1795286325871}`,
    scheduled: `{"retry":true,"queue":"default","class":"HardJob","args":[1],"jid":"${jid}","created_at":1795286325873}`,
    failed: `{"retry":true,"queue":"default","tags":["x"],"backtrace":3,"args":["fail"],"class":"HardJob","jid":"${jid}","created_at":1795286325873,"enqueued_at":1795286325873,"error_message":"boom","error_class":"RuntimeError","failed_at":1795286326153,"retry_count":0,"error_backtrace":"eJyLVtIvyS3QL0rSL9crSrIyssrMU0goSC1Kyy/KVVfSgcsWWxjo52QC6cyU1OzMQv2Covzk1OLi/CKwLiNzsL7UitTk0pLU+Kz8JKL1GlpC7EzKyU/OVtAwUchJLUvNKdZUAApCFaorxQIAdgw4eg=="}`,
    at: [1795286325871, 1795286326153],
  },
} as const;

describe('a job on the Sidekiq wire', () => {
  for (const [version, lines] of Object.entries(golden)) {
    it(`is read as Sidekiq ${version} has written it`, () => {
      const pushed = read(lines.pushed);
      assert.equal(pushed.payload.toString(), '["a",1180591620717411303424,"<&> \u2028é"]');
      assert.deepEqual(
        [pushed.id, pushed.name, pushed.queue, pushed.attempt, pushed.maxAttempts, pushed.createdAt, pushed.error],
        [jid, 'HardJob', 'default', 1, 26, lines.at[0], undefined],
      );
      const again = read(lines.failed);
      assert.deepEqual([again.attempt, again.tags, again.rules.backtrace], [2, ['x'], 3]);
      const { stack = '', ...error } = again.error ?? {};
      assert.deepEqual(error, { attempt: 1, at: lines.at[1], message: 'boom', code: 'RuntimeError' });
      assert.match(stack, /^RuntimeError: boom\n {4}at .*w\.rb:2:in `perform'\n/);
      assert.equal(stack.split('\n').length, 4);
    });
  }

  it('is written with the same members in the same order as by `Sidekiq::Client.push`', () => {
    const at = 1_755_000_000_123;
    const write = (version: Version, rest: Partial<NewJob> = {}, runAt?: number) =>
      writeJob(job('["bob",5]', rest), jid, at, version, runAt).toString();
    const head = `{"retry":true,"queue":"default","class":"HardJob","args":["bob",5],"jid":"${jid}",`;
    assert.equal(write(6), `${head}"created_at":1755000000.123,"enqueued_at":1755000000.123}`);
    assert.equal(write(7), write(6));
    assert.equal(write(8), `${head}"created_at":1755000000123,"enqueued_at":1755000000123}`);
    assert.equal(write(7, {}, at + 1), `${head}"created_at":1755000000.123}`);
    assert.match(write(7, { maxAttempts: 25 }), /^\{"retry":24,/);
    assert.match(write(7, { maxAttempts: 1 }), /^\{"retry":0,/);
    assert.match(
      write(7, { tags: ['a'], headers: { h: '1' } }),
      /,"tags":\["a"\],"headers":\{"h":"1"\},"enqueued_at":/,
    );
    for (const { scheduled, pushed } of Object.values(golden)) {
      const names = (text: string) => [...readMembers(Buffer.from(text)).keys()];
      assert.deepEqual(names(write(7, {}, at)), names(scheduled));
      assert.deepEqual(names(write(7)).toSorted(), names(pushed).toSorted());
    }
  });

  it('2. carries its arguments byte for byte, whoever wrote them', () => {
    const lists = [
      '["<a&b>"]',
      '["é","\\u00e9","\u2028","\\u2028"]',
      '[1e21,1.0e+21,9007199254740993,-0,-0.0,1.0,null]',
      '[ { "b" : [ 1 , {"1":2,"0":[]} ] } , "]}\\"{[" ]',
      '["\ud83d\ude42","\\ud83d"]',
    ];
    for (const list of lists) {
      const pushed = readJob(writeJob(job(list), jid, 0, 7));
      assert.equal(pushed?.payload.toString(), list);
      assert.ok(pushed);
      const error = { attempt: 1, at: 1, message: 'm' };
      for (const raw of [
        enqueued(pushed, 'q', 1, 8, true),
        postponed(pushed, 'q'),
        failed(pushed, 'q', error, 7),
        ended(pushed, 'q', 'r', 'C'),
      ]) {
        assert.equal(readJob(raw)?.payload.toString(), list);
      }
    }
  });

  it('that is no UTF-8 is read, and stays what it is', () => {
    const raw = Buffer.concat([Buffer.from('{"class":"A","args":["'), Buffer.from([0xff, 0xc3]), Buffer.from('"]}')]);
    const bad = readJob(raw);
    assert.ok(bad);
    assert.deepEqual(bad.payload, raw.subarray(20, -1));
    assert.ok(failed(bad, 'q', { attempt: 1, at: 1, message: '\ud800' }, 7).includes(bad.payload));
  });

  it('says nothing that a reader would miss: what lacks, is of another kind, or is null', () => {
    const least = read('{"class":"A","args":[]}');
    assert.deepEqual([least.attempt, least.maxAttempts, least.queue, least.createdAt], [1, 26, undefined, undefined]);
    assert.match(least.id, /^~[0-9a-f]{23}$/);
    assert.equal(read('{"class":"A","args":[]}').id, least.id);
    const odd = read(
      '{"class":"A","args":[],"jid":null,"retry":null,"retry_count":"x","tags":[1],"headers":{"a":1},"queue":7,"failed_at":"now","error_backtrace":"no","error_class":"E","error_message":null}',
    );
    assert.deepEqual(
      [odd.attempt, odd.maxAttempts, odd.tags, odd.headers, odd.queue],
      [1, 26, undefined, undefined, undefined],
    );
    assert.deepEqual(odd.error, { attempt: 1, at: 0, message: '', code: 'E' });
  });

  it('is none when it is no object with a class and arguments', () => {
    for (const text of [
      '',
      'null',
      '[]',
      '7',
      '{',
      '{}',
      '{"class":"A"}',
      '{"class":"A","args":{}}',
      '{"class":"","args":[]}',
    ]) {
      assert.equal(readJob(Buffer.from(text)), undefined, text);
    }
  });

  it('has as many runs as `retry` says, and one when it says none', () => {
    const runs = (retry: string) => read(`{"class":"A","args":[],"retry":${retry}}`).maxAttempts;
    assert.deepEqual(['true', '25', '0', '3', 'false'].map(runs), [26, 26, 1, 4, 1]);
    assert.ok(read('{"class":"A","args":[],"retry":1,"retry_for":60}').maxAttempts > 1e6);
    assert.deepEqual(
      [0, 1, 24].map((count) => read(`{"class":"A","args":[],"retry":true,"retry_count":${count}}`).attempt),
      [2, 3, 26],
    );
  });

  it('gets its error as Ruby would write it, first and later', () => {
    const error = {
      attempt: 1,
      at: 1_755_000_000_000,
      message: 'no "such"\n',
      stack: 'TypeError: no\n    at a (b.ts:1:2)\n    at c',
    };
    const first = failed(read('{"class":"A","args":[],"queue":"q","backtrace":1}'), 'q', error, 7);
    const fields = JSON.parse(first.toString()) as Record<string, unknown>;
    const { error_backtrace: packed, ...rest } = fields;
    const expected = {
      class: 'A',
      args: [],
      queue: 'q',
      backtrace: 1,
      error_message: 'no "such"\n',
      error_class: 'TypeError',
    };
    assert.deepEqual(rest, { ...expected, failed_at: 1_755_000_000, retry_count: 0 });
    assert.deepEqual(JSON.parse(inflateSync(Buffer.from(String(packed), 'base64')).toString()), ['a (b.ts:1:2)']);
    assert.match(first.toString(), /"failed_at":1755000000\.0,/);
    const second = failed(readJob(first) as WireJob, 'q', { ...error, at: 1_755_000_001_500, code: 'E_X' }, 8);
    const later = JSON.parse(second.toString()) as Record<string, unknown>;
    assert.deepEqual(
      [later.error_class, later.failed_at, later.retried_at, later.retry_count],
      ['E_X', 1_755_000_000, 1_755_000_001_500, 1],
    );
    const moved = failed(read('{"class":"A","args":[],"queue":"q","retry_queue":"low"}'), 'q', error, 7);
    assert.equal(JSON.parse(moved.toString()).queue, 'low');
    const long = failed(read('{"class":"A","args":[]}'), 'q', { ...error, message: '🙂'.repeat(10_001) }, 7);
    assert.equal([...JSON.parse(long.toString()).error_message].length, 10_000);
  });

  it('has times that Sidekiq 8 does not take for milliseconds, nor 7 for seconds', () => {
    assert.deepEqual(
      [1_755_000_000_000, 1_755_000_000_100, 0].map((at) => writeTime(at, 7)),
      ['1755000000.0', '1755000000.1', '0.0'],
    );
    assert.equal(writeTime(1_755_000_000_000.6, 8), '1755000000001');
    assert.deepEqual([1_755_000_000.123, 1_755_000_000_123, 1_755_000_000, '1', null, Number.NaN].map(readTime), [
      1_755_000_000_123,
      1_755_000_000_123,
      1_755_000_000_000,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('the members of a JSON object', () => {
  const again = (text: string, changes?: Record<string, string | undefined>) =>
    writeMembers(readMembers(Buffer.from(text)), changes).toString();

  it('are what JSON says they are, for any object', () => {
    let state = 7;
    const roll = (most: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (state >> 8) % most;
    };
    const blanks = () => ['', ' ', '\n\t', '  \r\n'][roll(4)] as string;
    const texts = ['""', '"a"', '"\\"}"', '"\\\\"', '"]["', '"\\u0022,"', '"é\u2028🙂"'];
    const value = (depth: number): string => {
      const kind = roll(depth > 3 ? 3 : 5);
      if (kind === 0) return texts[roll(texts.length)] as string;
      if (kind === 1) return ['0', '-1.5e+10', '9007199254740993', 'true', 'null'][roll(5)] as string;
      if (kind === 2) return ['[]', '{}', '[ ]', '{\n}'][roll(4)] as string;
      const items = Array.from({ length: 1 + roll(3) }, (_, i) => {
        const item = `${blanks()}${value(depth + 1)}${blanks()}`;
        return kind === 3 ? item : `${blanks()}"k${i}"${blanks()}:${item}`;
      });
      return kind === 3 ? `[${items.join(',')}]` : `{${items.join(',')}}`;
    };
    for (let run = 0; run < 2_000; run++) {
      const members = Array.from({ length: roll(5) }, (_, i) => [`m${i}`, value(0)] as const);
      const text = `${blanks()}{${members.map(([name, each]) => `${blanks()}"${name}"${blanks()}:${blanks()}${each}${blanks()}`).join(',')}${members.length === 0 ? blanks() : ''}}${blanks()}`;
      const found = [...readMembers(Buffer.from(text))].map(([name, bytes]) => [name, bytes.toString()]);
      assert.deepEqual(found, members, text);
      assert.deepEqual(JSON.parse(again(text)), JSON.parse(text));
    }
  });

  it('are replaced in their place, taken away, or added at the end', () => {
    assert.equal(
      again('{"a":1, "b":2,"c":3}', { b: '[4]', a: undefined, d: '5', e: undefined }),
      '{"b":[4],"c":3,"d":5}',
    );
    assert.equal(again('{"a":1}', { a: undefined }), '{}');
    assert.equal(again('{"a":1,"a":2,"\\u0061":3}'), '{"a":3}');
    assert.equal(again('{"__proto__":1}', { toString: '2' }), '{"__proto__":1,"toString":2}');
  });
});

describe('ids', () => {
  it('are 24 hexadecimal digits that go up, also when the clock does not, and never come twice', () => {
    const jids = new Jids();
    const times = [1_755_000_000_000, 1_755_000_000_000, 1_754_000_000_000, 1_755_000_000_001];
    const all = Array.from({ length: 20_000 }, (_, i) => jids.next(times[i % 4] as number));
    for (const id of all) assert.match(id, /^[0-9a-f]{24}$/);
    assert.deepEqual(all, all.toSorted());
    assert.equal(new Set(all).size, all.length);
    const others = new Jids();
    assert.notEqual(new Jids().next(5), others.next(5));
  });
});
