import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, type ErrorFields, errorCodes, isError, MillraceError, show, toError } from './errors.ts';

/** Fields for every code; a new code needs a line here, and a paragraph in docs/errors.md. */
const samples: { readonly [C in ErrorCode]: ErrorFields<C> } = {
  OPTION_INVALID: { option: 'port', expected: 'an integer from 0 to 65535', got: 'http' },
  OPTION_UNKNOWN: { option: 'max-worker', suggestion: 'max-workers' },
  PEER_MISSING: { package: 'undici', purpose: 'the S3 sink' },
  NOT_RUNNING: { what: 'the job server', state: 'stopped' },
  STOPPED: { what: 'the job server' },
  CHANNEL_CLOSED: {},
  POOL_FULL: { size: 16 },
  TASK_DROPPED: { size: 16, which: 'oldest' },
  TASK_TIMEOUT: { timeout: 500, phase: 'running' },
  TASK_NOT_CLONEABLE: { what: 'payload', reason: 'a function cannot be cloned' },
  THREAD_DIED: { exitCode: 134, reason: 'out of memory' },
  THREAD_START_FAILED: { module: 'resize.ts', attempts: 3, reason: 'its default export is not a function' },
  JOB_UNKNOWN: { name: 'mial', known: ['mail', 'log'] },
  JOB_UNREADABLE: { queue: 'mail', reason: 'expected a JSON object with a class' },
  JOB_DUPLICATE: { name: 'mail' },
  JOB_TIMEOUT: { name: 'mail', timeout: 5000 },
  JOB_DISCARDED: { reason: 'the address does not exist' },
  JOB_SNOOZED: { delay: 60_000 },
  JOB_CANCELLED: { reason: 'the order was withdrawn' },
  JOB_TAKEN_OVER: { id: 'k3v9q0c7mx00000000001fa' },
  OUTCOME_REFUSED: { ending: 'completed', reason: '`result` should be bytes' },
  JOB_FAILED: { id: 'k3v9q0c7mx00000000001fa', state: 'discarded', reason: 'no such customer' },
  RESULT_TIMEOUT: { id: 'k3v9q0c7mx00000000001fa', timeout: 30_000 },
  RESULT_NOT_KEPT: { id: 'k3v9q0c7mx00000000001fa' },
  ENQUEUE_REFUSED: { name: 'mail', reason: 'a middleware ended without calling next()' },
  PAYLOAD_INVALID: { name: 'mail', issues: ['address: expected a string'] },
  PAYLOAD_NOT_JSON: { name: 'mail', got: 10n },
  PAYLOAD_TOO_LARGE: { name: 'mail', bytes: 2_000_000, limit: 1_048_576 },
  CODEC_MISMATCH: { name: 'mail', expected: 'json', got: 'gzip' },
  FILTER_INVALID: { text: 'state:done', at: 6, expected: 'a state' },
  SCHEDULE_INVALID: { key: 'nightly', reason: '"0 9 * *" is not a cron expression' },
  BACKEND_UNKNOWN: { url: 'mysql:jobs' },
  BACKEND_UNAVAILABLE: { backend: 'sqlite', reason: 'the file is locked' },
  BACKEND_CLOSED: { backend: 'sqlite' },
  BACKEND_READ_ONLY: { path: 'jobs.db' },
  BACKEND_DISK_FULL: { path: 'jobs.db' },
  BACKEND_FULL: { backend: 'redis://cache:6379', reason: "OOM command not allowed when used memory > 'maxmemory'" },
  BACKEND_REFUSED: { backend: 'redis://cache:6379', reason: 'WRONGPASS invalid username-password pair' },
  SCHEMA_TOO_NEW: { path: 'jobs.db', found: 9, known: 3 },
  NOT_A_DATABASE: { path: 'notes.txt', reason: 'file is not a database' },
  SERVER_UNKNOWN: { server: 'host-17-ab12' },
  SERVER_DIED: { server: 'host-17-ab12' },
  JOB_QUARANTINED: { crashes: 3 },
  NOT_SUPPORTED: { backend: 'resque:', what: 'keys', reason: 'its format has no place for them' },
  QUEUE_FULL: { queue: 'payloads', waiting: 1000, limit: 1000 },
  IDEMPOTENCY_MISMATCH: { key: 'order-17' },
  SINK_UNKNOWN: { url: 'ftp://store' },
  SINK_KEY_INVALID: { key: '../x', reason: 'leaves the folder' },
  SINK_REFUSED: { key: 'a/b.json', reason: '400 EntityTooLarge' },
  SINK_AWAY: { trouble: 'overload', reason: '503 SlowDown', retryAfter: 1000 },
  CREDENTIALS_MISSING: { tried: ['environment', 'profile'] },
  LISTEN_FAILED: { host: '127.0.0.1', port: 8080, reason: 'address already in use' },
  REQUEST_INVALID: { problem: 'BODY_MALFORMED', detail: 'line 1, column 2 (byte 1): expected a value' },
};

