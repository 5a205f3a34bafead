import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { isError, MillraceError } from '../../../errors.ts';
import { type Driver, loadDriver } from './driver.ts';
import { judge, ScriptError } from './failure.ts';

describe('the verdict on a failure', () => {
  let driver: Driver;
  before(async () => {
    driver = await loadDriver();
  });
  const say = (message: string) => judge(new driver.ErrorReply(message), 'redis://a');

  it('is to send it again when the connection was lost', () => {
    assert.deepEqual(judge(new Error('read ECONNRESET'), 'redis://a'), { kind: 'lost', reason: 'read ECONNRESET' });
    const both = new AggregateError([new Error('connect ECONNREFUSED ::1:6379'), new Error('b')], '');
    assert.deepEqual(judge(both, 'redis://a'), { kind: 'lost', reason: 'connect ECONNREFUSED ::1:6379' });
  });

  it('is to wait while the server cannot', () => {
    for (const code of ['LOADING', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS']) {
      assert.equal(say(`${code} for now`).kind, 'later', code);
    }
  });

  it('is to ask another server', () => {
    assert.equal(say("READONLY You can't write against a read only replica.").kind, 'elsewhere');
    const moved = { kind: 'moved', once: false, host: '10.0.0.1', port: 7001, reason: 'MOVED 3999 10.0.0.1:7001' };
    assert.deepEqual(say('MOVED 3999 10.0.0.1:7001'), moved);
    const asked = { kind: 'moved', once: true, host: '::1', port: 7002, reason: 'ASK 3999 ::1:7002' };
    assert.deepEqual(say('ASK 3999 ::1:7002'), asked);
    const same = { kind: 'moved', once: false, host: '', port: 7003, reason: 'MOVED 1 :7003' };
    assert.deepEqual(say('MOVED 1 :7003'), same);
  });

  it('finds the complaint in what a script makes of it, before and since Redis 7', () => {
    const since = "READONLY You can't write. script: 0123abc, on @user_script:12.";
    const earlier =
      'ERR Error running script (call to f_0123abc): @user_script:2: @user_script: 2: -READONLY You cannot';
    assert.deepEqual(say(since), { kind: 'elsewhere', reason: "READONLY You can't write." });
    assert.deepEqual(say(earlier), { kind: 'elsewhere', reason: 'READONLY You cannot' });
  });

  it('is the refusal of a script, with its code and detail', () => {
    for (const message of ['MILLRACE SERVER_UNKNOWN host 17', 'ERR MILLRACE SERVER_UNKNOWN host 17']) {
      const verdict = say(message);
      assert.ok(verdict.kind === 'final' && verdict.error instanceof ScriptError);
      assert.deepEqual([verdict.error.code, verdict.error.detail], ['SERVER_UNKNOWN', 'host 17']);
    }
  });

  it('is a word of the catalogue when again would be no better', () => {
    const codeOf = (message: string) => {
      const verdict = say(message);
      return verdict.kind === 'final' && verdict.error instanceof MillraceError && verdict.error.code;
    };
    assert.equal(codeOf("OOM command not allowed when used memory > 'maxmemory'."), 'MILLRACE_BACKEND_FULL');
    for (const code of ['NOAUTH', 'WRONGPASS', 'NOPERM']) assert.equal(codeOf(`${code} x`), 'MILLRACE_BACKEND_REFUSED');
    const inside =
      "ERR The user executing the script can't run this command or subcommand script: 0a, on @user_script:9.";
    assert.equal(codeOf(inside), 'MILLRACE_BACKEND_REFUSED');
    assert.equal(codeOf("ERR ACL failure in script: no permissions to run 'rpush'"), 'MILLRACE_BACKEND_REFUSED');
    assert.equal(codeOf('MISCONF unable to persist'), 'MILLRACE_BACKEND_UNAVAILABLE');
    assert.equal(codeOf('ERR user_script:1: attempt to index a nil value'), 'MILLRACE_BACKEND_UNAVAILABLE');
  });

  it('leaves our own errors and mistakes as they are', () => {
    const error = new MillraceError('PEER_MISSING', { package: 'redis', purpose: 'x' });
    assert.deepEqual(judge(error, 'redis://a'), { kind: 'final', error });
    assert.ok(isError(error, 'PEER_MISSING'));
    assert.equal(judge(new TypeError('arguments[1] must be a string'), 'redis://a').kind, 'final');
  });
});
