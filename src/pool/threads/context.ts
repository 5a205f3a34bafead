/**
 * What the author of a worker module sees.
 *
 *   import type { ThreadWorker } from 'millrace';
 *   const resize: ThreadWorker<Image, Thumbnail> = async (image, context) => { …; return move(thumbnail, [bytes]); };
 *   export default resize;
 *
 * The module runs in a thread of its own: payloads and results are structured clones, nothing else is shared, and the
 * AsyncLocalStorage context of the caller does not come along. Payloads that travel in one message keep what they have
 * in common: an object inside two payloads may be one object in the thread, so a body should not change its payload.
 */
import type { Transferable } from 'node:worker_threads';

/** Given to each body beside its payload; of no use once the body has ended. */
export interface ThreadContext {
  /** Aborts with the reason of the caller's abort: for bodies that wait. Made when it is first looked at. */
  readonly signal: AbortSignal;
  /** True as soon as the caller has aborted. Reads shared memory, so a loop that never yields can look at it too. */
  readonly aborted: boolean;
  /**
   * Sends a value to the caller while the body runs, in order, before the result. Throws TASK_NOT_CLONEABLE. Does nothing
   * once the body has ended.
   */
  send(value: unknown, transfer?: readonly Transferable[]): void;
  /** `threadId` of `node:worker_threads`. */
  readonly threadId: number;
}

/** The default export of a worker module. */
export type ThreadWorker<Payload = unknown, Result = unknown> = (
  payload: Payload,
  context: ThreadContext,
) => Result | Promise<Result>;

/** Registered, so that it also holds across two copies of the package. */
const moved = Symbol.for('millrace.moved');

interface Moved {
  readonly [moved]: readonly Transferable[];
  readonly value: unknown;
}

/**
 * A result whose parts in `transfer` (ArrayBuffers, ports, streams …) move to the caller instead of being copied. Return
 * it from the body; for the types it is the value itself.
 */
export function move<T>(value: T, transfer: readonly Transferable[]): T {
  return { [moved]: transfer, value } as Moved as T;
}

/** What `move` was given, or undefined. */
export function takeMoved(result: unknown): { value: unknown; transfer: readonly Transferable[] } | undefined {
  if (typeof result !== 'object' || result === null || !(moved in result)) return undefined;
  const { [moved]: transfer, value } = result as Moved;
  return { value, transfer };
}
