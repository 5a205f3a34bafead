import assert from 'node:assert/strict';
import { posix, win32 } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isError } from '../errors.ts';
import { assertSafeKey, compileKeyTemplate } from './key.ts';

const job = { id: '01JD', queue: 'uploads', name: 'mail', addedAt: Date.UTC(2026, 10, 2, 3, 4, 5) };
const invalid = (part: string) => (error: unknown) => isError(error, 'OPTION_INVALID') && error.message.includes(part);

describe('compileKeyTemplate', () => {
  it('makes the default key from queue, hour of arrival in UTC, and id', () => {
    assert.equal(compileKeyTemplate()(job), 'uploads/2026/11/02/03/01JD.json');
  });

  it('knows every placeholder', () => {
    const key = compileKeyTemplate('{name}-{queue}/{yyyy}{MM}{dd}T{HH}{mm}{ss}/{id}');
    assert.equal(key(job), 'mail-uploads/20261102T030405/01JD');
  });

  it('makes the same key for the same job, always', () => {
    const key = compileKeyTemplate();
    assert.equal(key(job), key({ ...job }));
  });

  it('names the known placeholders when it meets another', () => {
    assert.throws(() => compileKeyTemplate('{id}/{hostname}'), invalid('{queue}, {name}, {id}, {yyyy}'));
    assert.throws(() => compileKeyTemplate('{id}/{constructor}'), invalid('{constructor} is none of them'));
  });

  it('refuses a template without {id}, in which jobs would overwrite each other', () => {
    assert.throws(() => compileKeyTemplate('{queue}/{yyyy}.json'), invalid('overwrite'));
  });

  it('refuses unclosed braces and templates that leave the folder', () => {
    for (const template of [
      '{id',
      'id}',
      '{{id}}',
      '/{id}',
      '../{id}',
      '{id}/',
      'a//{id}',
      './{id}',
      'a\\{id}',
      '{id}\0',
    ]) {
      assert.throws(() => compileKeyTemplate(template), invalid('`key`'), template);
    }
  });

  it('makes a safe key from any id, queue and name, and different keys from different queues', () => {
    const text = fc.oneof(
      fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
      fc.constantFrom('.', '..', '../x', 'C:\\x', '/etc', '%2E'),
    );
    const key = compileKeyTemplate('{queue}/{name}/{id}');
    fc.assert(
      fc.property(text, text, text, (queue, name, id) => {
        const made = key({ id, queue, name, addedAt: 0 });
        if (made.length <= 1024) assertSafeKey(made);
        assert.equal(made.split('/').length, 3);
        if (queue.isWellFormed() && name.isWellFormed())
          assert.equal(made === key({ id, queue: name, name, addedAt: 0 }), queue === name);
      }),
    );
  });

  it('survives empty values', () => {
    assert.equal(compileKeyTemplate('{queue}/{id}')({ ...job, queue: '' }), '_/01JD');
  });
});

describe('assertSafeKey', () => {
  it('refuses every key that could leave a folder or mean two things', () => {
    for (const key of [
      '',
      '/a',
      'a/',
      'a//b',
      '..',
      'a/../b',
      './a',
      'a/.',
      'a\\b',
      'a\0',
      'a\nb',
      '\ud800',
      'x'.repeat(1025),
      'é'.repeat(513),
    ]) {
      assert.throws(
        () => assertSafeKey(key),
        (error) => isError(error, 'SINK_KEY_INVALID'),
        JSON.stringify(key),
      );
    }
  });

  it('takes what is odd but harmless', () => {
    for (const key of ['a', '...', 'a b+c~%20=é/日本.json', '.hidden/x', 'a..b', 'x'.repeat(1024)]) assertSafeKey(key);
  });

  it('never accepts a key that a path library would resolve outside the folder', () => {
    const part = fc.constantFrom('..', '.', '', 'a', 'C:', '\\', '\\\\x', 'b c', '~');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const key = parts.join('/');
        try {
          assertSafeKey(key);
        } catch {
          return;
        }
        assert.ok(posix.resolve('/root/dir', key).startsWith('/root/dir/'), key);
        assert.ok(win32.join('D:\\root\\dir', key).startsWith('D:\\root\\dir\\'), key);
      }),
    );
  });
});
