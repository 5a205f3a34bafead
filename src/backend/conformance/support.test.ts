/** The suite itself, where a backend says that it cannot do all. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MillraceError } from '../../errors.ts';
import type { Backend, Capability } from '../backend.ts';
import { MemoryBackend } from '../memory/memory.ts';
import { capable, opener } from './support.ts';

/** A memory backend that says it lacks keys, and refuses them if `isHonest`. */
function without(isHonest: boolean, reason = 'there is no room for them') {
  return opener({
    async open() {
      const memory = new MemoryBackend();
      await memory.open();
      const lacks: Partial<Record<Capability, string>> = { keys: reason };
      const parts: Partial<Backend> = {
        lacks,
        add: async (groups) => {
          const isKeyed = groups.some(({ jobs }) => jobs.some(({ key }) => key !== undefined));
          if (isKeyed && isHonest) throw new MillraceError('NOT_SUPPORTED', { backend: 'm', what: 'keys', reason });
          return memory.add(groups);
        },
      };
      const get = (_: Backend, name: keyof Backend) => {
        const part = parts[name] ?? memory[name as keyof MemoryBackend];
        return typeof part === 'function' ? part.bind(memory) : part;
      };
      const backend = new Proxy<Backend>(memory, { get: get as ProxyHandler<Backend>['get'] & {} });
      return { backend, advance: () => {} };
    },
  });
}

describe('a sentence about what a backend may lack', () => {
  it('is told of one that has it', async (t: TestContext) => {
    const bench = await capable(without(true), t, 'unique');
    assert.ok(bench);
    assert.deepEqual(await bench.backend.list({}), { jobs: [] });
  });

  it('is not told of one that lacks it and refuses its use', async (t: TestContext) => {
    assert.equal(await capable(without(true), t, 'keys'), undefined);
  });

  it('fails for one that lacks it and takes it all the same', async (t: TestContext) => {
    await assert.rejects(capable(without(false), t, 'keys'), assert.AssertionError);
  });

  it('fails for one that does not say why', async (t: TestContext) => {
    await assert.rejects(capable(without(true, ''), t, 'keys'), /why it lacks it/);
  });
});
