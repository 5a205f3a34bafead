import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Level } from './level.ts';
import { Paced } from './paced.ts';

/** Goes where it is sent, and notes what it is told. */
class Puppet extends Paced {
  next = 0;
  readonly seen: [rtt: number, count: number][] = [];
  readonly echoes: boolean[] = [];
  protected override onRound(_: number, rtt: number, count: number): number {
    this.seen.push([rtt, count]);
    return this.next;
  }
  protected override onOverload(level: number, echo: boolean): number {
    this.echoes.push(echo);
    return level - 1;
  }
  protected override onRestart(): void {}
}

function setUp(initial = 10) {
  const time = { now: 0 };
  const clock = { now: () => time.now, monotonic: () => time.now, timer: () => ({ cancel() {} }) };
  const limit = new Puppet(new Level({ initial, clock }, { initial: 10, max: 100 }));
  /** An attempt that began at `startedAt` ends now. */
  const end = (startedAt: number, inFlight = limit.limit, outcome: 'ok' | 'overload' = 'ok') =>
    limit.sample({ outcome, startedAt, inFlight, rtt: time.now - startedAt });
  return { time, limit, end };
}

describe('Paced', () => {
  it('closes a round with the first answer to an attempt begun in it, and shows the mean', () => {
    const { time, limit, end } = setUp();
    limit.next = 10;
    time.now = 100;
    end(0);
    end(20);
    end(40);
    time.now = 200;
    end(100);
    end(100);
    assert.deepEqual(limit.seen, [
      [100, 1],
      [80, 3],
    ]);
  });

  it('grows only when an attempt that began met the limit of its time', () => {
    const { time, limit, end } = setUp();
    limit.next = 12;
    time.now = 100;
    end(0, 9);
    assert.equal(limit.limit, 10);
    time.now = 200;
    end(100, 10);
    assert.equal(limit.limit, 12);
    limit.next = 14;
    time.now = 300;
    end(150, 10); // begun when the limit was still ten
    end(200, 11);
    assert.equal(limit.limit, 14);
  });

  it('leaves the limit alone while less than half of it is used', () => {
    const { time, limit, end } = setUp();
    limit.next = 5;
    time.now = 100;
    end(0, 4);
    assert.equal(limit.limit, 10);
    time.now = 200;
    end(100, 5);
    assert.equal(limit.limit, 5);
  });

  it('tells an overload from the echo of the one before', () => {
    const { time, limit, end } = setUp();
    time.now = 100;
    end(0, 10, 'overload');
    end(50, 10, 'overload');
    time.now = 200;
    end(150, 10, 'overload');
    assert.deepEqual(limit.echoes, [false, true, false]);
  });
});
