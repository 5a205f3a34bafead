import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defineJob } from '../job/job.ts';
import { setup } from './fixtures/support.ts';

const job = defineJob({ name: 'a', run: () => 1 });

describe('each beat of a server', () => {
  it('renews the lease, looks for orders, and tidies until nothing is left to do, within bounds', async () => {
    const { clock, backend, server, of, end } = await setup([job], { lease: 15_000 });
    const calls: string[] = [];
    let dirt = 3;
    const { beat, orders } = backend;
    backend.beat = (info) => {
      calls.push('beat');
      return beat.call(backend, info);
    };
    backend.orders = (id) => {
      calls.push('orders');
      return orders.call(backend, id);
    };
    backend.tidy = async () => {
      calls.push('tidy');
      return dirt-- > 0 ? 10 : 0;
    };
    await server.start();
    assert.deepEqual(calls, ['beat']);
    await clock.advance(5_000);
    assert.deepEqual(calls.slice(1), ['beat', 'orders', 'tidy', 'tidy', 'tidy', 'tidy']);
    assert.deepEqual(of('tidied'), [{ type: 'tidied', count: 30 }]);
    calls.length = 0;
    dirt = 1_000;
    await clock.advance(5_000);
    assert.equal(calls.filter((call) => call === 'tidy').length, 20);
    await end();
  });

  it('looks for orders and tidies no more often than the poll', async () => {
    const { clock, backend, server, end } = await setup([job], { lease: 15_000, pollInterval: 10_000 });
    const calls: string[] = [];
    backend.orders = async () => {
      calls.push('orders');
      return [];
    };
    backend.tidy = async () => {
      calls.push('tidy');
      return 0;
    };
    await server.start();
    for (const expected of [2, 2, 4, 4, 6]) {
      await clock.advance(5_000);
      assert.equal(calls.length, expected);
    }
    await end();
  });

  it('goes on with its other duties when one fails', async () => {
    const { clock, backend, server, of, end } = await setup([job], { lease: 15_000 });
    let tidied = 0;
    await server.start();
    backend.rescue = () => Promise.reject(new Error('no'));
    backend.orders = () => Promise.reject(new Error('no'));
    backend.tidy = async () => {
      tidied++;
      return 0;
    };
    await clock.advance(5_000);
    assert.equal(tidied, 1);
    assert.deepEqual(
      of('backend-error').map(({ doing }) => doing),
      ['rescue', 'orders'],
    );
    await end();
  });

  it('does not let a slow sweep cost the lease', async () => {
    const { clock, backend, server, end } = await setup([job], { lease: 15_000 });
    const swept = Promise.withResolvers<number>();
    let beats = 0;
    await server.start();
    const { beat } = backend;
    backend.beat = (info) => {
      beats++;
      return beat.call(backend, info);
    };
    backend.tidy = () => swept.promise;
    for (let i = 0; i < 4; i++) await clock.advance(5_000);
    assert.equal(beats, 4);
    swept.resolve(0);
    await end();
  });
});
