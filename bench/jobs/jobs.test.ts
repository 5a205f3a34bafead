import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Delivery } from '../delivery.ts';
import { type Letter, letterOf, lettersOf } from '../letters.ts';
import { measureInChild } from './measure.ts';
import { measures } from './measures.ts';
import { peers } from './peers.ts';
import { ceiling, floor, sentence, shrink, targetColumns } from './sections.ts';
import type { Task } from './spec.ts';
import type { Handler, Open } from './system.ts';

/** A queue in memory that does with each job what it is told: run it so many times. */
function queueThatRuns(times: (number: number) => number): Open {
  return async () => {
    const waiting: Letter[] = [];
    let handler: Handler | undefined;
    let running = 0;
    let stopped = false;
    const work = async () => {
      running++;
      for (let letter = waiting.shift(); letter; letter = waiting.shift()) {
        for (let left = times(Number(letter.number)); left > 0; left--) await handler?.(letter);
        await new Promise(setImmediate);
        if (stopped) break;
      }
      running--;
    };
    const add = async (...letters: readonly Letter[]) => {
      waiting.push(...letters);
      if (handler && running === 0) void work();
    };
    return {
      add,
      addMany: (letters) => add(...letters),
      work: async (its) => {
        handler = its;
        void work();
      },
      left: () => waiting.length + running,
      stop: async () => {
        stopped = true;
        while (running > 0) await new Promise(setImmediate);
      },
    };
  };
}

/** With a few jobs behind those that are timed, where that is asked for. */
const task = (measure: string, system: string, jobs: number): Task => ({
  measure,
  system,
  jobs,
  behind: 50,
  idle: 0.01,
  patience: 50,
  folder: '',
});

const run = (measure: string, open: Open, its: Task) => {
  const measured = measures[measure];
  assert.ok(measured);
  return measured(open, its);
};

describe('the judge of a delivery', () => {
  const delivered = (...numbers: number[]) => {
    const delivery = new Delivery(3);
    for (const number of numbers) delivery.arrive(letterOf(number));
    return delivery;
  };

  it('is content when every job was run once, in whatever order', () => {
    delivered(2, 0, 1).verify();
    delivered(2).verify(2);
  });

  it('finds what was lost, what was doubled, and what nobody added', () => {
    const lost = 'of 3 jobs 1 were lost, 0 run more than once, 0 unheard of';
    assert.throws(() => delivered(0, 2).verify(), { message: lost });
    const doubled = 'of 3 jobs 0 were lost, 1 run more than once, 0 unheard of';
    assert.throws(() => delivered(0, 1, 2, 1).verify(), { message: doubled });
    assert.throws(() => delivered(0, 1, 2, 3).verify(), /1 unheard of/);
  });

  it('is not deceived by a job that was run twice in place of another', () => {
    const both = 'of 3 jobs 1 were lost, 1 run more than once, 0 unheard of';
    assert.throws(() => delivered(0, 1, 1).verify(), { message: both });
  });

  it('finds a job that is neither run nor left, and one that is both', () => {
    assert.throws(() => delivered(0).verify(1), /1 were lost/);
    assert.throws(() => delivered(0, 1).verify(2), /-1 were lost/);
  });

  it('tells the moment at which so many were run', async () => {
    const delivery = delivered(0);
    const before = performance.now();
    const moments = Promise.all([delivery.when(3), delivery.when(1)]);
    delivery.arrive(letterOf(1));
    delivery.arrive(letterOf(2));
    for (const at of await moments) assert.ok(at >= before && at <= performance.now());
  });
});

describe('the measures', () => {
  for (const name of Object.keys(measures)) {
    it(`${name}: passes a queue that runs each job once`, async () => {
      const figures = await run(
        name,
        queueThatRuns(() => 1),
        task(name, 'sound', 20),
      );
      assert.equal(figures.jobs, 20);
      assert.ok((figures.perSecond ?? figures.p50 ?? 0) > 0);
    });

    it(`${name}: catches a queue that loses a job`, async () => {
      const loses = queueThatRuns((number) => (number === 7 ? 0 : 1));
      await assert.rejects(run(name, loses, task(name, 'loses', 20)), /lost|runs, and/);
    });

    it(`${name}: catches a queue that runs a job twice`, async () => {
      const doubles = queueThatRuns((number) => (number === 7 ? 2 : 1));
      await assert.rejects(run(name, doubles, task(name, 'doubles', 20)), /1 run more than once|runs, and/);
    });
  }

  it('do not take the word of a queue that stores less than it was given', async () => {
    const forgetful: Open = async (its) => {
      const system = await queueThatRuns(() => 1)(its);
      return { ...system, add: (letter) => (letter.number.endsWith('7') ? undefined : system.add(letter)) };
    };
    const message = '20 jobs wait where 22 were added';
    await assert.rejects(run('add', forgetful, task('add', 'forgetful', 20)), { message });
  });
});

