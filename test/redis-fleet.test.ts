import { basename } from 'node:path';
import { after, before } from 'node:test';
import { type RedisServer, startRedis } from '../src/testing/redis.ts';
import { fleetSuite } from './support/fleet-suite.ts';

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

fleetSuite('one Redis server', (folder) => `${redis.url}?namespace=${basename(folder)}`);
