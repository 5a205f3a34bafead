import { basename } from 'node:path';
import { after, before } from 'node:test';
import { type RedisCluster, startCluster } from '../src/testing/redis.ts';
import { fleetSuite } from './support/fleet-suite.ts';

let cluster: RedisCluster;
before(async () => {
  cluster = await startCluster(3);
});
after(() => cluster.stop());

fleetSuite('a Redis cluster', (folder) => `${cluster.url}?namespace=${basename(folder)}`);
