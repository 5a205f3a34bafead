/** Pools of functions: how many jobs a second, by two ways to submit and one to fan in. */
import type { Figures, Spec } from '../figures.ts';
import { openLocal } from '../local.ts';
import { load } from '../peers.ts';
import { backlogOf, CONCURRENCY, collectGarbage, counter, expect, timed, warmUp } from './common.ts';

/** Loops of `steady`: more than run at once, so that some always wait. */
const LOOPS = 64;

/** Submits all jobs, then waits for all. */
export async function backlog({ pool: name, jobs }: Spec): Promise<Figures> {
  const { body, calls } = counter();
  const pool = await openLocal(name, body, CONCURRENCY);
  await backlogOf(pool, warmUp(jobs));
  collectGarbage();
  const seconds = await timed(() => backlogOf(pool, jobs));
  expect('bodies run', calls(), jobs + warmUp(jobs));
  return { jobs, perSecond: jobs / seconds };
}

/** Loops that await each submit before the next: never more than 64 jobs in the pool. */
export async function steady({ pool: name, jobs, settings }: Spec): Promise<Figures> {
  const { body, calls } = counter();
  const pool = await openLocal(name, body, CONCURRENCY);
  const loops = Number(settings?.loops ?? LOOPS);
  const run = (total: number) => {
    let left = total;
    const loop = async () => {
      while (left-- > 0) await pool.submit();
    };
    return Promise.all(Array.from({ length: loops }, loop));
  };
  await run(warmUp(jobs));
  collectGarbage();
  const seconds = await timed(() => run(jobs));
  expect('bodies run', calls(), jobs + warmUp(jobs));
  return { jobs, perSecond: jobs / seconds };
}

type Mapper = (source: Iterable<number>, handler: (job: number) => Promise<number>) => Promise<{ sum: number }>;

/** Ways from a source of numbers to all results; each reads them one by one, as they come. */
const mappers: Readonly<Record<string, () => Promise<Mapper>>> = {
  bare: async () => async (source, handler) => {
    let sum = 0;
    for (const job of source) sum += await handler(job);
    return { sum };
  },

  millrace: () => throughRun(false),
  'millrace ordered': () => throughRun(true),

  'p-map iterable': async () => {
    const { pMapIterable } = await load('p-map');
    return async (source, handler) => {
      let sum = 0;
      for await (const value of pMapIterable(source, handler, { concurrency: CONCURRENCY })) sum += value;
      return { sum };
    };
  },

  'p-map': async () => {
    const { default: pMap } = await load('p-map');
    return async (source, handler) => {
      let sum = 0;
      for (const value of await pMap(source, handler, { concurrency: CONCURRENCY })) sum += value;
      return { sum };
    };
  },
};

async function throughRun(ordered: boolean): Promise<Mapper> {
  const { Pool } = await import('../../../src/pool/pool.ts');
  const pool = new Pool({ workers: CONCURRENCY });
  return async (source, handler) => {
    let sum = 0;
    for await (const result of pool.run(source, handler, { ordered })) {
      if (result.status === 'fulfilled') sum += result.value;
    }
    return { sum };
  };
}

/** A generator of numbers through a handler, every result read. */
export async function fanIn({ pool: name, jobs }: Spec): Promise<Figures> {
  const open = mappers[name];
  if (!open) throw new Error(`no fan-in is called "${name}"`);
  const map = await open();
  const handler = async (job: number) => job + 1;
  await map(numbers(warmUp(jobs)), handler);
  collectGarbage();
  let total = 0;
  const seconds = await timed(async () => {
    total = (await map(numbers(jobs), handler)).sum;
  });
  expect('sum of the results', total, (jobs * (jobs + 1)) / 2);
  return { jobs, perSecond: jobs / seconds };
}

function* numbers(count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}
