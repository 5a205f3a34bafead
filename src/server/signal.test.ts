/** What a backend may bring along for a server: signals from a dashboard of others, and a back-off of its own. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Backend, Signal } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { fixed, polynomial } from '../job/backoff.ts';
import { defineJob, type JobDefinition } from '../job/job.ts';
import type { ServerEvent } from './events.ts';
import { JobServer } from './server.ts';

async function setup(t: TestContext, jobs: readonly JobDefinition[], parts: Partial<Backend>) {
  const clock = new VirtualClock();
  const memory = new MemoryBackend({ clock });
  await memory.open();
  const get = (_: Backend, name: keyof Backend) => {
    const part = parts[name] ?? memory[name as keyof MemoryBackend];
    return typeof part === 'function' && !(name in parts) ? part.bind(memory) : part;
  };
  const backend = new Proxy<Backend>(memory, { get: get as ProxyHandler<Backend>['get'] & {} });
  const events: ServerEvent[] = [];
  /** From a failure to its retry, ms. */
  const waits: number[] = [];
  const observe = (event: ServerEvent) => {
    events.push(event);
    if (event.type === 'failed') waits.push((event.retryAt ?? 0) - clock.now());
  };
  const server = new JobServer({ backend, jobs, clock, random: () => 0, observe, prefetch: 0 });
  t.after(async () => {
    await server.stop();
    await memory.close();
  });
  const add = () =>
    memory.add([{ jobs: [{ queue: 'default', name: 'a', payload: Buffer.from('1'), priority: 4, maxAttempts: 9 }] }]);
  const told = () => events.flatMap((event) => (event.type === 'signal' ? [event.signal] : []));
  return { clock, memory, events, waits, server, add, told };
}

describe('a signal', () => {
  it('to be quiet ends the claims, once told, and what runs goes on', async (t) => {
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    let signal: Signal | undefined;
    const job = defineJob({ name: 'a', run: () => over });
    const { clock, memory, server, add, told } = await setup(t, [job], { signal: async () => signal });
    await add();
    await server.start();
    await clock.advance(1);
    assert.equal(server.running, 1);
    signal = 'quiet';
    await clock.advance(60_000);
    assert.deepEqual(told(), ['quiet']);
    await add();
    await clock.advance(60_000);
    assert.deepEqual([server.running, server.state], [1, 'running']);
    end();
    await clock.advance(60_000);
    const [counts] = await memory.counts();
    assert.deepEqual([counts?.completed, counts?.available], [1, 1]);
    assert.equal((await memory.servers()).length, 1, 'it still beats');
    signal = undefined;
    await server.stop();
    await server.start();
    await clock.advance(60_000);
    assert.equal((await memory.counts())[0]?.completed, 2, 'a new start claims again');
  });

  it('to stop ends the server as `stop` does', async (t) => {
    let signal: Signal | undefined = 'quiet';
    const job = defineJob({ name: 'a', run: () => undefined });
    const { clock, memory, server, told } = await setup(t, [job], { signal: async () => signal });
    await server.start();
    await clock.advance(60_000);
    signal = 'stop';
    await clock.advance(60_000);
    assert.deepEqual([told(), server.state], [['quiet', 'stop'], 'stopped']);
    assert.deepEqual(await memory.servers(), []);
  });

  it('that cannot be read or obeyed is told as an error of the backend', async (t) => {
    const job = defineJob({ name: 'a', run: () => undefined });
    const signal = async () => 'stop' as const;
    const leave = () => Promise.reject(new Error('no way out'));
    const { clock, server, events } = await setup(t, [job], { signal, leave });
    await server.start();
    await clock.advance(60_000);
    assert.equal(server.state, 'stopped');
    const errors = events.flatMap((event) => (event.type === 'backend-error' ? [event.error.message] : []));
    assert.deepEqual(errors, ['no way out']);
  });
});

describe('the back-off of a backend', () => {
  const retryIn = async (t: TestContext, job: JobDefinition, parts: Partial<Backend>) => {
    const { clock, server, add, waits } = await setup(t, [job], parts);
    await add();
    await server.start();
    await clock.advance(1);
    return waits[0];
  };
  const run = () => Promise.reject(new Error('no'));

  it('is that of jobs which name none, and of no others', async (t) => {
    const backoff = fixed(77_000);
    assert.equal(await retryIn(t, defineJob({ name: 'a', run }), { backoff }), 77_000);
    assert.equal(await retryIn(t, defineJob({ name: 'b', run }), { backoff }), 77_000, 'of an unknown one too');
    assert.equal(await retryIn(t, defineJob({ name: 'a', run, backoff: polynomial() }), { backoff }), 16_000);
    assert.equal(await retryIn(t, defineJob({ name: 'a', run }), {}), 16_000);
  });
});
