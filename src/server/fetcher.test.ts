import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory/memory.ts';
import { VirtualClock } from '../clock.ts';
import { defineJob } from '../job/job.ts';
import { altered, setup, turn, until } from './fixtures/support.ts';

/** A server of two workers that has so many jobs before it, on a backend that answers claims when the test lets it. */
async function house(count: number, prefetch: number) {
  const clock = new VirtualClock();
  const memory: Backend = new MemoryBackend({ clock });
  const story: string[] = [];
  const answers: (() => void)[] = [];
  const claim: Backend['claim'] = async (request) => {
    story.push(`claim ${request.limit}`);
    const answered = Promise.withResolvers<void>();
    answers.push(answered.resolve);
    await answered.promise;
    return memory.claim(request);
  };
  const job = defineJob({ name: 'a', run: (n: number) => void story.push(`run ${n}`) });
  const parts = await setup([job], { backend: altered(memory, { claim }), clock, workers: 2, prefetch });
  await parts.client.enqueueMany(
    job,
    Array.from({ length: count }, (_, n) => n),
  );
  await parts.server.start();
  /** Resolves when the claim of that number is there, and lets it be answered. */
  const answer = async (number: number) => {
    await until(() => answers.length > number);
    answers[number]?.();
  };
  return { ...parts, story, answers, answer };
}

describe('claims', () => {
  it('are on their way while the jobs of the one before run', async () => {
    const { story, answers, answer, counted, server, end } = await house(8, 4);
    await answer(0);
    await until(() => story.includes('run 5'));
    assert.deepEqual(story, ['claim 6', 'run 0', 'run 1', 'run 2', 'run 3', 'claim 2', 'run 4', 'run 5']);
    await answer(1);
    await until(() => story.includes('run 7'));
    // All six had run when the two came, so there was room for more than those.
    assert.deepEqual(story.slice(8), ['claim 4', 'run 6', 'run 7']);
    await counted('completed', 8);
    const stopped = server.stop();
    await turn();
    for (const each of answers) each();
    await stopped;
    await end();
  });

  it('that were answered when the server stops give their jobs back, and run none', async () => {
    const { story, answer, counts, server, end } = await house(8, 4);
    await answer(0);
    const stopped = server.stop();
    await stopped;
    assert.deepEqual(story, ['claim 6']);
    assert.deepEqual(await counts().then(({ available, running }) => [available, running]), [8, 0]);
    await end();
  });
});
