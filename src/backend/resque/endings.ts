/** How attempts end, and what else becomes of jobs, as the scripts are told. */
import type { Ending } from '../backend.ts';
import type { Action } from '../filter.ts';
import type { Sendable } from '../redis/msgpack.ts';
import { exceptions, failureOf, type Manner } from './manner.ts';
import type { Settings } from './options.ts';

/** Of what did not complete: see lua/commands/settle.lua. */
export function packEnding(ending: Ending, { manner, delivery }: Pick<Settings, 'manner' | 'delivery'>): Sendable {
  const { kind } = ending;
  if (kind === 'snoozed') return { kind, runAt: Math.ceil(ending.runAt) };
  // It had begun, so at most once means: not again.
  if (kind === 'returned')
    return delivery === 'at-most-once' ? { kind: 'failed', failed: true, error: [...cutOff] } : { kind };
  if (kind === 'completed') return { kind };
  if (kind === 'cancelled') return { kind, error: cancellation(ending.error.message) };
  const failed = { kind, failed: true, error: [...failureOf(ending.error, manner)] };
  if (kind === 'failed' && ending.retryAt !== undefined) {
    const { stack: _, ...error } = ending.error;
    return { ...failed, runAt: Math.ceil(ending.retryAt), history: JSON.stringify(error) };
  }
  return { ...failed, unknown: manner === 'goworker' && ending.error.code === 'MILLRACE_JOB_UNKNOWN' };
}

/** What becomes of jobs that somebody acts on: see lua/commands/act.lua. */
export function packAction(action: Action, manner: Manner): { readonly [name: string]: Sendable } {
  if (action.kind === 'retry') return { at: Math.ceil(action.at ?? 0), every: Math.ceil(action.every ?? 0) };
  if (action.kind === 'cancel') return { error: cancellation(action.reason), reason: action.reason };
  if (action.kind === 'remove') return {};
  return { error: [...failureOf({ attempt: 1, at: 0, message: action.reason }, manner)] };
}

/** What is cancelled stands in `failed` too, under a name by which it is told apart. */
function cancellation(reason: string): string[] {
  return [JSON.stringify(exceptions.cancelled), JSON.stringify(reason), 'null'];
}

/** In the words of Ruby, whose worker was killed with a job in hand. */
const cutOff = ['"Resque::DirtyExit"', '"Job still being processed"', 'null'] as const;
