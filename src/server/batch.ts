/**
 * The body of a batch: many jobs in one call, each with an end of its own.
 *
 * A job whose payload another codec has written fails alone, before the call. What the handler throws is the error of all
 * jobs that it was given; so is what a look at a payload throws that cannot be decoded, unless the handler catches it.
 */
import { assertOption } from '../errors.ts';
import { type Codec, codecHeader, json } from '../job/codec.ts';
import type { ItemResult, JobHandler } from '../job/job.ts';
import { type PerformMiddleware, passTogether, type Settled } from './middleware.ts';
import { type Attempt, Item } from './run.ts';

type BatchHandler = Extract<JobHandler<unknown, unknown>, { kind: 'batch' }>;

/** Resolves to an end per attempt, in their order. Never rejects. */
export async function performBatch(
  attempts: readonly Attempt[],
  codec: Codec,
  handler: BatchHandler,
  signal: AbortSignal,
  middleware: PerformMiddleware | undefined,
): Promise<readonly Settled[]> {
  const items = attempts.map((attempt) => new Item(attempt, codec));
  const run = (members: readonly Item[]) => runReadable(members, codec, handler, signal);
  return middleware ? passTogether(items, middleware, run) : run(items);
}

async function runReadable(
  items: readonly Item[],
  codec: Codec,
  handler: BatchHandler,
  signal: AbortSignal,
): Promise<readonly Settled[]> {
  const readable = items.filter((item) => isReadable(item, codec));
  const results = readable.length > 0 ? await call(readable, handler, signal) : [];
  if (readable.length === items.length) return results;
  const ends = new Map(readable.map((item, i) => [item, results[i] as Settled]));
  return items.map((item) => ends.get(item) ?? mismatch(item));
}

async function call(items: readonly Item[], handler: BatchHandler, signal: AbortSignal): Promise<readonly Settled[]> {
  try {
    const results = (await handler.run(items, signal)) as readonly ItemResult<unknown>[] | undefined;
    return items.map((_, i) => settled(results?.[i]));
  } catch (error) {
    return items.map(() => ({ error }));
  }
}

/** Bare values, and what `Promise.allSettled` gives: which of them would mean a failure? None may pass for a success. */
function settled(result: ItemResult<unknown> | null): Settled {
  if (result === undefined || result === null) return { value: undefined };
  const isSettled = typeof result === 'object' && ('value' in result || 'error' in result);
  assertOption('batch.run', result, isSettled, 'a function that gives { value } or { error } for each item');
  return result;
}

function isReadable({ job }: Item, codec: Codec): boolean {
  return (job.headers[codecHeader] ?? json.name) === codec.name;
}

/** The error of a look at its payload. */
function mismatch(item: Item): Settled {
  try {
    return { value: item.payload };
  } catch (error) {
    return { error };
  }
}
