import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';
import { long, single, step, tick } from './support/fleet.ts';
import { Fleet } from './support/fleet-home.ts';
import { fleetSuite } from './support/fleet-suite.ts';

const HOUR = 3_600_000;

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

const place = (folder: string) => `${redis.url}?namespace=${basename(folder)}`;

fleetSuite('one Redis server', place);

describe('a fleet on one Redis server, by its clock', { concurrency: 2 }, () => {
  it('gives the jobs of a killed server to another one when its lease is over, with the defaults', async (t) => {
    const fleet = await Fleet.found(t, place);
    await fleet.inspector.configure(long.queue, { events: 100 });
    const lease = 15_000;
    const first = await fleet.server({ queues: ['long'], lease });
    const handle = await fleet.client.enqueue(long, null);
    await fleet.event(({ kind }) => kind === 'progress');
    const second = await fleet.server({ queues: ['long'], lease });
    await fleet.kill(first);
    const killed = performance.now();
    assert.deepEqual(await handle.result(), { by: second.pid });
    const took = performance.now() - killed;
    // A beat may have been the last thing it did, and the other one looks with each of its own.
    assert.ok(took < lease + lease / 3 + 1_000, `took ${took} ms`);
    t.diagnostic(`${Math.round(took)} ms`);
  });

  it('goes on in order where the clocks of the machines are wrong by an hour', async (t) => {
    const fleet = await Fleet.found(t, place);
    const every = 200;
    const keys = ['ada', 'bob'];
    const numbers = Array.from({ length: 10 }, (_, n) => n);
    const queues = ['ticks', 'steps', 'only', 'cancel'];
    const [ahead, behind] = await Promise.all([
      fleet.server({ queues, skew: HOUR }),
      fleet.server({ queues, skew: -HOUR }),
    ]);

    // Attempts that fail are made again soon, and jobs with a delay wait as long as it says.
    await fleet.client.enqueueMany(
      step,
      numbers.flatMap((n) => keys.map((key) => ({ key, n }))),
    );
    await fleet.producers(1, { skew: HOUR, delay: 50 });
    await fleet.producers(1, { skew: -HOUR, delay: 50 });
    await fleet.read((lines) => {
      const ended = lines.filter(({ what }) => what === 'end');
      const steps = ended.filter(({ key }) => key !== undefined);
      // Those with n % 3 === 1 need three attempts.
      return steps.length === 2 * (10 + 2 * 3) && ended.length > steps.length + 3;
    });

    const begun = Date.now();
    await fleet.client.schedule('pulse', tick, null, { every, catchUp: 'all' });
    const ticks = await fleet.read((lines) => {
      const found = lines.filter(({ what }) => what === 'tick');
      return found.length >= 10 && found;
    });
    await fleet.client.unschedule('pulse');
    const moments = ticks.map(({ n = 0 }) => n);
    assert.equal(new Set(moments).size, moments.length, 'no tick twice');
    for (const at of moments) assert.ok(at >= begun - every && at <= Date.now(), `a tick of ${at}, begun at ${begun}`);

    const handle = await fleet.client.enqueue(single, null);
    const begins = [ahead, behind].map((server) => server.hear('begun', handle.id).then(() => server));
    const holder = await Promise.any(begins);
    assert.equal(await handle.cancel('enough'), true);
    const acted = performance.now();
    const { at } = await holder.hear('aborted', handle.id);
    assert.ok(at - acted < 1_000, `took ${at - acted} ms`);
    // Nobody was taken for dead.
    assert.equal((await fleet.backend.servers()).length, 2);
  });
});
