import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';
import { type Clock, VirtualClock } from '../../../clock.ts';
import { type RedisCluster, startCluster } from '../../../testing/redis.ts';
import { settable } from '../../../testing/settable.ts';
import { conformance, modelTest } from '../../conformance.ts';
import { makeLink } from '../link/link.ts';
import { ClusterBackend } from './cluster.ts';

let cluster: RedisCluster;
before(async () => {
  cluster = await startCluster(3);
});
after(() => cluster.stop());

/** A set of jobs of its own on the shared cluster, and a way for a second process to get at it. */
async function open(clock: Clock, shards?: number) {
  const namespace = randomUUID();
  const connect = async () => {
    const backend = new ClusterBackend(makeLink(cluster.url), { clock, namespace, ...(shards && { shards }) });
    await backend.open();
    return backend;
  };
  return { backend: await connect(), second: connect };
}

conformance('redis+cluster', {
  async open() {
    const clock = new VirtualClock();
    // A quarter of the shards opens four times as fast, and the suite opens two hundred times.
    return { ...(await open(clock, 4)), advance: (ms) => clock.advance(ms) };
  },
});

// As many shards as there are by default; the queues of these runs, `q` and `r`, are in different ones.
modelTest(
  'redis+cluster',
  {
    async open() {
      const { clock, ...rest } = settable();
      return { ...(await open(clock)), ...rest };
    },
  },
  { sequences: 10 },
);
