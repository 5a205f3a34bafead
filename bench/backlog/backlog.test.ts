import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory/memory.ts';
import { measures } from '../jobs/measures.ts';
import { systems } from '../jobs/systems.ts';
import { costOf } from './cost.ts';
import { sections } from './sections.ts';
import { variants } from './variants.ts';

const all = Object.values(sections({ large: true })).flat();
const task = { backend: 'memory', waiting: 300, rounds: 2 } as const;

/** The cost on a backend some of whose calls are others. */
async function costWith(change: (backend: Backend) => Partial<Backend>, variant = 'fifo') {
  const backend: Backend = new MemoryBackend();
  await backend.open();
  const changed: Backend = new Proxy(backend, {
    get: (target, name) => {
      const call = Reflect.get(change(target), name) ?? Reflect.get(target, name);
      return typeof call === 'function' ? call.bind(target) : call;
    },
  });
  try {
    return await costOf(changed, { ...task, variant });
  } finally {
    await backend.close();
  }
}

describe('the cost of a line', () => {
  for (const variant of Object.keys(variants)) {
    it(`${variant}: is told for each operation`, async () => {
      const { waiting, rss, ...operations } = await costWith(() => ({}), variant);
      assert.equal(waiting, 300);
      assert.deepEqual(Object.keys(operations), ['add', 'claim', 'settle', 'cancel']);
      for (const [name, cost] of Object.entries(operations)) assert.ok(cost > 0, name);
    });
  }

  it('is not told of a backend that gives a job twice', async () => {
    const twice = (backend: Backend) => ({
      claim: async (request: Parameters<Backend['claim']>[0]) => {
        const { jobs } = await backend.claim({ ...request, limit: request.limit - 1 });
        return { jobs: [...jobs, ...jobs.slice(0, 1)] };
      },
      settle: async (server: string, outcomes: Parameters<Backend['settle']>[1]) => {
        await backend.settle(server, outcomes);
        return outcomes.map(() => 'taken' as const);
      },
    });
    await assert.rejects(costWith(twice), { message: '202 jobs were claimed more than once' });
  });

  it('is not told of a backend that loses a job', async () => {
    const loses = (backend: Backend) => ({
      counts: async () => (await backend.counts()).map((queue) => ({ ...queue, available: queue.available - 1 })),
    });
    await assert.rejects(costWith(loses), { message: '299 jobs are available where 300 should be' });
  });

  it('is not told of a backend that takes no outcome, claims less or cancels less', async () => {
    const stale = () => ({ settle: async () => ['stale' as const] });
    await assert.rejects(costWith(stale), { message: 'an outcome was not taken' });
    const nothing = () => ({ claim: async () => ({ jobs: [] }) });
    await assert.rejects(costWith(nothing), { message: '0 jobs claimed where 100 were asked for' });
    const deaf = () => ({ act: async () => ({ count: 0 }) });
    await assert.rejects(costWith(deaf), { message: '0 jobs cancelled where 100 should have been' });
  });
});

describe('the tables', () => {
  it('name variants, measures and systems that exist', () => {
    for (const contender of all.flatMap(({ contenders }) => contenders)) {
      if ('cost' in contender) assert.ok(contender.cost.variant in variants);
      else assert.ok(contender.server.measure in measures && contender.server.system in systems);
    }
  });

  it('grow to ten million in files only, and shrink to a hundredth', () => {
    const longest = (extent: Parameters<typeof sections>[0], name: string) =>
      sections(extent)[name]?.[0]?.contenders.at(-1)?.name;
    assert.equal(longest({}, 'sqlite'), '1,000,000 waiting');
    assert.equal(longest({ large: true }, 'sqlite'), '10,000,000 waiting');
    assert.equal(longest({ large: true }, 'memory'), '1,000,000 waiting');
    assert.equal(longest({ quick: true }, 'memory'), '10,000 waiting');
  });

  it('compare the dearest line with the shortest', () => {
    const section = sections().memory?.[0];
    const row = (claim: number) => ({ add: 1, claim, settle: 1, cancel: 1 });
    const costs = [10, 11, 14, 12];
    const medians = new Map(section?.contenders.map(({ name }, i) => [name, row(costs[i] as number)]));
    const verdict = section?.verdicts(medians)[1];
    assert.equal(verdict, 'memory, fifo: claim, the dearest line ÷ the shortest: 1.40 (target ≤ 1.20: MISSED)');
  });

  it('say that nothing was run when nothing was', () => {
    for (const section of all) {
      for (const line of section.verdicts(new Map())) assert.match(line, /not run/);
    }
  });
});
