import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';
import { type Clock, VirtualClock } from '../../clock.ts';
import { type RedisServer, startRedis } from '../../testing/redis.ts';
import { settable } from '../../testing/settable.ts';
import { conformance, modelTest } from '../conformance.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link/link.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

/** A set of jobs of its own on the shared server, and a way for a second process to get at it. */
async function open(clock: Clock) {
  const namespace = randomUUID();
  const connect = async () => {
    const backend = new RedisBackend(makeLink(server.url), { clock, namespace });
    await backend.open();
    return backend;
  };
  return { backend: await connect(), second: connect };
}

conformance('redis', {
  async open() {
    const clock = new VirtualClock();
    return { ...(await open(clock)), advance: (ms) => clock.advance(ms) };
  },
});

modelTest(
  'redis',
  {
    async open() {
      const { clock, ...rest } = settable();
      return { ...(await open(clock)), ...rest };
    },
  },
  { sequences: 30 },
);
