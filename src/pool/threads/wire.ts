/**
 * What travels between the crew and the inside of a thread, over a port of their own: `parentPort` stays the user's.
 *
 *   jobs      [slot, payload, slot, payload, …]       to the thread
 *   results   [slot, value, ~slot, WireError, …]      from the thread; `~slot` (negative): the body threw
 *
 * One array per burst: a message of 64 payloads costs little more to clone than one of 1. Whatever else is said is an
 * object with a `kind`.
 */
import type { MessagePort } from 'node:worker_threads';
import type { WireError } from './wire-error.ts';

/** The first message to a new thread, over `parentPort`. */
export interface Init {
  readonly port: MessagePort;
  readonly module: string;
  readonly shared: SharedArrayBuffer;
  readonly size: number;
  readonly concurrency: number;
  /** Whether somebody wants to know about the heap. */
  readonly heap: boolean;
}

/** Entries of jobs or results, flat. */
export type Burst = unknown[];

export type ToThread = Burst | { readonly kind: 'abort'; readonly slot: number; readonly reason: WireError };

export type FromThread =
  | Burst
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: WireError }
  | { readonly kind: 'sent'; readonly slot: number; readonly value: unknown };

/** What `postMessage` says about a value that it cannot clone, with what to do about it. */
export function whyNotCloneable(value: unknown, error: unknown): string {
  const said = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
  if (typeof value === 'function')
    return 'it is a function; put the code into the module and send the data it works on';
  return /=>|function|class/.test(said) ? `${said}; put code into the module and send the data it works on` : said;
}

/**
 * A copy of an object of nothing but primitives, or undefined for any other. One object twice in a message would arrive as
 * one that two bodies share; a copy of it keeps the message whole, where another message would cost ten times as much.
 */
export function flatCopy(value: object): object | undefined {
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined;
  for (const item of Object.values(value)) {
    if (typeof item === 'function' || (typeof item === 'object' && item !== null)) return undefined;
  }
  return { ...value };
}
