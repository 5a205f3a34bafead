/**
 * Generate, fan out, fan in, and stop: the worker pool whose jobs come from a generator, run on a few workers at once, and
 * whose results are gathered from one stream. A signal stops it.
 *
 *   node examples/fan-out.ts            doubles ten numbers on two workers
 *   node examples/fan-out.ts --cancel   stops half way
 */
import { Pool, type Result } from '../src/index.ts';

export interface Summary {
  readonly sum: number;
  /** Jobs that failed, by their reason. */
  readonly failed: readonly string[];
}

/** The jobs; pulled one by one as workers become free, so a source without end would do as well. */
export function* generate(count: number): Generator<number | string> {
  for (let n = 0; n < count; n++) yield n === 7 ? 'seven' : n;
}

/** The work: doubles a number, refuses what is none. */
export async function double(value: number | string): Promise<number> {
  if (typeof value !== 'number') throw new TypeError('wrong argument type');
  return value * 2;
}

/** N jobs in, N results out: each carries the job it belongs to, whether it ended well or not. */
export async function fanOut(options: {
  count: number;
  workers: number;
  signal?: AbortSignal;
  onResult?: (result: Result<number | string, number>) => void;
}): Promise<Summary> {
  const { count, workers, signal, onResult } = options;
  await using pool = new Pool({ workers });
  let sum = 0;
  const failed: string[] = [];
  for await (const result of pool.run(generate(count), double, signal ? { signal } : {})) {
    onResult?.(result);
    if (result.status === 'fulfilled') sum += result.value;
    else failed.push(`${result.job}: ${(result.error as Error).message}`);
  }
  return { sum, failed };
}

if (import.meta.main) {
  const stop = new AbortController();
  const cancelAt = process.argv.includes('--cancel') ? 5 : Number.POSITIVE_INFINITY;
  try {
    const summary = await fanOut({
      count: 10,
      workers: 2,
      signal: stop.signal,
      onResult(result) {
        console.log(
          result.job,
          result.status,
          result.status === 'fulfilled' ? result.value : (result.error as Error).message,
        );
        if (result.index === cancelAt) stop.abort(new Error('somebody pressed cancel'));
      },
    });
    console.log(summary);
  } catch (error) {
    console.log('stopped:', (error as Error).message);
  }
}
