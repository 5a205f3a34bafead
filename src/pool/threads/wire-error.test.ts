import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError, MillraceError } from '../../errors.ts';
import { packError, unpackError } from './wire-error.ts';

const send = (error: unknown, reason?: unknown) => unpackError(structuredClone(packError(error)), reason);

describe('errors from thread to thread', () => {
  it('keep what they are, what they say and where they come from', () => {
    const cause = new RangeError('cause');
    const error = Object.assign(new TypeError('said', { cause }), { code: 'E_X', data: new Map([[1, 2]]), f: () => 1 });
    const back = send(error) as typeof error;
    assert.ok(back instanceof TypeError);
    assert.deepEqual([back.message, back.code, back.stack, back.data], ['said', 'E_X', error.stack, error.data]);
    assert.ok(back.cause instanceof RangeError);
    assert.deepEqual(Object.keys(back), ['code', 'data'], 'message, stack and cause are not enumerable');
  });

  it('keep the code and fields of a MillraceError, those that cannot be cloned as text', () => {
    const error = new MillraceError('OPTION_INVALID', { option: 'x', expected: 'y', got: () => 1 });
    const back = send(error);
    assert.ok(isError(back, 'OPTION_INVALID'));
    assert.deepEqual(back.fields, { option: 'x', expected: 'y', got: 'a Function' });
    assert.equal(back.message, error.message);
  });

  it('of a code that is not known here arrive as plain errors with that code', () => {
    const error = new MillraceError('STOPPED', { what: 'x' });
    Object.defineProperty(error, 'code', { value: 'MILLRACE_OF_TOMORROW', enumerable: true });
    const back = send(error) as Error & { code: string };
    assert.equal(back.code, 'MILLRACE_OF_TOMORROW');
    assert.equal(back.name, 'MillraceError');
  });

  it('end a chain of causes that never ends', () => {
    const error = new Error('loop');
    error.cause = error;
    assert.equal((send(error) as Error).message, 'loop');
  });

  it('are replaced when they cannot even be read', () => {
    const error = new Error('x');
    Object.defineProperty(error, 'message', {
      get() {
        throw new Error('no');
      },
    });
    assert.match((send(error) as Error).message, /cannot be read/);
  });

  it('are replaced by the reason of the abort when they stand for it', () => {
    const reason = new Error('reason');
    assert.equal(unpackError({ kind: 'reason' }, reason), reason);
  });

  it('let what is no error through as it is, or show it', () => {
    assert.equal(send(undefined), undefined);
    assert.deepEqual(send({ a: 1 }), { a: 1 });
    assert.match((send(Symbol('s')) as Error).message, /Symbol\(s\)/);
  });
});
