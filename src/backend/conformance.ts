/**
 * What a backend promises, as sentences that run. Every backend of Millrace passes all of them; one of your own should:
 *
 *   import { conformance } from 'millrace/conformance';
 *   conformance('my backend', { open: async () => ({ backend, advance: (ms) => clock.advance(ms) }) });
 *
 * And to compare it with a reference model through long random runs (the harness then tells its clock too):
 *
 *   modelTest('my backend', { open: async () => ({ backend, advance: …, now: () => clock.now() }) });
 *
 * Run it with `node --test`. Each sentence opens a backend of its own and closes it. Nothing sleeps: time is moved with
 * `advance`, and what happens by itself (a listener being called) is awaited.
 */
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { VirtualClock } from '../clock.ts';
import { acting } from './conformance/acting.ts';
import { adding } from './conformance/adding.ts';
import { claiming } from './conformance/claiming.ts';
import { closing } from './conformance/closing.ts';
import { crashing } from './conformance/crashing.ts';
import { fairness } from './conformance/fairness.ts';
import { identity } from './conformance/identity.ts';
import { keeping } from './conformance/keeping.ts';
import { leasing } from './conformance/leasing.ts';
import { limits } from './conformance/limits.ts';
import { listening } from './conformance/listening.ts';
import { managing } from './conformance/managing.ts';
import { ordering } from './conformance/ordering.ts';
import { recording } from './conformance/recording.ts';
import { reporting } from './conformance/reporting.ts';
import { scheduling } from './conformance/scheduling.ts';
import { searching } from './conformance/searching.ts';
import { settling } from './conformance/settling.ts';
import { stopping } from './conformance/stopping.ts';
import { type Harness, opener } from './conformance/support.ts';
import { uniqueness } from './conformance/uniqueness.ts';
import { updating } from './conformance/updating.ts';
import { MemoryBackend } from './memory/memory.ts';

export type { ModelHarness, ModelOpened } from './conformance/model-twins.ts';
export { type ModelOptions, modelTest, replay } from './conformance/modelling.ts';
export type { Harness, Opened } from './conformance/support.ts';

const chapters = [
  adding,
  identity,
  uniqueness,
  claiming,
  ordering,
  fairness,
  limits,
  settling,
  keeping,
  reporting,
  leasing,
  crashing,
  stopping,
  listening,
  managing,
  acting,
  updating,
  searching,
  scheduling,
  recording,
  closing,
];

/**
 * Declares the suite for one backend.
 * @param leftOut sentences that a wire of others cannot keep, each with the reason. They show as skipped; one that there is not
 * fails, so the list stays true
 */
export function conformance(name: string, harness: Harness, leftOut: Readonly<Record<string, string>> = {}): void {
  const open = opener(harness);
  const met = new Set<string>();
  describe(`${name} keeps the backend contract`, () => {
    for (const chapter of chapters) {
      chapter((t, views) => {
        const reason = leftOut[t.name];
        if (reason === undefined) return open(t, views);
        met.add(t.name);
        t.skip(reason);
        return inMemory(t, views); // it runs all the same, and is nobody's failure
      });
    }
    after(() => {
      const unknown = Object.keys(leftOut).filter((sentence) => !met.has(sentence));
      assert.deepEqual(unknown, [], 'sentences that are left out and that there are not');
    });
  });
}

const inMemory = opener({
  async open() {
    const clock = new VirtualClock();
    const backend = new MemoryBackend({ clock });
    await backend.open();
    return { backend, advance: (ms) => clock.advance(ms) };
  },
});
