/**
 * A job as Sidekiq writes it: one JSON object.
 *
 *   {"retry":true,"queue":"default","class":"HardJob","args":["bob",5],"jid":"b4a577edbccf1d805744efa9",
 *    "created_at":1755000000.123,"enqueued_at":1755000000.124}
 *
 * What Millrace makes of it: `class` is the name, `args` the payload byte for byte (so a payload is a JSON array), `jid` the
 * id, `retry` one less than `maxAttempts`, `retry_count` (0 after the first failure) two less than the attempt to come.
 * `tags` are tags; `headers` is a member of our own, which Ruby carries along without looking.
 *
 * Members that are not known here are kept as they are, whatever happens to the job.
 */
import { createHash } from 'node:crypto';
import { deflateSync, inflateSync } from 'node:zlib';
import type { AttemptError, NewJob } from '../backend.ts';
import { type Members, readMembers, writeMembers } from './members.ts';

/** Of Sidekiq: 8 writes times as integer milliseconds, those before as seconds. Both are read in any case. */
export type Version = 6 | 7 | 8;

/** What the `true` of `retry` stands for. */
const defaultRetries = 25;
/** Longest message that is kept, as Sidekiq cuts it. */
const maxMessage = 10_000;
/** Times above this are milliseconds: as seconds it would be the year 5138. */
const longestSeconds = 1e11;

export interface WireJob {
  readonly members: Members;
  readonly id: string;
  /** Where it says that it belongs; absent: it does not say. */
  readonly queue: string | undefined;
  readonly name: string;
  readonly payload: Buffer;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly createdAt: number | undefined;
  readonly enqueuedAt: number | undefined;
  readonly tags: readonly string[] | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Of the last failure. */
  readonly error: AttemptError | undefined;
  /** How it wants to be failed. */
  readonly rules: Rules;
}

interface Rules {
  /** False: it is not kept when it fails. */
  readonly isRetried: boolean;
  /** False: it is not buried when its retries are over. */
  readonly isBuried: boolean;
  readonly retryQueue: string | undefined;
  /** Ms from the first failure in which it is retried, however often. */
  readonly retryFor: number | undefined;
  /** Lines; true: all. */
  readonly backtrace: number | true | undefined;
  readonly retryCount: number | undefined;
  readonly failedAt: number | undefined;
}

/** Undefined for what is no job: not JSON, not an object, no class, no arguments. Sidekiq would bury it, or lose it. */
export function readJob(raw: Buffer): WireJob | undefined {
  const fields = parse(raw);
  if (!fields || typeof fields.class !== 'string' || fields.class === '' || !Array.isArray(fields.args))
    return undefined;
  const members = readMembers(raw);
  const retryCount = integer(fields.retry_count);
  const retries = typeof fields.retry === 'number' ? Math.max(0, Math.floor(fields.retry)) : defaultRetries;
  const retryFor = positive(fields.retry_for);
  const failedAt = readTime(fields.failed_at);
  const attempt = retryCount === undefined ? 1 : retryCount + 2;
  return {
    members,
    id: idOf(fields.jid, raw),
    queue: text(fields.queue),
    name: fields.class,
    payload: members.get('args') as Buffer,
    attempt,
    maxAttempts: fields.retry === false ? attempt : retryFor === undefined ? retries + 1 : 2 ** 31 - 1,
    createdAt: readTime(fields.created_at),
    enqueuedAt: readTime(fields.enqueued_at),
    tags: isTexts(fields.tags) && fields.tags.length > 0 ? fields.tags : undefined,
    headers: isHeaders(fields.headers) ? fields.headers : undefined,
    error: readError(fields, attempt - 1, readTime(fields.retried_at) ?? failedAt),
    rules: {
      isRetried: fields.retry !== false,
      isBuried: fields.dead !== false,
      retryQueue: text(fields.retry_queue),
      retryFor: retryFor === undefined ? undefined : retryFor * 1_000,
      backtrace: fields.backtrace === true ? true : positive(fields.backtrace),
      retryCount,
      failedAt: retryCount === undefined ? undefined : failedAt,
    },
  };
}

/** The id without reading the rest. */
export function idOfRaw(raw: Buffer): string {
  return idOf(parse(raw)?.jid, raw);
}

/** @param runAt ms; absent: it goes into its queue now, and says so */
export function writeJob(job: NewJob, id: string, now: number, version: Version, runAt?: number): Buffer {
  const { maxAttempts, queue, name, tags = [], headers, payload } = job;
  const retry = maxAttempts === defaultRetries + 1 ? 'true' : String(maxAttempts - 1);
  const head = `{"retry":${retry},"queue":${JSON.stringify(queue)},"class":${JSON.stringify(name)},"args":`;
  const time = writeTime(now, version);
  const parts = [`,"jid":"${id}","created_at":${time}`];
  if (tags.length > 0) parts.push(`,"tags":${JSON.stringify(tags)}`);
  if (headers && Object.keys(headers).length > 0) parts.push(`,"headers":${JSON.stringify(headers)}`);
  if (runAt === undefined) parts.push(`,"enqueued_at":${time}`);
  return Buffer.concat([Buffer.from(head), payload, Buffer.from(`${parts.join('')}}`)]);
}

