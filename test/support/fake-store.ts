/** An `add` for tests of the front door: remembers groups, and does what it is told to. */
import type { AddGroup, AddResult } from '../../src/backend/backend.ts';

export class FakeStore {
  /** What was stored, in order. */
  readonly groups: AddGroup[] = [];
  /** How often `add` was called. */
  calls = 0;
  /** Answers in place of storing, until undefined again. */
  instead: (() => Promise<AddResult>) | undefined;
  readonly #keys = new Map<string, { fingerprint: string; ids: readonly string[] }>();
  #ids = 0;
  #gate: Promise<void> | undefined;

  readonly add = async (group: AddGroup): Promise<AddResult> => {
    this.calls++;
    await this.#gate;
    if (this.instead) return this.instead();
    const { once } = group;
    const known = once && this.#keys.get(once.key);
    if (known)
      return known.fingerprint === once.fingerprint ? { status: 'repeated', ids: known.ids } : { status: 'mismatch' };
    const ids = group.jobs.map(() => `id-${this.#ids++}`);
    if (once) this.#keys.set(once.key, { fingerprint: once.fingerprint, ids });
    this.groups.push(group);
    return { status: 'stored', ids };
  };

  /** The payloads of each stored group, as text. */
  get stored(): string[][] {
    return this.groups.map(({ jobs }) => jobs.map(({ payload }) => Buffer.from(payload).toString()));
  }

  /** Holds what comes from now on back until the returned function is called; it is stored then. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }
}
