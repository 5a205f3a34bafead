import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readWorkOptions } from './work-options.ts';

const least = ['--queues=high', '--require=workers.ts'];
const read = (args: readonly string[], env: Record<string, string> = {}) => readWorkOptions([...least, ...args], env);

describe('The flags of goworker', () => {
  it('have its defaults', () => {
    const { queues, interval, concurrency, ...rest } = read([]);
    assert.deepEqual([queues, interval, concurrency], [['high'], 5_000, 25]);
    assert.deepEqual([rest['exit-on-complete'], rest['use-number'], rest.connections], [false, false, undefined]);
    assert.equal(rest.url, 'resque:redis://localhost:6379/');
    assert.equal(rest['stop-deadline'], Number.POSITIVE_INFINITY);
  });

  it('may have one dash or two, and an equals sign or a space', () => {
    const line = '-queues=high=2,low=1 -interval 0.5 --concurrency=3 -use-number -exit-on-complete=true -connections 4';
    const options = readWorkOptions([...line.split(' '), '-require', 'workers.ts'], {});
    assert.deepEqual(options.queues, { high: 2, low: 1 });
    assert.deepEqual([options.interval, options.concurrency, options.connections], [500, 3, 4]);
    assert.deepEqual([options['use-number'], options['exit-on-complete']], [true, true]);
    for (const [text, value] of [
      ['=1', true],
      ['=t', true],
      ['=TRUE', true],
      ['=0', false],
      ['=f', false],
      ['', true],
    ]) {
      assert.equal(read([`-use-number${text}`])['use-number'], value);
    }
  });

  it('take seconds with a fraction, and none so few that Redis would be asked without a pause', () => {
    const inMs = { '1': 1_000, '1.5': 1_500, '5.0': 5_000, '5.': 5_000, '.5': 500, '0.02': 20, '0': 10, '0.001': 10 };
    for (const [text, ms] of Object.entries(inMs)) assert.equal(read([`-interval=${text}`]).interval, ms, text);
  });

  it('refuse what cannot be, naming the flag', () => {
    for (const [args, says] of [
      [['-interval=-1'], /`--interval` should be a number of seconds from 0, such as 5.0, got "-1"/],
      [['-interval=5s'], /`--interval` should be/],
      [['-interval='], /`--interval` should be/],
      [['-concurrency=0'], /`--concurrency` should be an integer from 1 to 10000/],
      [['-connections=0'], /`--connections` should be an integer from 1/],
      [['-use-number=maybe'], /`--use-number` should be true or false/],
      [['-namespace=resque'], /`--namespace` should be a prefix that ends in a colon, got "resque"/],
      [['--use-nuber'], /did you mean `--use-number`\?/],
      [['-queue=low'], /`--queue` is not an option; did you mean `--queues`\?/],
      [['stray'], /`stray` is not an option/],
      [['-tls-cert=ca.pem'], /`--tls-cert` should be given only with a rediss:\/\/ URI/],
      [['-insecure-tls', '-uri=redis://a'], /`--insecure-tls` should be given only with a rediss:\/\/ URI/],
      [['-namespace=a:', '-uri=sqlite:a.db'], /`--namespace` should be given only with jobs of Resque/],
      [['-uri=redis://:secret@a', '--backend=sqlite:a.db'], /`--backend` should be absent when `--uri` is given/],
    ] as const) {
      assert.throws(
        () => read(args),
        (error: Error) => says.test(error.message) && !error.message.includes('secret'),
      );
    }
    assert.throws(() => readWorkOptions(['-require=a.ts'], {}), /`--queues` should be given: at least one queue/);
    assert.throws(() => readWorkOptions(['-queues=a'], {}), /`--require` should be given/);
    assert.deepEqual(readWorkOptions([], { MILLRACE_QUEUES: 'a,b', MILLRACE_REQUIRE: 'x.ts' }).queues, ['a', 'b']);
  });
});

describe('Where the jobs of goworker are', () => {
  it('is said by --uri and --namespace', () => {
    for (const [args, url] of [
      [['-uri=redis://localhost:6379/2'], 'resque:redis://localhost:6379/2'],
      [['-uri=rediss://:pw@host/'], 'resque:rediss://:pw@host/'],
      [['-uri=unix:///run/redis.sock'], 'resque:redis+unix:///run/redis.sock'],
      [['-uri=redis+sentinel://a,b/main'], 'resque:redis+sentinel://a,b/main'],
      [['-namespace=resque:'], 'resque:redis://localhost:6379/?namespace=resque'],
      [['-namespace=shop:jobs:'], 'resque:redis://localhost:6379/?namespace=shop%3Ajobs'],
      [['-namespace='], 'resque:redis://localhost:6379/?namespace='],
      [['-uri=redis://a?timeout=1', '-namespace=b:'], 'resque:redis://a?timeout=1&namespace=b'],
      [['-uri=resque:redis://a', '-namespace=b:'], 'resque:redis://a?namespace=b'],
      [
        ['-uri=rediss://a', '-tls-cert=my ca.pem', '-insecure-tls'],
        'resque:rediss://a?ca=my+ca.pem&rejectUnauthorized=false',
      ],
    ] as const) {
      assert.equal(read(args).url, url);
    }
  });

  it('tells a backend that is to name its workers as goworker does how often each queue is meant (check 4)', () => {
    const url = 'resque:redis://a?manner=goworker';
    const named = (queues: string, uri: string) =>
      readWorkOptions(['-require=a.ts', `-queues=${queues}`, `-uri=${uri}`], {});
    assert.equal(named('high=2,low=1', url).url, `${url}&queues=high%2Chigh%2Clow`);
    assert.equal(named('high,low', 'redis://a?manner=goworker').url, `${url}&queues=high%2Clow`);
    assert.equal(named('high=2', `${url}&queues=mine`).url, `${url}&queues=mine`);
    assert.equal(named('high=2', 'redis://a').url, 'resque:redis://a');
  });

  it('may be any other backend', () => {
    for (const url of ['sqlite:jobs.db', 'memory:', 'sidekiq:redis://a', 'resque:redis://a?namespace=b']) {
      assert.equal(read([`-uri=${url}`]).url, url);
    }
    assert.equal(read(['--backend=redis://a']).url, 'redis://a', 'Millrace’s own jobs');
  });

  it('is said by variables when no flag does', () => {
    const own = { REDIS_URL: 'redis://url/' };
    const provider = { REDIS_PROVIDER: 'MY_REDIS', MY_REDIS: 'redis://mine/' };
    assert.equal(read([], own).url, 'resque:redis://url/');
    assert.equal(read([], { ...own, ...provider }).url, 'resque:redis://mine/');
    assert.equal(read(['-uri=redis://flag/'], { ...own, ...provider }).url, 'resque:redis://flag/');
    assert.equal(read([], { ...own, MILLRACE_BACKEND: 'redis://ours/' }).url, 'redis://ours/');
    assert.equal(read(['-uri=redis://flag/'], { MILLRACE_BACKEND: 'sqlite:a.db' }).url, 'resque:redis://flag/');
    assert.equal(read([], { REDIS_URL: '', REDIS_PROVIDER: '' }).url, 'resque:redis://localhost:6379/');
    const typo = { ...own, REDIS_PROVIDER: 'MY_RDIS' };
    assert.throws(() => read([], typo), /`REDIS_PROVIDER` should be the name of a variable that is set, got "MY_RDIS"/);
  });
});
