/** Records and statuses, as the scripts write them, into jobs as the contract shows them. See lua/job.lua for the layouts. */
import type { JobState } from '../../job/state.ts';
import type { AttemptError, ClaimedJob, LogLine } from '../backend.ts';
import type { Ids } from '../ids.ts';
import type { JobEvent, JobRecord } from '../records.ts';
import { decode, type Received } from './msgpack.ts';
import { toId } from './pack.ts';

/** What jobs of a kind have in common. */
export interface Template {
  readonly queue: string;
  readonly name: string;
  readonly priority: number;
  readonly maxAttempts: number;
}

interface Facts {
  readonly id?: string;
  readonly key?: string;
  readonly tags?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly keepFor?: number;
}

const states = [
  'available',
  'scheduled',
  'retryable',
  'running',
  'completed',
  'discarded',
  'cancelled',
  'quarantined',
] as const satisfies JobState[];
const MOVED = 32;
const HAS_RUN_AT = 1;
const HAS_FACTS = 2;
const HAS_STAMP = 8;

const none: Facts = {};

/** The number of the template that a record names. */
export function templateOf(record: Buffer): number {
  return record.readUIntBE(1, 3);
}

/** What puts the jobs of several shards in order; 0 where there is only one. */
export function stampOf(record: Buffer): number {
  const flags = record[0] as number;
  return flags & HAS_STAMP ? record.readDoubleBE(flags & HAS_RUN_AT ? 20 : 12) : 0;
}

export function toClaimed(record: Buffer, status: Buffer, template: Template, idOf: () => string): ClaimedJob {
  const { addedAt, runAt, facts, payload } = readRecord(record);
  const stands = readStatus(status, runAt);
  return {
    id: facts.id ?? idOf(),
    queue: template.queue,
    name: template.name,
    payload,
    priority: template.priority,
    attempt: stands.attempt,
    maxAttempts: template.maxAttempts,
    crashes: stands.crashes,
    claim: status.length === 0 ? 1 : stands.claim,
    addedAt,
    runAt: stands.runAt,
    ...(facts !== none && visible(facts)),
  };
}

/** A job as `look` gives it. */
export type Seen = readonly [
  ref: Received,
  number: number,
  record: Buffer,
  status: Buffer,
  extras: Buffer | false,
  server: Buffer | false,
  log: readonly Buffer[],
];

export function toRecord(seen: Seen, template: Template, id: string): JobRecord {
  const [, , record, status, packed, server, log] = seen;
  const { addedAt, runAt, facts, payload } = readRecord(record);
  const stands = readStatus(status, runAt);
  const extras = packed ? (decode(packed) as { errors?: Received[]; progress?: Buffer; result?: Buffer }) : {};
  return {
    id,
    queue: template.queue,
    name: template.name,
    state: stands.state,
    payload,
    priority: template.priority,
    attempt: stands.attempt,
    maxAttempts: template.maxAttempts,
    crashes: stands.crashes,
    addedAt,
    runAt: stands.runAt,
    errors: (extras.errors ?? []).map(toError),
    ...visible(facts),
    ...(stands.startedAt !== 0 && { startedAt: stands.startedAt }),
    ...(stands.endedAt !== 0 && { endedAt: stands.endedAt }),
    ...(server && { server: String(server) }),
    ...(extras.result && { result: extras.result }),
    ...(extras.progress && { progress: String(extras.progress) }),
    ...(log.length > 0 && { log: log.map((line) => decode(line, 'text') as unknown as LogLine) }),
  };
}

/** An event as a script recorded it. */
export function toEvent(packed: Buffer, ids: Ids): JobEvent {
  type Told = Omit<JobEvent, 'job'> & { readonly ref: string | number; readonly stamp?: number };
  const { ref, stamp: _, ...event } = decode(packed, 'text') as unknown as Told;
  return { ...event, job: toId(ref, ids) };
}

function readRecord(record: Buffer) {
  const flags = record[0] as number;
  const addedAt = record.readDoubleBE(4);
  let at = 12;
  let runAt = addedAt;
  let facts = none;
  if (flags & HAS_RUN_AT) {
    runAt = record.readDoubleBE(at);
    at += 8;
  }
  if (flags & HAS_STAMP) at += 8;
  if (flags & HAS_FACTS) {
    const end = at + 4 + record.readUInt32BE(at);
    facts = decode(record.subarray(at + 4, end), 'text') as Facts;
    at = end;
  }
  return { addedAt, runAt, facts, payload: record.subarray(at) };
}

/** @param runAt the record's, which holds unless the job was moved since */
function readStatus(status: Buffer, runAt: number) {
  if (status.length === 0) {
    return { state: 'available' as const, attempt: 1, crashes: 0, claim: 0, runAt, startedAt: 0, endedAt: 0 };
  }
  return {
    state: states[(status[0] as number) - 1] as JobState,
    attempt: status.readUInt32BE(5),
    crashes: status.readUIntBE(9, 3),
    claim: status.readUInt32BE(12),
    runAt: (status[1] as number) & MOVED ? status.readDoubleBE(20) : runAt,
    startedAt: status.readDoubleBE(28),
    endedAt: status.readDoubleBE(36),
  };
}

function visible({ key, tags, headers, keepFor }: Facts): Omit<Facts, 'id'> {
  return {
    ...(key !== undefined && { key }),
    ...(tags && { tags }),
    ...(headers && { headers }),
    ...(keepFor !== undefined && { keepFor }),
  };
}

function toError(error: Received): AttemptError {
  const { attempt, at, message, code, stack } = error as Record<string, Received>;
  return {
    attempt: attempt as number,
    at: at as number,
    message: String(message),
    ...(code && { code: String(code) }),
    ...(stack && { stack: String(stack) }),
  };
}