describe('a quick look', () => {
  it('shrinks to a hundredth, never to nothing', () => {
    const spec = { measure: 'waiting', system: 'bare-sqlite', jobs: 50_000, behind: 1_000_000 };
    assert.deepEqual(shrink(spec, 100), { ...spec, jobs: 500, behind: 10_000, idle: 0.2 });
    assert.equal(shrink({ ...spec, jobs: 20 }, 100).jobs, 5);
  });
});

describe('a target', () => {
  it('is met at its bound, missed beyond it, and neither without a figure', () => {
    assert.equal(sentence(floor('rate', 5, 5)), 'rate: 5.00 (target ≥ 5.00: met)');
    assert.equal(sentence(floor('rate', 4.9, 5)), 'rate: 4.90 (target ≥ 5.00: MISSED)');
    assert.equal(sentence(ceiling('cost', 1.2, 1.2)), 'cost: 1.20 (target ≤ 1.20: met)');
    assert.equal(sentence(ceiling('cost', 1.3, 1.2)), 'cost: 1.30 (target ≤ 1.20: MISSED)');
    assert.equal(sentence(ceiling('cost', undefined, 1.2)), 'cost: not run (target ≤ 1.20)');
    const marks = [floor('', 5, 5), floor('', 4, 5), floor('', undefined, 5)].map((target) =>
      targetColumns.map(([, cell]) => cell(target, undefined)),
    );
    assert.deepEqual(marks, [
      ['≥ 5.00', '5.00', 'met'],
      ['≥ 5.00', '4.00', '**missed**'],
      ['≥ 5.00', '–', 'not run'],
    ]);
  });
});

describe('the peers', () => {
  it('stand with exact versions in a lock file, and without the address of a registry', () => {
    for (const [peer, packages] of Object.entries(peers)) {
      const read = (file: string) => readFileSync(new URL(`./peers/${peer}/${file}`, import.meta.url), 'utf8');
      const { dependencies } = JSON.parse(read('package.json'));
      const locked = JSON.parse(read('package-lock.json')).packages;
      for (const name of packages) assert.match(dependencies[name] ?? '', /^\d+\.\d+\.\d+$/, `${peer}: ${name}`);
      for (const [name, version] of Object.entries(dependencies)) {
        assert.equal(locked[`node_modules/${name}`]?.version, version, `${peer}: ${name}`);
      }
      assert.ok(!read('package-lock.json').includes('"resolved"'), peer);
    }
  });
});

describe('the children', () => {
  const options = { limit: 60_000, folder: tmpdir() };

  it('say why they failed, and leave no folder', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const nothing = { measure: 'nothing', system: 'bare-sqlite', jobs: 1 };
    const message = 'Error: no measure is called "nothing"';
    await assert.rejects(measureInChild(nothing, undefined, { ...options, folder }), { message });
    const nobody = { measure: 'add', system: 'nobody', jobs: 1 };
    await assert.rejects(measureInChild(nobody, undefined, options), {
      message: 'Error: no system is called "nobody"',
    });
    assert.deepEqual(readdirSync(folder), []);
  });

  it('are killed when they take too long', async () => {
    const endless = { measure: 'add', system: 'bare-sqlite', jobs: 100_000_000 };
    await assert.rejects(measureInChild(endless, undefined, { ...options, limit: 1 }), {
      message: 'not done after 1 ms',
    });
  });
});

describe('the letters', () => {
  it('are 223 bytes of JSON, whatever their number', () => {
    for (const letter of [...lettersOf(0, 2), letterOf(9_999_999)]) assert.equal(JSON.stringify(letter).length, 223);
  });
});
