/**
 * Whatever is asked of a backend, in whatever order, it answers as the reference model does.
 *
 *   modelTest('my backend', harness, { sequences: 200, steps: 200 });
 *
 * After each command the two answers are compared, and now and then all that can be seen. A run that finds something is
 * made shorter and printed as code. MILLRACE_SEED=n repeats one; besides the fixed seeds each test has a fresh one, named
 * in its title.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { asCode, type Command, commandsOf, lesser } from './model-commands.ts';
import { type ModelHarness, Twins } from './model-twins.ts';

export interface ModelOptions {
  /** Runs with fixed seeds. Default 100. */
  readonly sequences?: number;
  /** Commands of a run. Default 200. */
  readonly steps?: number;
}

/** Declares the tests for one backend. */
export function modelTest(name: string, harness: ModelHarness, options: ModelOptions = {}): void {
  const { sequences = 100, steps = 200 } = options;
  const given = process.env.MILLRACE_SEED;
  const fresh = given === undefined ? Date.now() % 1_000_000_000 : Number(given);
  assert.ok(Number.isInteger(fresh), 'MILLRACE_SEED should be an integer');
  const check = async (seed: number) => {
    const found = await counterexample(harness, commandsOf(seed, steps));
    if (found) assert.fail(`${name} disagrees with the model (MILLRACE_SEED=${seed}): ${found}`);
  };
  describe(`${name} answers as the model does`, () => {
    it(`with the fresh seed ${fresh}`, () => check(fresh));
    if (given !== undefined) return;
    it(`with the seeds 0 to ${sequences - 1}`, async () => {
      for (let seed = 0; seed < sequences; seed++) await check(seed);
    });
  });
}

/**
 * Rejects with an AssertionError when the backend answers otherwise than the model.
 * @param seen gets the word for each command, state and answer that the run came to
 */
export async function replay(
  harness: ModelHarness,
  commands: readonly Command[],
  seen = new Set<string>(),
): Promise<void> {
  const twins = new Twins(await harness.open(), seen);
  try {
    for (const [i, command] of commands.entries()) {
      await twins.perform(command).catch((error: Error) => {
        throw Object.assign(error, { at: i });
      });
    }
    await twins.perform({ do: 'look' });
  } finally {
    await twins.close();
  }
}

/** Longest time to make a run shorter, ms. */
const SHRINKING = 25_000;

/** Undefined when the backend agrees; else what it said, and the shortest run found that shows it. */
export async function counterexample(harness: ModelHarness, commands: readonly Command[]) {
  const failure = (some: readonly Command[]) =>
    replay(harness, some).then(
      () => undefined,
      (error: Error & { at?: number }) => error,
    );
  let error = await failure(commands);
  if (!error) return undefined;
  let best = commands.slice(0, (error.at ?? commands.length) + 1);
  const until = performance.now() + SHRINKING;
  const better = async (some: readonly Command[]) => {
    const found = performance.now() < until ? await failure(some) : undefined;
    if (!found) return false;
    best = some.slice(0, (found.at ?? some.length) + 1);
    error = found;
    return true;
  };
  for (let length = 0; length !== best.length; ) {
    length = best.length;
    for (let size = length >> 1; size >= 1; size >>= 1) {
      for (let at = best.length - size; at >= 0; at -= size) await better(best.toSpliced(at, size));
    }
    for (let at = best.length - 1; at >= 0; at--) {
      let isLess = true;
      while (isLess && at < best.length) {
        isLess = false;
        for (const each of lesser(best[at] as Command)) {
          isLess = await better(best.with(at, each));
          if (isLess) break;
        }
      }
    }
  }
  return `${error.message}\n\n${asCode(best)}\n`;
}
