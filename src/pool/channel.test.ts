import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isError } from '../errors.ts';
import { Channel, type Received } from './channel.ts';

const closed = (error: unknown) => isError(error, 'CHANNEL_CLOSED');

describe('Channel', () => {
  it('takes as many values as it has places, and not one more', () => {
    const channel = new Channel<number>(3);
    assert.deepEqual(
      [1, 2, 3, 4].map((n) => channel.trySend(n)),
      [true, true, true, false],
    );
    assert.equal(channel.size, 3);
    assert.deepEqual(channel.tryReceive(), { done: false, value: 1 });
    assert.equal(channel.trySend(4), true);
  });

  it('lets senders wait for a place, first come first served', async () => {
    const channel = new Channel<number>(1);
    const settled: number[] = [];
    const sends = [0, 1, 2, 3].map((n) => channel.send(n).then(() => settled.push(n)));
    await sends[0];
    assert.deepEqual(settled, [0]);
    for (let n = 0; n < 4; n++) assert.deepEqual(await channel.receive(), { done: false, value: n });
    await Promise.all(sends);
    assert.deepEqual(settled, [0, 1, 2, 3]);
  });

  it('gives values to receivers in the order in which they began to wait', async () => {
    const channel = new Channel<string>(2);
    const first = channel.receive();
    const second = channel.receive();
    channel.trySend('a');
    channel.trySend('b');
    assert.deepEqual(
      [await first, await second],
      [
        { done: false, value: 'a' },
        { done: false, value: 'b' },
      ],
    );
    assert.equal(channel.size, 0);
  });

  it('hands values over directly when it has no places', async () => {
    const channel = new Channel<number>(0);
    assert.equal(channel.trySend(1), false);
    const sent = channel.send(2);
    assert.deepEqual(channel.tryReceive(), { done: false, value: 2 });
    await sent;
    const received = channel.receive();
    assert.equal(channel.trySend(3), true);
    assert.deepEqual(await received, { done: false, value: 3 });
  });

  it('after close, gives what is left and then the end', async () => {
    const channel = new Channel<number>(2);
    await channel.send(1);
    await channel.send(2);
    channel.close();
    channel.close();
    const got: number[] = [];
    for await (const value of channel) got.push(value);
    assert.deepEqual(got, [1, 2]);
    assert.deepEqual(channel.tryReceive(), { done: true, value: undefined });
  });

  it('rejects senders that wait when it closes, and refuses new ones', async () => {
    const channel = new Channel<number>(1);
    await channel.send(1);
    const waiting = channel.send(2);
    channel.close();
    await assert.rejects(waiting, closed);
    await assert.rejects(channel.send(3), closed);
    assert.throws(() => channel.trySend(3), closed);
    assert.deepEqual(await channel.receive(), { done: false, value: 1 });
    assert.equal((await channel.receive()).done, true);
  });

  it('ends receivers that wait when it closes', async () => {
    const channel = new Channel<number>(1);
    const waiting = [channel.receive(), channel.receive()];
    channel.close();
    assert.deepEqual(
      (await Promise.all(waiting)).map((received) => received.done),
      [true, true],
    );
  });

  it('stays open when a loop is left early', async () => {
    const channel = new Channel<number>(2);
    await channel.send(1);
    for await (const value of channel) {
      assert.equal(value, 1);
      break;
    }
    assert.equal(channel.closed, false);
    await channel.send(2);
    assert.deepEqual(await channel.receive(), { done: false, value: 2 });
  });

  it('carries undefined like any other value', async () => {
    const channel = new Channel<undefined>(1);
    await channel.send(undefined);
    assert.deepEqual(await channel.receive(), { done: false, value: undefined });
  });

  it('an aborted send has sent nothing and an aborted receive has taken nothing', async () => {
    const channel = new Channel<number>(1);
    const over = new AbortController();
    const receive = channel.receive(over.signal);
    over.abort(new Error('enough'));
    await assert.rejects(receive, { message: 'enough' });
    await channel.send(1);

    const late = new AbortController();
    const send = channel.send(2, late.signal);
    const next = channel.send(3);
    late.abort(new Error('too late'));
    await assert.rejects(send, { message: 'too late' });
    await assert.rejects(channel.send(4, late.signal), { message: 'too late' });
    await assert.rejects(channel.receive(late.signal), { message: 'too late' });
    assert.deepEqual(await channel.receive(), { done: false, value: 1 });
    await next;
    assert.deepEqual(await channel.receive(), { done: false, value: 3 });
  });

  it('keeps one listener on a signal however many wait, and none afterwards', async () => {
    const channel = new Channel<number>(1);
    const { signal } = new AbortController();
    const receives = Array.from({ length: 50 }, () => channel.receive(signal));
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    for (let n = 0; n < 50; n++) channel.trySend(n);
    await Promise.all(receives);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('waits behind one signal cost linear time', async () => {
    const channel = new Channel<number>(1);
    await channel.send(0);
    const over = new AbortController();
    const sends = Array.from({ length: 100_000 }, (_, n) => channel.send(n, over.signal));
    over.abort(new Error('all of you'));
    const endings = await Promise.allSettled(sends);
    assert.ok(endings.every(({ status }) => status === 'rejected'));
  });

  it('refuses a capacity that is no bound', () => {
    for (const capacity of [-1, 1.5, Number.POSITIVE_INFINITY, Number.NaN]) {
      assert.throws(
        () => new Channel(capacity),
        (error) => isError(error, 'OPTION_INVALID'),
      );
    }
  });

  it('behaves like a list with a limit, whatever the order of calls', async () => {
    const call = fc.oneof(
      { weight: 5, arbitrary: fc.constant('send' as const) },
      { weight: 5, arbitrary: fc.constant('receive' as const) },
      { weight: 2, arbitrary: fc.constant('trySend' as const) },
      { weight: 2, arbitrary: fc.constant('tryReceive' as const) },
      { weight: 2, arbitrary: fc.constant('abort' as const) },
      { weight: 1, arbitrary: fc.constant('close' as const) },
    );
    const property = fc.asyncProperty(
      fc.nat(20),
      fc.array(call, { maxLength: 120, size: 'max' }),
      async (capacity, calls) => {
        const channel = new Channel<number>(capacity);
        const model = new Model(capacity);
        const sends: Promise<string>[] = [];
        const receives: Promise<unknown>[] = [];
        const signals: AbortController[] = [];
        const signal = () => {
          const controller = new AbortController();
          signals.push(controller);
          return controller.signal;
        };
        const said = (received: Received<number>) => (received.done ? 'end' : received.value);
        let n = 0;
        for (const what of calls) {
          if (what === 'send') {
            model.send(n, signals.length);
            sends.push(
              channel.send(n++, signal()).then(
                () => 'sent',
                () => 'refused',
              ),
            );
          } else if (what === 'receive') {
            model.receive(signals.length);
            receives.push(channel.receive(signal()).then(said, () => 'refused'));
          } else if (what === 'trySend') {
            if (model.closed) assert.throws(() => channel.trySend(n), closed);
            else assert.equal(channel.trySend(n), model.trySend(n++));
          } else if (what === 'tryReceive') {
            const received = channel.tryReceive();
            assert.equal(received && said(received), model.tryReceive());
          } else if (what === 'abort' && signals.length > 0) {
            const which = (n * 7) % signals.length;
            signals[which]?.abort();
            model.abort(which);
          } else if (what === 'close') {
            channel.close();
            model.close();
          }
          assert.equal(channel.size, model.values.length);
        }
        channel.close();
        model.close();
        assert.deepEqual(
          await Promise.all(sends),
          model.sends.map((call) => call.ending),
        );
        assert.deepEqual(
          await Promise.all(receives),
          model.receives.map((call) => call.ending),
        );
        for (const { signal } of signals) assert.equal(getEventListeners(signal, 'abort').length, 0);
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });
});

interface Call {
  value: number;
  signal: number;
  ending: unknown;
}

/** The same channel, as slow and as plain as can be: arrays, and `ending` instead of promises. */
class Model {
  readonly capacity: number;
  readonly values: number[] = [];
  readonly sends: Call[] = [];
  readonly receives: Call[] = [];
  closed = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  send(value: number, signal: number): void {
    const call: Call = { value, signal, ending: this.closed ? 'refused' : undefined };
    this.sends.push(call);
    if (!this.closed && this.trySend(value)) call.ending = 'sent';
  }

  trySend(value: number): boolean {
    const receiver = this.receives.find(waits);
    if (receiver) receiver.ending = value;
    else if (this.values.length < this.capacity) this.values.push(value);
    else return false;
    return true;
  }

  receive(signal: number): void {
    this.receives.push({ value: -1, signal, ending: this.tryReceive() });
  }

  tryReceive(): unknown {
    const sender = this.sends.find(waits);
    const value = this.values.shift();
    if (sender && value !== undefined) this.values.push(sender.value);
    if (sender) sender.ending = 'sent';
    return value ?? sender?.value ?? (this.closed ? 'end' : undefined);
  }

  abort(signal: number): void {
    for (const call of [...this.sends, ...this.receives]) {
      if (call.signal === signal && waits(call)) call.ending = 'refused';
    }
  }

  close(): void {
    this.closed = true;
    for (const call of this.sends) if (waits(call)) call.ending = 'refused';
    for (const call of this.receives) if (waits(call)) call.ending = 'end';
  }
}

function waits(call: Call): boolean {
  return call.ending === undefined;
}
