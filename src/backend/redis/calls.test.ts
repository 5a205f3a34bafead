import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MillraceError } from '../../errors.ts';
import { Calls } from './calls.ts';
import { makeLink } from './link/link.ts';

const away = new MillraceError('BACKEND_UNAVAILABLE', { backend: 'redis', reason: 'away' });

/** Never opened: only the numbers of claims are looked at. */
const make = () => {
  const calls = new Calls(makeLink('redis://localhost'), assert.fail, { prefix: '', clock: undefined });
  return { calls, lostOf: (server: string) => calls.claim(server, async (_, lost) => lost) };
};

describe('claims that were given up', () => {
  it('are told to the next one of the same server, once it was answered no more', async () => {
    const { calls, lostOf } = make();
    await assert.rejects(
      calls.claim('a', () => Promise.reject(away)),
      away,
    );
    assert.deepEqual(await lostOf('b'), []);
    assert.deepEqual(await lostOf('a'), [0]);
    assert.deepEqual(await lostOf('a'), []);
  });

  it('are all told when several were under way', async () => {
    const { calls, lostOf } = make();
    const gate = Promise.withResolvers<void>();
    const answered = calls.claim('a', () => gate.promise);
    for (let i = 0; i < 2; i++) await assert.rejects(calls.claim('a', () => Promise.reject(away)));
    gate.resolve();
    await answered;
    assert.deepEqual(await lostOf('a'), [1, 2]);
  });

  it('are forgotten with their server, and one of a server that is not known gave nothing', async () => {
    const { calls, lostOf } = make();
    await assert.rejects(calls.claim('a', () => Promise.reject(away)));
    calls.forget('a');
    const unknown = new MillraceError('SERVER_UNKNOWN', { server: 'a' });
    await assert.rejects(calls.claim('a', () => Promise.reject(unknown)));
    assert.deepEqual(await lostOf('a'), []);
  });
});
