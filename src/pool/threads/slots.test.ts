import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ENDED, FREE, PREFETCHED, REVOKED, Slots, STARTED, STOPPING } from './slots.ts';

describe('Slots', () => {
  it('gives a job to the thread or back to the main thread, never to both', () => {
    const main = new Slots(4);
    const thread = new Slots(4, main.shared);
    main.set(1, PREFETCHED);
    assert.equal(main.move(1, PREFETCHED, REVOKED), true);
    assert.equal(thread.begin(1, 0), false);
    main.set(2, PREFETCHED);
    assert.equal(thread.begin(2, 0), true);
    assert.equal(main.move(2, PREFETCHED, REVOKED), false);
    assert.equal(main.move(2, STARTED, STOPPING), true);
    thread.end(2, 5);
    assert.equal(main.move(2, STARTED, STOPPING), false, 'it has ended');
    assert.deepEqual(
      [0, 1, 2, 3].map((slot) => main.state(slot)),
      [FREE, REVOKED, ENDED, FREE],
    );
    assert.deepEqual([main.bodies, main.runTime], [1, 5]);
  });

  it('decides between two threads that try at the same moment', async () => {
    const rounds = 20_000;
    const slots = new Slots(rounds);
    for (let slot = 0; slot < rounds; slot++) slots.set(slot, PREFETCHED);
    const go = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      `const { workerData: w, parentPort } = require('node:worker_threads');
       import(w.url).then(({ Slots }) => {
         const slots = new Slots(w.rounds, w.shared);
         parentPort.postMessage('ready');
         Atomics.wait(w.go, 0, 0);
         let won = 0;
         for (let slot = 0; slot < w.rounds; slot++) if (slots.begin(slot, slot)) won++;
         parentPort.postMessage(won);
       });`,
      {
        eval: true,
        workerData: { url: new URL('./slots.ts', import.meta.url).href, rounds, shared: slots.shared, go },
      },
    );
    const [ready, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
    worker.on('message', (message) => (message === 'ready' ? ready.resolve() : answer.resolve(message)));
    await ready.promise;
    Atomics.store(go, 0, 1);
    Atomics.notify(go, 0);
    let won = 0;
    for (let slot = rounds - 1; slot >= 0; slot--) if (slots.move(slot, PREFETCHED, REVOKED)) won++;
    assert.equal((await answer.promise) + won, rounds);
    await worker.terminate();
  });

  it('tells start times of another thread in the time of this one', async () => {
    const slots = new Slots(2);
    slots.set(0, PREFETCHED);
    const before = performance.now();
    const worker = new Worker(
      `const { workerData: w, parentPort } = require('node:worker_threads');
       import(w.url).then(({ Slots }) => {
         new Slots(2, w.shared).begin(0, performance.now());
         parentPort.postMessage('begun');
       });`,
      { eval: true, workerData: { url: new URL('./slots.ts', import.meta.url).href, shared: slots.shared } },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    const at = slots.startedAt(0);
    assert.ok(at > before - 0.01 && at < performance.now() + 0.01, `${before} ${at}`);
    await worker.terminate();
  });
});
