import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Tokens } from './tokens.ts';

describe('Tokens', () => {
  it('without any, admit everybody', () => {
    const nobody = new Tokens([]);
    assert.ok(nobody.admits(undefined));
    assert.ok(nobody.admits('Bearer whatever'));
  });

  it('admit each of theirs, with the scheme in any case', () => {
    const tokens = new Tokens(['first', 'second']);
    for (const header of ['Bearer first', 'bearer second', 'BEARER  first ']) assert.ok(tokens.admits(header), header);
  });

  it('admit nothing else', () => {
    const tokens = new Tokens(['first', 'second']);
    const others = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'first',
      'Basic first',
      'Bearer firs',
      'Bearer first second',
      'Bearer First',
    ];
    for (const header of others) assert.ok(!tokens.admits(header), header);
  });
});
