import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  choice,
  describeFlags,
  duration,
  integer,
  list,
  parseDuration,
  parseRate,
  rate,
  readCommand,
  readFlags,
  text,
  toggle,
} from './flags.ts';
import { readServeOptions } from './serve-options.ts';

const flags = {
  port: integer({ value: 'N', env: 'PORT', help: 'a port', min: 0, max: 65_535, default: 8080 }),
  host: text({ value: 'HOST', env: 'HOST', help: 'an address', default: '127.0.0.1' }),
  wait: duration({ value: 'TIME', help: 'a time', default: 1000, defaultText: '1s' }),
  how: choice({ value: 'HOW', help: 'a way', choices: ['gzip', 'zstd'], default: undefined }),
  token: list({ value: 'T,…', env: 'TOKEN', help: 'tokens' }),
  quiet: toggle({ env: 'QUIET', help: 'a switch' }),
};

describe('readFlags', () => {
  it('prefers the flag to the variable and the variable to the default', () => {
    assert.equal(readFlags(flags, [], {}).port, 8080);
    assert.equal(readFlags(flags, [], { PORT: '1' }).port, 1);
    assert.equal(readFlags(flags, ['--port', '2'], { PORT: '1' }).port, 2);
    assert.equal(readFlags(flags, ['--port=3'], { PORT: '1' }).port, 3);
    assert.equal(readFlags(flags, [], { PORT: '' }).port, 8080);
  });

  it('reads every kind', () => {
    const values = readFlags(flags, ['--wait', '1.5s', '--how', 'zstd', '--token', 'a, b,', '--quiet'], {});
    assert.deepEqual(values, {
      port: 8080,
      host: '127.0.0.1',
      wait: 1500,
      how: 'zstd',
      token: ['a', 'b'],
      quiet: true,
    });
    assert.equal(readFlags(flags, [], { QUIET: '0' }).quiet, false);
  });

  it('names the option or the variable, what was expected and what was got', () => {
    const cases: [string[], Record<string, string>, string][] = [
      [['--port', 'abc'], {}, '`--port` should be an integer from 0 to 65535, got "abc" (string)'],
      [['--port', '70000'], {}, '`--port` should be an integer from 0 to 65535, got "70000" (string)'],
      [[], { PORT: '-1' }, '`PORT` should be an integer from 0 to 65535, got "-1" (string)'],
      [['--wait', 'soon'], {}, '`--wait` should be a duration such as 500ms, 2s or 5m, got "soon" (string)'],
      [['--how', 'lz4'], {}, '`--how` should be one of gzip, zstd, got "lz4" (string)'],
      [['--port'], {}, '`--port` should be given a value, got undefined'],
      [[], { QUIET: 'perhaps' }, '`QUIET` should be true or false, got "perhaps" (string)'],
    ];
    for (const [args, env, message] of cases) {
      assert.throws(() => readFlags(flags, args, env), { code: 'MILLRACE_OPTION_INVALID', message });
    }
  });

  it('suggests the flag that a slip was meant to be', () => {
    assert.throws(() => readFlags(flags, ['--prot', '1'], {}), {
      message: '`--prot` is not an option; did you mean `--port`?',
    });
    assert.throws(() => readFlags(flags, ['--nonsense'], {}), { message: '`--nonsense` is not an option' });
    assert.throws(() => readFlags(flags, ['stray'], {}), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });

  it('describes each flag in a line, with variable and default', () => {
    assert.match(describeFlags(flags), /^ {2}--port N +a port \[PORT, default 8080\]$/m);
    assert.match(describeFlags(flags), /^ {2}--quiet +a switch \[QUIET\]$/m);
  });
});

describe('readCommand', () => {
  it('gives the words that are no flags too, which readFlags refuses', () => {
    const args = ['queue:mail', '--port', '1', 'added:>=-2h'];
    const { words, values } = readCommand(flags, args, {});
    assert.deepEqual([words, values.port], [['queue:mail', 'added:>=-2h'], 1]);
    assert.throws(() => readFlags(flags, args, {}), { code: 'MILLRACE_OPTION_UNKNOWN', message: /`queue:mail`/ });
  });
});

describe('parseRate and parseDuration', () => {
  it('read what people write', () => {
    assert.deepEqual(parseRate('100/1m'), { limit: 100, per: 60_000 });
    assert.deepEqual(parseRate('0.5/s/3'), { limit: 0.5, per: 1_000, burst: 3 });
    assert.deepEqual([parseDuration('7d'), parseDuration('1.5h'), parseDuration('20')], [604_800_000, 5_400_000, 20]);
  });

  it('know what is none', () => {
    for (const wrong of ['', '100', '100/', '0/1m', '1/0s', '1/1y', '1/1m/x', '-1/1m']) {
      assert.equal(parseRate(wrong), undefined, wrong);
    }
    for (const wrong of ['', '-1s', '1y', 's']) assert.equal(parseDuration(wrong), undefined, wrong);
    const flag = { pace: rate({ value: 'N/TIME', help: 'a pace' }) };
    assert.throws(() => readFlags(flag, ['--pace', '100/1m/20'], {}), { code: 'MILLRACE_OPTION_INVALID' });
  });
});

describe('readServeOptions', () => {
  it('chooses what goes with batches', () => {
    const single = readServeOptions([], {});
    assert.deepEqual([single['max-workers'], single.compress], [64, 'none']);
    assert.ok(single.key.endsWith('{id}.json'));
    const batched = readServeOptions(['--batch', '100'], {});
    assert.deepEqual([batched['max-workers'], batched.compress], [8, 'gzip']);
    assert.ok(batched.key.endsWith('{id}.ndjson.gz'));
    assert.ok(readServeOptions(['--batch', '2', '--compress', 'zstd'], {}).key.endsWith('.ndjson.zst'));
  });

  it('refuses what cannot go together', () => {
    for (const args of [
      ['--no-door', '--no-workers'],
      ['--processes', '2', '--backend', 'memory:'],
    ]) {
      assert.throws(() => readServeOptions(args, {}), { code: 'MILLRACE_OPTION_INVALID' });
    }
  });
});
