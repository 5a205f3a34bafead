/** From what stands in a list of Resque's to a job as we show it. Bytes of a payload are those that stand there. */
import type { JobState } from '../../job/state.ts';
import type { AttemptError, JobRecord } from '../records.ts';
import { exceptions } from './manner.ts';
import { fromPayload, idOf, membersOf, textOf } from './payload.ts';

/** A job and where it was seen. */
export interface Seen {
  readonly job: JobRecord;
  /** The key of the list, or of the worker's record, without the namespace. */
  readonly from: string;
  /** What stands in that list, or the record. */
  readonly item: Uint8Array;
  readonly queue: string;
  /** Its payload. */
  readonly bytes: Uint8Array;
}

/** What differs from where to where. */
interface Facts {
  readonly state: JobState;
  readonly now: number;
  readonly maxAttempts: number;
  readonly attempt?: number;
  readonly crashes?: number;
  readonly runAt?: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly server?: string;
  readonly errors?: readonly AttemptError[];
}

export interface Frame {
  readonly now: number;
  readonly maxAttempts: number;
}

/** Of all jobs: the default of a definition, as the wire has none. */
export const PRIORITY = 4;

export function inQueue(queue: string, bytes: Buffer, frame: Frame): Seen {
  const job = recordOf(queue, bytes, { ...frame, state: 'available' });
  return { job, from: `queue:${queue}`, item: bytes, queue, bytes };
}

/** Undefined: no item that anybody could read. */
export function delayed(seconds: string, item: Buffer, frame: Frame): Seen | undefined {
  const queue = textOf(membersOf(item)?.get('queue'));
  if (queue === undefined) return undefined;
  // Ruby puts the queue behind the payload; those of others are the payload as they are.
  const tail = Buffer.from(`,"queue":${JSON.stringify(queue)}}`);
  const isTail = item.length > tail.length && item.subarray(-tail.length).equals(tail);
  const bytes = isTail ? Buffer.concat([item.subarray(0, -tail.length), Buffer.from('}')]) : item;
  const job = recordOf(queue, bytes, { ...frame, state: 'scheduled', runAt: Number(seconds) * 1000 });
  return { job, from: `delayed:${seconds}`, item, queue, bytes };
}

/** @param worker its name, ours or a peer's */
export function running(worker: string, record: Buffer, frame: Frame): Seen | undefined {
  const members = membersOf(record);
  const queue = textOf(members?.get('queue'));
  const payload = members?.get('payload');
  if (!members || queue === undefined || !payload) return undefined;
  const bytes = unwrapped(payload);
  const ours = members.get('millrace');
  const [, attempt = 1, crashes = 0] = ours ? (JSON.parse(String(ours)) as number[]) : [];
  const startedAt = momentOf(members.get('run_at'), frame.now);
  const job = recordOf(queue, bytes, { ...frame, state: 'running', attempt, crashes, startedAt, server: worker });
  return { job, from: `worker:${worker}`, item: record, queue, bytes };
}

/** Undefined: an entry that is being removed, or that nobody could read. */
export function failed(entry: Buffer, frame: Frame): Seen | undefined {
  const members = membersOf(entry);
  const queue = textOf(members?.get('queue'));
  const payload = members?.get('payload');
  if (!members || queue === undefined || !payload) return undefined;
  const at = momentOf(members.get('failed_at'), frame.now);
  const exception = textOf(members.get('exception')) ?? 'Error';
  const message = textOf(members.get('error')) ?? '';
  const frames = members.get('backtrace');
  const lines = frames?.[0] === 0x5b ? (JSON.parse(String(frames)) as unknown[]) : [];
  const stack = [`${exception}: ${message}`, ...lines.map((line) => `    at ${line}`)].join('\n');
  const errors = [{ attempt: 1, at, message, code: exception, ...(lines.length > 0 && { stack }) }];
  const bytes = unwrapped(payload);
  const job = recordOf(queue, bytes, { ...frame, state: stateOf(exception), endedAt: at, errors });
  return { job, from: 'failed', item: entry, queue, bytes };
}

function stateOf(exception: string): JobState {
  if (exception === exceptions.cancelled) return 'cancelled';
  return exception === exceptions.quarantined ? 'quarantined' : 'discarded';
}

function recordOf(queue: string, bytes: Buffer, facts: Facts): JobRecord {
  const { now, maxAttempts, attempt = 1, crashes = 0, runAt = now, errors = [], ...rest } = facts;
  const { name, args } = fromPayload(bytes) ?? { name: 'Millrace::Unreadable', args: bytes };
  return {
    id: idOf(queue, bytes),
    queue,
    name,
    payload: args,
    priority: PRIORITY,
    attempt,
    maxAttempts: Math.max(attempt, maxAttempts),
    crashes,
    addedAt: now,
    runAt,
    errors,
    ...rest,
  };
}

const wrapper = '{"class":"Millrace::Unreadable"';

/** Bytes that others would have choked on are wrapped where these look: see lua/jobs.lua. */
function unwrapped(payload: Buffer): Buffer {
  if (payload.toString('latin1', 0, wrapper.length) !== wrapper) return payload;
  const [content = '', form] = (JSON.parse(String(payload)) as { args: string[] }).args;
  return Buffer.from(content, form === 'hex' ? 'hex' : 'utf8');
}

/** Every kin of Resque has a form of its own, and some have time zones that nobody else knows. */
function momentOf(json: Buffer | undefined, otherwise: number): number {
  const at = Date.parse(textOf(json) ?? '');
  return Number.isNaN(at) ? otherwise : at;
}
