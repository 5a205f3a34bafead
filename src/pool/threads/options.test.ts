import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../../errors.ts';
import { type ThreadOptions, toSettings } from './options.ts';

describe('options of threads', () => {
  it('have the defaults that their docs tell', () => {
    const { POSITIVE_INFINITY: never } = Number;
    assert.deepEqual(toSettings({}, 4), {
      window: 'auto',
      concurrency: 1,
      min: 0,
      idleTimeout: never,
      maxTasks: never,
      maxHeap: never,
      abortGrace: 20,
      terminateTimeout: 1_000,
    });
  });

  it('are refused by name when they have a value they cannot have', () => {
    const wrong: Record<string, unknown[]> = {
      window: [-1, 1.5, 'some', 65_537],
      concurrency: [0, Number.POSITIVE_INFINITY],
      min: [-1, 5],
      idleTimeout: [-1, '5', Number.NaN],
      maxTasks: [0, 1.5],
      maxHeap: [0],
      abortGrace: [-1],
      terminateTimeout: [0],
      resourceLimits: [5],
      env: ['A=B'],
      argv: ['--x', [1]],
      execArgv: [{}],
      stdout: [true],
      stderr: [{}],
    };
    for (const [name, values] of Object.entries(wrong)) {
      for (const value of values) {
        assert.throws(
          () => toSettings({ [name]: value } as ThreadOptions, 4),
          (error) => isError(error, 'OPTION_INVALID') && error.fields.option === `threads.${name}`,
          `${name} = ${value}`,
        );
      }
    }
    assert.throws(() => toSettings({ windows: 1 } as ThreadOptions, 4), { code: 'MILLRACE_OPTION_UNKNOWN' });
  });
});
