import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { settable } from '../../testing/settable.ts';
import { ServerClock } from './server-clock.ts';

const HOUR = 3_600_000;

/** A machine whose clock can be set, and a server an hour ahead of it. */
function setup() {
  const time = new VirtualClock(0);
  const { clock: local, jump } = settable(time);
  const clock = new ServerClock(local);
  const there = () => time.now() + HOUR;
  /** A call whose request and answer take so long. */
  const call = async (out: number, back: number) => {
    const sentAt = clock.mark();
    await time.advance(out);
    const now = there();
    await time.advance(back);
    clock.heard(now, sentAt);
  };
  return { time, clock, there, call, jump, local };
}

describe('the clock of the server', () => {
  it('is this machine’s until the server was heard', () => {
    const { clock, local } = setup();
    assert.equal(clock.now(), local.now());
  });

  it('is behind by no more than the answer took, never ahead, and closer with a faster answer', async () => {
    const { clock, there, call } = setup();
    await call(5, 20);
    assert.equal(there() - clock.now(), 20);
    await call(5, 2);
    assert.equal(there() - clock.now(), 2);
    await call(100, 100);
    assert.equal(there() - clock.now(), 2);
  });

  it('is not trusted after this machine’s clock was set, until the next answer', async () => {
    const { clock, there, call, jump, local } = setup();
    await call(1, 1);
    jump(HOUR);
    assert.equal(clock.now(), local.now());
    await call(1, 1);
    assert.equal(there() - clock.now(), 1);
  });

  it('follows a server that has become another one', async () => {
    const { clock, time, call } = setup();
    await call(1, 1);
    const sentAt = clock.mark();
    clock.heard(time.now() - HOUR, sentAt);
    assert.equal(clock.now(), time.now() - HOUR);
  });
});
