import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inRounds } from '../rounds.ts';
import { atLeast, atMost, formatTable } from '../table.ts';
import { best, column, type Figures, quantile, ratio, ratioColumn, summarise } from './figures.ts';
import { localPools } from './local.ts';
import { measureInChild } from './measure.ts';
import { measures } from './measures/index.ts';
import { exchanges } from './payloads.ts';
import { sections, shrink } from './sections.ts';
import { openThreads, threadPools } from './threads.ts';

const all = Object.values(sections)
  .flat()
  .flatMap((section) => section.contenders.map((contender) => ({ section, ...contender })));
/** A run in this process, of a contender that needs no package. */
const measure = (name: string, pool: string, jobs: number): Promise<Figures> => {
  const run = measures[name];
  assert.ok(run);
  return run({ measure: name, pool, jobs });
};

describe('the statistics of the bench', () => {
  it('takes the median of each figure by itself, of those runs that have it', () => {
    const runs = [{ a: 3, b: 1 }, { a: 1 }, { a: 2, b: 5 }];
    assert.deepEqual(summarise(runs), { a: 2, b: 1 });
    assert.deepEqual(summarise([]), {});
  });

  it('tells quantiles as values that were measured', () => {
    const values = Float64Array.from({ length: 100 }, (_, i) => 100 - i);
    assert.equal(quantile(values, 0.5), 50);
    assert.equal(quantile(values, 0.99), 99);
    assert.equal(quantile(values, 1), 100);
    assert.equal(quantile(Float64Array.of(7), 0.5), 7);
  });

  it('compares only what was run', () => {
    const medians = new Map<string, Figures>([
      ['one', { rate: 10 }],
      ['two', { rate: 40 }],
      ['three', {}],
    ]);
    assert.equal(best(medians, ['one', 'two', 'three', 'none'], 'rate'), 40);
    assert.equal(best(medians, ['three', 'none'], 'rate'), undefined);
    assert.equal(ratio(10, 40), 0.25);
    assert.equal(ratio(undefined, 40), undefined);
  });

  it('says of each target whether it is met, missed, or was not looked at', () => {
    assert.equal(atLeast('rate', 2.5, 2.5), 'rate: 2.50 (target ≥ 2.50: met)');
    assert.equal(atLeast('rate', 2.4, 2.5), 'rate: 2.40 (target ≥ 2.50: MISSED)');
    assert.equal(atMost('bytes', 400, 400), 'bytes: 400 (target ≤ 400: met)');
    assert.equal(atMost('bytes', 401, 400), 'bytes: 401 (target ≤ 400: MISSED)');
    assert.equal(atMost('bytes', undefined, 400), 'bytes: not run (target ≤ 400)');
  });

  it('prints rows beside each other, with their ratio to one of them, and no column that is empty', () => {
    const rows = new Map<string, Figures>([
      ['ours', { rate: 3000 }],
      ['theirs', { rate: 1000 }],
    ]);
    const columns = [column('jobs/s', 'rate'), ratioColumn('rate'), column('bytes', 'bytes')];
    assert.deepEqual(formatTable(columns, rows, 'theirs').split('\n'), [
      '|        | jobs/s | ratio |',
      '|--------|--------|-------|',
      '| ours   |  3,000 |  3.00 |',
      '| theirs |  1,000 |  1.00 |',
    ]);
  });

  it('lets contenders take turns, and one that fails sit out', async () => {
    const turns: string[] = [];
    const contenders = [{ name: 'a' }, { name: 'b' }];
    const runOnce = async ({ name }: { name: string }) => {
      turns.push(name);
      if (name === 'b') throw new Error('broken');
      return turns.length;
    };
    const told: string[] = [];
    const runs = await inRounds(contenders, 3, runOnce, ({ name }, round, run) =>
      told.push(`${name}${round} ${run instanceof Error ? run.message : run}`),
    );
    assert.deepEqual(turns, ['a', 'b', 'a', 'a']);
    assert.deepEqual(Object.fromEntries(runs), { a: [1, 3, 4], b: [] });
    assert.deepEqual(told, ['a1 1', 'b1 broken', 'a2 3', 'a3 4']);
  });
});