/** As it goes from a set into a queue. @param startOver its failures do not count any more; the last one is still told */
export function enqueued(
  { members }: WireJob,
  queue: string,
  now: number,
  version: Version,
  startOver = false,
): Buffer {
  const time = writeTime(now, version);
  const anew = startOver ? { retry_count: undefined, retried_at: undefined } : {};
  return writeMembers(members, { queue: JSON.stringify(queue), at: undefined, ...anew, enqueued_at: time });
}

/** As it stands among the scheduled ones. */
export function postponed({ members }: WireJob, queue: string, startOver = false): Buffer {
  const anew = startOver ? { retry_count: undefined, retried_at: undefined } : {};
  return writeMembers(members, { queue: JSON.stringify(queue), at: undefined, ...anew, enqueued_at: undefined });
}

/** As it stands among the retries and the dead: with its error. */
export function failed(job: WireJob, queue: string, error: AttemptError, version: Version): Buffer {
  const { retryCount, retryQueue, backtrace } = job.rules;
  const at = writeTime(error.at, version);
  return writeMembers(job.members, {
    queue: JSON.stringify(retryQueue ?? queue),
    error_message: JSON.stringify([...error.message.toWellFormed()].slice(0, maxMessage).join('')),
    error_class: JSON.stringify(classOf(error).toWellFormed()),
    ...(retryCount === undefined
      ? { failed_at: at, retry_count: '0' }
      : { retried_at: at, retry_count: String(retryCount + 1) }),
    ...(backtrace !== undefined && { error_backtrace: packBacktrace(linesOf(error.stack), backtrace) }),
  });
}

/** With the reason why somebody ended it; its count of failures stays. */
export function ended({ members }: WireJob, queue: string, reason: string, code: string): Buffer {
  return writeMembers(members, {
    queue: JSON.stringify(queue),
    error_message: JSON.stringify(reason),
    error_class: JSON.stringify(code),
  });
}

/** Whether nobody wants it kept when it is given up. */
export function discardable({ rules: { isRetried, isBuried } }: WireJob): boolean {
  return !isRetried || !isBuried;
}

/** Whether the time is over in which it is retried at all. */
export function isOverdue({ rules: { retryFor, failedAt } }: WireJob, now: number): boolean {
  return retryFor !== undefined && failedAt !== undefined && failedAt + retryFor < now;
}

/** Always with a point where it is seconds: Sidekiq 8 takes an integer for milliseconds. */
export function writeTime(ms: number, version: Version): string {
  if (version === 8) return String(Math.round(ms));
  const seconds = Math.round(ms) / 1_000;
  return Number.isInteger(seconds) ? `${seconds}.0` : String(seconds);
}

/** As the counters of a day are named. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** Ms since the epoch. */
export function readTime(value: unknown): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return Math.round(value > longestSeconds ? value : value * 1_000);
}

/** Base64 of deflated JSON, as Sidekiq packs it. */
function packBacktrace(lines: readonly string[], most: number | true): string {
  const kept = most === true ? lines : lines.slice(0, most);
  return JSON.stringify(deflateSync(JSON.stringify(kept)).toString('base64'));
}

/** Undefined for what cannot be unpacked. */
function unpackBacktrace(packed: unknown): readonly string[] | undefined {
  if (typeof packed !== 'string') return isTexts(packed) ? packed : undefined;
  try {
    const lines: unknown = JSON.parse(
      inflateSync(Buffer.from(packed, 'base64'), { maxOutputLength: 1 << 20 }).toString(),
    );
    return isTexts(lines) ? lines : undefined;
  } catch {
    return undefined;
  }
}

function readError(
  fields: Readonly<Record<string, unknown>>,
  attempt: number,
  at: number | undefined,
): AttemptError | undefined {
  const code = text(fields.error_class);
  if (code === undefined) return undefined;
  const message = text(fields.error_message) ?? '';
  const lines = unpackBacktrace(fields.error_backtrace);
  return {
    attempt: Math.max(1, attempt),
    at: at ?? 0,
    message,
    code,
    ...(lines && { stack: [`${code}: ${message}`, ...lines.map((line) => `    at ${line}`)].join('\n') }),
  };
}

/** The class of an error in Ruby's sense: its code, or the name its stack begins with. */
function classOf({ code, stack = '' }: AttemptError): string {
  return code ?? /^(?:Uncaught )?([A-Za-z_$][\w$.]*)(?=:|\n|$)/.exec(stack)?.[1] ?? 'Error';
}

/** The frames of a stack, without what is the same in each line. */
function linesOf(stack = ''): string[] {
  return stack.split('\n').flatMap((line) => /^\s+at (.*)$/.exec(line)?.[1] ?? []);
}

function parse(raw: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(raw.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Of a job without an id its bytes make one; none of Sidekiq's looks like it. */
function idOf(jid: unknown, raw: Buffer): string {
  return text(jid) ?? `~${createHash('sha1').update(raw).digest('hex').slice(0, 23)}`;
}

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
const integer = (value: unknown) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
const positive = (value: unknown) => (typeof value === 'number' && value > 0 ? value : undefined);

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function isHeaders(value: unknown): value is Readonly<Record<string, string>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((each) => typeof each === 'string')
  );
}
