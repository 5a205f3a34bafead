import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../clock.ts';
import { Gate } from './gate.ts';

const full = (waiting: number, limit = 100) => ({ status: 'full', queue: 'q', waiting, limit }) as const;

describe('Gate', () => {
  it('is open until it hears otherwise, and again after a moment', async () => {
    const clock = new VirtualClock();
    const gate = new Gate({ clock, maxQueue: 100 });
    assert.equal(gate.shut, undefined);
    gate.full(full(100));
    assert.equal(gate.shut, 'QUEUE_FULL');
    await clock.advance(100);
    assert.equal(gate.shut, undefined);
    gate.away();
    assert.equal(gate.shut, 'BACKEND_AWAY');
  });

  it('stays open for small groups when only a large one found no room', () => {
    const gate = new Gate({ clock: new VirtualClock(), maxQueue: 100 });
    gate.full(full(60));
    assert.equal(gate.shut, undefined);
    gate.full(full(99));
    assert.equal(gate.shut, 'QUEUE_FULL');
  });

  it('is shut as long as it is known that the bound is reached', () => {
    let waiting: number | undefined = 100;
    const gate = new Gate({ clock: new VirtualClock(), maxQueue: 100, waiting: () => waiting });
    assert.equal(gate.shut, 'QUEUE_FULL');
    waiting = 99;
    assert.equal(gate.shut, undefined);
    waiting = undefined;
    assert.equal(gate.shut, undefined);
  });

  it('advises to wait twice as long with every shutting in a row, up to 30 s, and starts over once something was stored', async () => {
    const clock = new VirtualClock();
    const gate = new Gate({ clock, maxQueue: 100 });
    const advice: number[] = [];
    for (let i = 0; i < 7; i++) {
      gate.full(full(100));
      gate.full(full(100)); // let in together with the one before: the same shutting
      advice.push(gate.advice('QUEUE_FULL'));
      await clock.advance(100);
    }
    assert.deepEqual(advice, [1, 2, 4, 8, 16, 30, 30]);
    gate.stored();
    gate.full(full(100));
    assert.equal(gate.advice('QUEUE_FULL'), 1);
  });

  it('advises by the rate at which the queue drains, where that is known', () => {
    let rate: number | undefined = 5;
    const gate = new Gate({ clock: new VirtualClock(), maxQueue: 100, waiting: () => 115, drainRate: () => rate });
    assert.equal(gate.advice('QUEUE_FULL'), 5);
    rate = 0.01;
    assert.equal(gate.advice('QUEUE_FULL'), 30);
    rate = 1e6;
    assert.equal(gate.advice('QUEUE_FULL'), 1);
    rate = 0;
    assert.equal(gate.advice('QUEUE_FULL'), 1);
  });

  it('says whether it is news that the backend is away', async () => {
    const clock = new VirtualClock();
    const gate = new Gate({ clock, maxQueue: 100 });
    assert.equal(gate.away(), true);
    assert.equal(gate.away(), false);
    await clock.advance(1000);
    assert.equal(gate.away(), false);
    gate.stored();
    assert.equal(gate.away(), true);
  });
});
