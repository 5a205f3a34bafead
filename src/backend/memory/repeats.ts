/** The groups whose repeat is to be recognised, each for its time. O(log remembered) per group. */
import type { AddGroup, AddResult } from '../backend.ts';
import { Heap, type Placed } from './heap.ts';

interface Remembered extends Placed {
  readonly key: string;
  readonly fingerprint: string;
  readonly ids: readonly string[];
  readonly until: number;
}

export class Repeats {
  readonly #groups = new Map<string, Remembered>();
  readonly #forgetting = new Heap<Remembered>((a, b) => a.until < b.until);

  /** What the group is answered with, if its key was seen. */
  find(once: NonNullable<AddGroup['once']>, now: number): AddResult | undefined {
    const seen = this.#groups.get(once.key);
    if (!seen || seen.until <= now) return undefined;
    return seen.fingerprint === once.fingerprint ? { status: 'repeated', ids: seen.ids } : { status: 'mismatch' };
  }

  put({ key, fingerprint, ttl }: NonNullable<AddGroup['once']>, ids: readonly string[], now: number): void {
    const before = this.#groups.get(key);
    if (before) this.#forgetting.remove(before);
    const group = { key, fingerprint, ids, until: now + ttl, spot: 0 };
    this.#groups.set(key, group);
    this.#forgetting.push(group);
  }

  /** Forgets what is over, at most `limit`; how many. */
  tidy(now: number, limit: number): number {
    let count = 0;
    for (let group = this.#forgetting.peek(); group && group.until <= now && count < limit; count++) {
      this.#forgetting.pop();
      this.#groups.delete(group.key);
      group = this.#forgetting.peek();
    }
    return count;
  }

  clear(): void {
    this.#groups.clear();
  }
}
