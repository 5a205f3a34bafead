/** From the answer of a claim to jobs; what is no job is told apart. */
import { MillraceError } from '../../errors.ts';
import type { AttemptError, ClaimedJob, Outcome } from '../backend.ts';
import type { Settings } from './options.ts';
import { fromPayload, idOf } from './payload.ts';
import { PRIORITY } from './seen.ts';
import { tokenOf } from './token.ts';

/** See lua/commands/claim.lua; places count from 1. */
export interface ClaimAnswer {
  readonly runs: readonly number[];
  readonly slots: readonly Buffer[];
  readonly payloads: readonly Buffer[];
  readonly noted: readonly number[];
  readonly nextAt?: number;
}

export interface Claimed {
  readonly jobs: readonly ClaimedJob[];
  /** How those end that nobody could run. */
  readonly unreadable: readonly Outcome[];
}

export function toClaimed(
  { runs, slots, payloads, noted }: ClaimAnswer,
  queues: readonly string[],
  { attempts }: Pick<Settings, 'attempts'>,
  now: number,
): Claimed {
  const jobs: ClaimedJob[] = [];
  const unreadable: Outcome[] = [];
  let note = 0;
  let run = -3;
  let left = 0;
  for (const [i, bytes] of payloads.entries()) {
    while (left === 0) {
      run += 3;
      left = runs[run + 2] as number;
    }
    left--;
    const queue = queues[(runs[run] as number) - 1] as string;
    const id = idOf(queue, bytes);
    const claim = tokenOf(runs[run + 1] as number, Number(slots[i]));
    const parts = fromPayload(bytes);
    let [attempt, crashes] = [1, 0];
    if (noted[note] === i + 1) {
      [attempt, crashes] = [noted[note + 1] as number, noted[note + 2] as number];
      note += 3;
    }
    if (!parts) {
      unreadable.push({ id, claim, ending: { kind: 'discarded', error: noJob(queue, now) } });
      continue;
    }
    jobs.push({
      id,
      queue,
      name: parts.name,
      payload: parts.args,
      priority: PRIORITY,
      attempt,
      maxAttempts: Math.max(attempt, attempts),
      crashes,
      claim,
      addedAt: now,
      runAt: now,
    });
  }
  return { jobs, unreadable };
}

function noJob(queue: string, at: number): AttemptError {
  const reason = 'expected a JSON object with a class';
  const { message, code } = new MillraceError('JOB_UNREADABLE', { queue, reason });
  return { attempt: 1, at, message, code };
}
