import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Confirmations } from './confirm.ts';
import type { Arguments } from './driver.ts';

/** A server that answers when told to. */
class Server {
  readonly asked: string[] = [];
  readonly #answers: { resolve(value: unknown): void; reject(error: unknown): void }[] = [];

  readonly send = (args: Arguments): Promise<unknown> => {
    this.asked.push(args.join(' '));
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  };

  answer(value: unknown): void {
    this.#answers.shift()?.resolve(value);
  }

  fail(error: Error): void {
    this.#answers.shift()?.reject(error);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const waiting = () => ({
  over: false,
  told: '',
  missing(what: string) {
    this.told = what;
  },
});

describe('holding answers back', () => {
  it('asks once for all that is written in a turn, and once more for what is written meanwhile', async () => {
    const server = new Server();
    const confirmations = new Confirmations(server.send, { replicas: 2, disk: false }, 100);
    const first = Promise.all([confirmations.confirm(waiting()), confirmations.confirm(waiting())]);
    await turn();
    assert.deepEqual(server.asked, ['WAIT 2 100']);
    const second = Promise.all([confirmations.confirm(waiting()), confirmations.confirm(waiting())]);
    await turn();
    assert.equal(server.asked.length, 1);
    server.answer(2);
    await first;
    await turn();
    assert.equal(server.asked.length, 2);
    server.answer(3);
    await second;
  });

  it('asks again until enough have it, and tells how many there are', async () => {
    const server = new Server();
    const confirmations = new Confirmations(server.send, { replicas: 2, disk: false }, 100);
    const one = waiting();
    const confirmed = confirmations.confirm(one);
    await turn();
    server.answer(1);
    await turn();
    assert.equal(one.told, '1 of 2 replicas have it');
    server.answer(2);
    await confirmed;
    assert.equal(server.asked.length, 2);
  });

  it('does not ask for a call that is over', async () => {
    const server = new Server();
    const confirmations = new Confirmations(server.send, { replicas: 1, disk: false }, 100);
    const one = waiting();
    const confirmed = confirmations.confirm(one);
    await turn();
    one.over = true;
    server.answer(0);
    await confirmed;
    assert.equal(server.asked.length, 1);
  });

  it('asks for the disk and for replicas in one go', async () => {
    const server = new Server();
    const confirmations = new Confirmations(server.send, { replicas: 1, disk: true }, 100);
    const one = waiting();
    const confirmed = confirmations.confirm(one);
    await turn();
    assert.deepEqual(server.asked, ['WAIT 1 100', 'WAITAOF 1 0 100']);
    server.answer(1);
    server.answer([0, 0]);
    await turn();
    assert.equal(one.told, 'it is not on the disk yet');
    server.answer(1);
    server.answer([1, 0]);
    await confirmed;
  });

  it('rejects when the connection is lost, and works for what comes later', async () => {
    const server = new Server();
    const confirmations = new Confirmations(server.send, { replicas: 1, disk: false }, 100);
    const confirmed = assert.rejects(confirmations.confirm(waiting()), /gone/);
    await turn();
    server.fail(new Error('gone'));
    await confirmed;
    const again = confirmations.confirm(waiting());
    await turn();
    server.answer(1);
    await again;
  });
});
