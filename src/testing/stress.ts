/**
 * Hammers a Service with starts and stops, and asserts the laws that lifecycle.ts promises.
 *
 *   it('survives start and stop in any order', () => stressService(() => new Fetcher(…)));
 *
 * Ten rounds, each on a service of its own: 50 calls of start and stop in a seeded random order, all at once. Takes as
 * long as the slowest start and stop 250 times over; give it a service that starts quickly.
 */
import assert from 'node:assert/strict';
import type { Service } from '../lifecycle.ts';

const ROUNDS = 10;
const CALLS = 50;

export interface StressOptions {
  /** Repeats one order of calls. Integer. Default 1. */
  seed?: number;
  /** Asserts that a stopped service holds nothing. Called after each round. */
  afterStop?: (service: Service) => void | Promise<void>;
}

/** Rejects with an AssertionError when the service breaks a law, or with what its `start` or `stop` rejected with. */
export async function stressService(make: () => Service, options: StressOptions = {}): Promise<void> {
  const random = xorshift(options.seed ?? 1);
  for (let round = 0; round < ROUNDS; round++) {
    const service = make();
    await stopBeforeStartDoesNothing(service);
    await callsSettleInOrder(service, () => random() < 0.5);
    await stopLeavesItStopped(service);
    await options.afterStop?.(service);
  }
}

async function stopBeforeStartDoesNothing(service: Service): Promise<void> {
  assert.equal(service.state, 'idle', 'a new service is idle');
  await Promise.all([service.stop(), service.stop()]);
  assert.equal(service.state, 'idle', 'stop before start changes nothing');
}

/** Every call settles, in the order of the calls, and leaves the service as that call wanted it. */
async function callsSettleInOrder(service: Service, startsNext: () => boolean): Promise<void> {
  const settled: number[] = [];
  const calls = Array.from({ length: CALLS }, async (_, index) => {
    const starts = startsNext();
    await (starts ? service.start() : service.stop());
    settled.push(index);
    // The next call may have begun already, so the state is the one wanted or one on the way from it.
    const after = starts ? ['running', 'stopping'] : ['idle', 'stopped', 'starting'];
    assert.ok(after.includes(service.state), `${starts ? 'start' : 'stop'} left the service ${service.state}`);
  });
  await Promise.all(calls);
  assert.deepEqual(
    settled,
    Array.from(settled, (_, index) => index),
    'calls settle in the order they were made',
  );
}

async function stopLeavesItStopped(service: Service): Promise<void> {
  await Promise.all([service.start(), service.start()]);
  assert.equal(service.state, 'running', 'start twice is start once');
  await Promise.all([service.stop(), service.stop(), service[Symbol.asyncDispose]()]);
  assert.equal(service.state, 'stopped', 'stop leaves it stopped');
}

/** Marsaglia's 32-bit xorshift: small, and the same numbers on every machine. Returns numbers in [0, 1). */
function xorshift(seed: number): () => number {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}