describe('the sections', () => {
  it('name measures, pools, tasks and payloads that exist', () => {
    for (const { name, spec } of all) {
      assert.ok(spec.measure in measures, `${name}: no measure "${spec.measure}"`);
      if (spec.measure === 'fan-in') continue; // has ways of its own; the next test runs ours
      assert.ok(spec.pool in (spec.threads ? threadPools : localPools), `${name}: no pool "${spec.pool}"`);
      if (!spec.task) continue;
      assert.ok(existsSync(new URL(`./tasks/${spec.task}.ts`, import.meta.url)), `${name}: no task "${spec.task}"`);
      if (spec.measure !== 'abort') assert.ok(spec.task in exchanges, `${name}: no payload for "${spec.task}"`);
    }
  });

  it('give each contender of a table a name of its own, and every rival its package', () => {
    const ours = ['bare', 'millrace', 'millrace ordered'];
    for (const section of Object.values(sections).flat()) {
      const names = section.contenders.map(({ name }) => name);
      assert.equal(new Set(names).size, names.length, section.title);
    }
    for (const { name, peer, spec } of all) assert.equal(peer === undefined, ours.includes(spec.pool), name);
  });

  it('have a verdict without a figure, which says that nothing was run', () => {
    for (const section of Object.values(sections).flat()) {
      const verdicts = section.verdicts(new Map());
      assert.ok(
        verdicts.some((line) => line.includes('not run')),
        section.title,
      );
      assert.ok(!verdicts.some((line) => /\bmet\b|MISSED/.test(line)), section.title);
    }
  });

  it('shrink to a hundredth, never to nothing', () => {
    assert.equal(shrink({ measure: 'backlog', pool: 'bare', jobs: 500_000 }, 100).jobs, 5_000);
    assert.equal(shrink({ measure: 'abort', pool: 'bare', jobs: 20 }, 100).jobs, 4);
    assert.equal(shrink({ measure: 'abort', pool: 'bare', jobs: 2 }, 100).jobs, 2);
  });

  it('send objects of about 220 bytes there and back', async () => {
    const { default: object } = await import('./tasks/object.ts');
    for (const number of [0, 199_999]) {
      const picture = exchanges.object?.payload(number) as Parameters<typeof object>[0];
      for (const each of [picture, object(picture)]) {
        const { length } = JSON.stringify(each);
        assert.ok(length > 205 && length < 235, `${length} bytes`);
      }
    }
  });
});

describe('the measures', () => {
  for (const pool of ['bare', 'millrace']) {
    for (const name of ['backlog', 'steady', 'fan-in']) {
      it(`${name}: every job of ${pool} is run once`, async () => {
        const { jobs, perSecond } = await measure(name, pool, 500);
        assert.equal(jobs, 500);
        assert.ok(perSecond && perSecond > 0);
      });
    }
  }

  it('fan-in: results in order are all there', async () => {
    assert.equal((await measure('fan-in', 'millrace ordered', 500)).jobs, 500);
  });

  it('linear and cancel: look at three lengths of the queue', async () => {
    for (const name of ['linear', 'cancel']) {
      const figures = await measure(name, 'millrace', 1_000);
      assert.deepEqual(Object.keys(figures).sort(), ['growth', 'jobs', 'ns', 'nsAtHundredth', 'nsAtTenth']);
    }
  });

  it('threads without a pool answer all tasks, one by one and in batches', async () => {
    for (const settings of [{}, { batch: 16 }]) {
      const pool = await openThreads('bare', 'add', 2, settings);
      const answers = await pool.backlog?.(Array.from({ length: 100 }, (_, a) => ({ a, b: 1 })));
      assert.deepEqual(
        answers?.map(Number).sort((x, y) => x - y),
        Array.from({ length: 100 }, (_, i) => i + 1),
      );
      await pool.close?.();
    }
  });
});

describe('the children', () => {
  it('count bytes, with the collector at hand', async () => {
    const { bytes, bytesAtTenth } = await measureInChild({ measure: 'memory', pool: 'millrace', jobs: 1_000 }, 60_000);
    assert.ok(bytes && bytes > 50 && bytes < 10_000, `${bytes}`);
    assert.ok(bytesAtTenth);
  });

  it('find out a pool that runs more than it was told to', async () => {
    await assert.rejects(measureInChild({ measure: 'memory', pool: 'bare', jobs: 100 }, 60_000), {
      message: 'Error: bodies started: 116 instead of 16',
    });
  });

  it('say why they failed', async () => {
    await assert.rejects(measureInChild({ measure: 'nothing', pool: 'bare', jobs: 1 }, 60_000), {
      message: 'Error: no measure is called "nothing"',
    });
  });

  it('are killed when they take too long', async () => {
    const endless = { measure: 'backlog', pool: 'bare', jobs: 1_000_000_000 };
    await assert.rejects(measureInChild(endless, 1), { message: 'not done after 1 ms' });
  });
});
