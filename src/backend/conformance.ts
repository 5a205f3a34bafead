/**
 * What a backend promises, as sentences that run. Every backend of Millrace passes all of them; one of your own should:
 *
 *   import { conformance } from 'millrace/conformance';
 *   conformance('my backend', { open: async () => ({ backend, advance: (ms) => clock.advance(ms) }) });
 *
 * Run it with `node --test`. Each sentence opens a backend of its own and closes it. Nothing sleeps: time is moved with
 * `advance`, and what happens by itself (a listener being called) is awaited.
 */
import { describe } from 'node:test';
import { adding } from './conformance/adding.ts';
import { claiming } from './conformance/claiming.ts';
import { closing } from './conformance/closing.ts';
import { leasing } from './conformance/leasing.ts';
import { listening } from './conformance/listening.ts';
import { managing } from './conformance/managing.ts';
import { settling } from './conformance/settling.ts';
import { type Harness, opener } from './conformance/support.ts';

export type { Harness, Opened } from './conformance/support.ts';

/** Declares the suite for one backend. */
export function conformance(name: string, harness: Harness): void {
  const open = opener(harness);
  describe(`${name} keeps the backend contract`, () => {
    for (const chapter of [adding, claiming, settling, leasing, listening, managing, closing]) chapter(open);
  });
}
