import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { carry } from '../job/carry.ts';
import { defineJob, type JobContext } from '../job/job.ts';
import { setup } from './fixtures/support.ts';
import type { PerformMiddleware } from './middleware.ts';
import { compose, passTogether } from './middleware.ts';

const context = {} as JobContext;

describe('compose', () => {
  it('is nothing when there is nothing to compose', () => assert.equal(compose([]), undefined));

  it('runs the first outermost, around the body', async () => {
    const log: string[] = [];
    const layer =
      (name: string): PerformMiddleware =>
      async (_, next) => {
        log.push(`${name} in`);
        await next();
        log.push(`${name} out`);
      };
    const value = await compose([layer('a'), layer('b')])?.(context, async () => {
      log.push('body');
      return 1;
    });
    assert.deepEqual(log, ['a in', 'b in', 'body', 'b out', 'a out']);
    assert.equal(value, 1, 'a layer that returns nothing leaves the result');
  });

  it('lets a layer replace the result, answer for the body, and deal with its error', async () => {
    const replaces: PerformMiddleware = async (_, next) => `${await next()}!`;
    const answers: PerformMiddleware = async () => 'instead';
    const catches: PerformMiddleware = (_, next) => next().catch((error: Error) => error.message);
    const swallows: PerformMiddleware = async (_, next) => void (await next().catch(() => undefined));
    const fails = async () => Promise.reject(new Error('no'));
    assert.equal(await compose([replaces])?.(context, async () => 'yes'), 'yes!');
    assert.equal(await compose([replaces, answers])?.(context, fails), 'instead!');
    assert.equal(await compose([replaces, catches])?.(context, fails), 'no!');
    assert.equal(await compose([swallows])?.(context, fails), undefined);
  });

  it('runs the body once, however often next is called, and waits for it when a layer does not', async () => {
    let runs = 0;
    const twice: PerformMiddleware = async (_, next) => [await next(), await next()];
    assert.deepEqual(await compose([twice])?.(context, async () => ++runs), [1, 1]);
    const hasty: PerformMiddleware = async (_, next) => void next();
    const fails = () => new Promise((_, reject) => setImmediate(reject, new Error('seen')));
    await assert.rejects(async () => compose([hasty])?.(context, fails), /seen/);
  });
});

describe('passTogether', () => {
  const members = [1, 2, 3].map((n) => ({ job: { id: `${n}` } as JobContext, n }));
  const doubled = async (given: readonly { n: number }[]) =>
    given.map(({ n }) => (n === 3 ? { error: new Error('three') } : { value: 2 * n }));

  it('gives each its own end, and runs those together that came through', async () => {
    const calls: number[][] = [];
    const ends = await passTogether(
      members,
      async ({ id }, next) => (id === '1' ? 'answered' : `${await next()}`),
      (given) => {
        calls.push(given.map(({ n }) => n));
        return doubled(given);
      },
    );
    assert.deepEqual(calls, [[2, 3]]);
    assert.deepEqual(ends, [{ value: 'answered' }, { value: '4' }, { error: new Error('three') }]);
  });

  it('does not call the batch when nobody comes', async () => {
    const stop: PerformMiddleware = () => Promise.reject(new Error('closed'));
    const ends = await passTogether(members, stop, () => assert.fail('called'));
    assert.deepEqual(
      ends.map((end) => 'error' in end && (end.error as Error).message),
      ['closed', 'closed', 'closed'],
    );
  });
});

describe('the middleware of a server', () => {
  it('goes around single jobs and each job of a batch, and sees what they throw', async () => {
    const log: string[] = [];
    const spy: PerformMiddleware = async (job, next) => {
      try {
        return await next();
      } catch (error) {
        log.push(`${job.name} ${(error as Error).message}`);
        throw error;
      }
    };
    const single = defineJob({ name: 'single', maxAttempts: 1, run: (_: null) => Promise.reject(new Error('no')) });
    const run = async (items: readonly { payload: unknown }[]) =>
      items.map(({ payload }) => (payload === 2 ? { error: new Error('not 2') } : { value: payload }));
    const batch = defineJob({ name: 'batch', maxAttempts: 1, batch: { size: 2, run } });
    const { server, client, counted, seen, end } = await setup([single, batch], { middleware: [spy] });
    await client.enqueue(single, null);
    await client.enqueueMany(batch, [1, 2]);
    await server.start();
    await counted('discarded', 2);
    const [done] = await seen('completed');
    assert.equal(done?.value, 1);
    assert.deepEqual(log.sort(), ['batch not 2', 'single no']);
    await end();
  });

  it('sees a payload that cannot be decoded, and replaces results before they are kept', async () => {
    const errors: unknown[] = [];
    const layer: PerformMiddleware = async (_, next) => {
      const value = await next().catch((error) => {
        errors.push(error);
        throw error;
      });
      return { wrapped: value };
    };
    const job = defineJob({ name: 'a', maxAttempts: 1, keepFor: 60_000, run: (n: number) => n });
    const { backend, server, client, counted, end } = await setup([job], { middleware: [layer] });
    const { id } = await client.enqueue(job, 7);
    const broken = { queue: 'default', name: 'a', payload: Buffer.from('{'), priority: 4, maxAttempts: 1 };
    await backend.add([{ jobs: [broken] }]);
    await server.start();
    await counted('completed', 1);
    await counted('discarded', 1);
    assert.equal(Buffer.from((await backend.get(id))?.result ?? []).toString(), '{"wrapped":7}');
    assert.ok(errors[0] instanceof SyntaxError);
    await end();
  });

  it('carries a context from the enqueue to the body', async () => {
    const store = new AsyncLocalStorage<string>();
    const { enqueue, perform } = carry({
      header: 'tenant',
      capture: () => store.getStore(),
      restore: (value, run) => store.run(value, run),
    });
    const job = defineJob({ name: 'a', run: (_: null) => store.getStore() });
    const { Client } = await import('../client/client.ts');
    const { backend, clock, server, seen, end } = await setup([job], { middleware: [perform] });
    const client = new Client({ backend, clock, middleware: [enqueue] });
    await server.start();
    await store.run('acme', () => client.enqueue(job, null));
    const [done] = await seen('completed');
    assert.equal(done?.value, 'acme');
    await client.close();
    await end();
  });
});
