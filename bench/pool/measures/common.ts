/** What the measures share. */
import type { LocalPool } from '../local.ts';

/** Jobs that run at once, in every pool of functions. */
export const CONCURRENCY = 16;

/** Counts its calls, and does nothing else. */
export function counter(): { readonly body: () => Promise<void>; readonly calls: () => number } {
  let calls = 0;
  return {
    body: async () => {
      calls++;
    },
    calls: () => calls,
  };
}

/** A body that waits until `open` is called, and counts. */
export function gate(): {
  readonly body: () => Promise<void>;
  readonly calls: () => number;
  readonly open: () => void;
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  return {
    body: () => {
      calls++;
      return promise;
    },
    calls: () => calls,
    open: resolve,
  };
}

/** Seconds that `work` takes. */
export async function timed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

/** Submits all, then waits for all. */
export async function backlogOf(pool: LocalPool, jobs: number): Promise<void> {
  if (pool.backlog) return pool.backlog(jobs);
  const promises: Promise<unknown>[] = [];
  for (let i = 0; i < jobs; i++) promises.push(pool.submit());
  await Promise.all(promises);
}

/** A figure of a pool that lost or doubled a job would be worth nothing. */
export function expect(what: string, got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`${what}: ${got} instead of ${wanted}`);
}

/** Fewer than this many jobs warm nothing up; more would only take time. */
export const warmUp = (jobs: number) => Math.min(20_000, Math.ceil(jobs / 4));

/** Needs `--expose-gc`; without it the heap is as it is. Twice: the first frees what the second can collect. */
export function collectGarbage(): void {
  globalThis.gc?.();
  globalThis.gc?.();
}