describe('MillraceError', () => {
  for (const code of errorCodes) {
    it(`${code} makes a message of its fields`, () => {
      const fields = samples[code];
      assert.ok(fields, `no sample for ${code}`);
      const error = new MillraceError(code, fields);
      assert.equal(error.code, `MILLRACE_${code}`);
      assert.match(error.message, /^.{10,}[^.]$/, 'a sentence without a full stop');
      assert.doesNotMatch(error.message, /undefined|\[object|NaN/);
      for (const told of Object.values(fields).filter((value) => typeof value === 'string')) {
        assert.ok(error.message.includes(told), `"${told}" is in "${error.message}"`);
      }
    });
  }

  it('carries code, fields and cause', () => {
    const cause = new Error('ENOSPC');
    const error = new MillraceError('BACKEND_DISK_FULL', { path: 'jobs.db' }, { cause });
    assert.equal(error.name, 'MillraceError');
    assert.equal(error.code, 'MILLRACE_BACKEND_DISK_FULL');
    assert.deepEqual(error.fields, { path: 'jobs.db' });
    assert.equal(error.cause, cause);
    assert.ok(error instanceof Error);
    assert.match(error.stack ?? '', /errors\.test\.ts/);
  });

  it('knows errors of another copy of the package by their brand', async () => {
    const path = './errors.ts?copy';
    const copy = (await import(path)) as typeof import('./errors.ts');
    const error = new copy.MillraceError('POOL_FULL', { size: 3 });
    assert.notEqual(copy.MillraceError, MillraceError);
    assert.ok(error instanceof MillraceError);
    assert.ok(isError(error, 'POOL_FULL'));
  });

  it('does not take another error, or no error at all, for its own', () => {
    for (const other of [new Error('x'), { code: 'MILLRACE_POOL_FULL' }, null, undefined, 'MILLRACE_POOL_FULL', 7]) {
      assert.ok(!(other instanceof MillraceError));
      assert.ok(!isError(other, 'POOL_FULL'));
    }
  });

  it('isError tells codes apart', () => {
    const error: unknown = new MillraceError('POOL_FULL', { size: 3 });
    assert.ok(!isError(error, 'CHANNEL_CLOSED'));
    assert.ok(isError(error, 'POOL_FULL') && error.fields.size === 3);
  });

  it('shows the brand neither when listed nor when written as JSON', () => {
    const error = new MillraceError('POOL_FULL', { size: 3 });
    assert.deepEqual(Object.getOwnPropertySymbols({ ...error }), []);
    assert.deepEqual(JSON.parse(JSON.stringify(error)).fields, { size: 3 });
  });
});

describe('show', () => {
  it('tells the value and its type', () => {
    assert.equal(show('8080'), '"8080" (string)');
    assert.equal(show(8080), '8080 (number)');
    assert.equal(show(Number.NaN), 'NaN (number)');
    assert.equal(show(10n), '10 (bigint)');
    assert.equal(show(Symbol('s')), 'Symbol(s) (symbol)');
    assert.equal(show(null), 'null');
    assert.equal(show(undefined), 'undefined');
  });

  it('names objects by their class, and never their content', () => {
    assert.equal(show({ password: 'x' }), 'a Object');
    assert.equal(show([1, 2, 3]), 'an array of 3');
    assert.equal(show(new Map()), 'a Map');
    assert.equal(show(Object.create(null)), 'a object');
    assert.equal(
      show(() => 1),
      'a Function',
    );
  });

  it('shortens long values', () => {
    const shown = show('x'.repeat(10_000));
    assert.equal(shown, `"${'x'.repeat(76)}… (string)`);
  });
});

describe('toError', () => {
  it('passes errors on and wraps the rest', () => {
    const error = new TypeError('t');
    assert.equal(toError(error), error);
    assert.equal(toError('boom').message, 'boom');
    assert.equal(toError(undefined).message, 'undefined');
    assert.equal(toError({ a: 1 }).message, 'a Object');
  });
});
