/**
 * The catalogue of everything Millrace can complain about.
 *
 * One class, one stable `code` per cause, typed `fields`, and the underlying error as `cause`. Codes are API: they are
 * never renamed and never change their meaning. `docs/errors.md` has a paragraph for each.
 *
 * The brand is a registered symbol, so `instanceof MillraceError` also holds across two copies of the package.
 */

const brand = Symbol.for('millrace.error');

/** Shows a value and its type, shortened, for "expected …, got …" messages. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'object' || typeof value === 'function') {
    return Array.isArray(value) ? `an array of ${value.length}` : `a ${value.constructor?.name ?? 'object'}`;
  }
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return `${text.length > 80 ? `${text.slice(0, 77)}…` : text} (${typeof value})`;
}

/**
 * Why a store takes nothing now. `overload`: it asks for less, or is too slow to answer. `unreachable`: no answer
 * arrives. `blocked`: somebody has to mend it (permission, missing bucket or folder, full disk, credentials).
 */
export type SinkTrouble = 'overload' | 'unreachable' | 'blocked';

/** code → the sentence made of its fields. Grouped by the room that throws it. */
const catalogue = {
  // any room
  OPTION_INVALID: (f: { option: string; expected: string; got: unknown }) =>
    `\`${f.option}\` should be ${f.expected}, got ${show(f.got)}`,
  OPTION_UNKNOWN: (f: { option: string; suggestion?: string | undefined }) =>
    `\`${f.option}\` is not an option${f.suggestion ? `; did you mean \`${f.suggestion}\`?` : ''}`,
  PEER_MISSING: (f: { package: string; purpose: string }) =>
    `${f.purpose} needs the package \`${f.package}\`; install it with: npm install ${f.package}`,
  NOT_RUNNING: (f: { what: string; state: string }) => `${f.what} is not running (it is ${f.state})`,
  STOPPED: (f: { what: string }) => `${f.what} was stopped`,

  // pool
  CHANNEL_CLOSED: (_: Record<never, never>) => 'the channel is closed',
  POOL_FULL: (f: { size: number }) => `the pool's queue is full (${f.size} waiting)`,
  TASK_DROPPED: (f: { size: number; which: 'oldest' | 'newest' }) =>
    `dropped as the ${f.which} when the pool's queue was full (${f.size} waiting)`,
  TASK_TIMEOUT: (f: { timeout: number; phase: 'queued' | 'running' }) =>
    f.phase === 'queued'
      ? `not started within its queueTimeout of ${f.timeout} ms`
      : `still running after its timeout of ${f.timeout} ms`,
  TASK_NOT_CLONEABLE: (f: { what: 'payload' | 'result' | 'message'; reason: string }) =>
    `the ${f.what} cannot go from thread to thread: ${f.reason}`,
  THREAD_DIED: (f: { exitCode: number; reason: string }) =>
    `the thread that ran the task died (exit code ${f.exitCode}): ${f.reason}`,
  THREAD_START_FAILED: (f: { module: string; attempts: number; reason: string }) =>
    `threads of ${f.module} do not start (${f.attempts} in a row failed): ${f.reason}`,

  // job
  JOB_UNKNOWN: (f: { name: string; known: readonly string[] }) =>
    `no job named "${f.name}" is registered here (known: ${f.known.length > 0 ? f.known.join(', ') : 'none'})`,
  JOB_UNREADABLE: (f: { queue: string; reason: string }) => `what stood in queue "${f.queue}" is no job: ${f.reason}`,
  JOB_DUPLICATE: (f: { name: string }) => `a job named "${f.name}" is already registered`,
  JOB_TIMEOUT: (f: { name: string; timeout: number }) =>
    `job "${f.name}" ran longer than its timeout of ${f.timeout} ms`,
  JOB_DISCARDED: (f: { reason: string }) => f.reason,
  JOB_SNOOZED: (f: { delay: number }) => `the job asked to run again in ${f.delay} ms`,
  JOB_CANCELLED: (f: { reason: string }) => `the job was cancelled: ${f.reason}`,
  JOB_TAKEN_OVER: (f: { id: string }) =>
    `job ${f.id} is not this server's any more: its lease ran out, and others have the job`,
  OUTCOME_REFUSED: (f: { ending: string; reason: string }) =>
    `the backend does not take how the job ended (${f.ending}): ${f.reason}`,
  JOB_FAILED: (f: { id: string; state: string; reason: string }) => `job ${f.id} was ${f.state}: ${f.reason}`,
  RESULT_TIMEOUT: (f: { id: string; timeout: number }) => `job ${f.id} has not ended within ${f.timeout} ms`,
  RESULT_NOT_KEPT: (f: { id: string }) =>
    `job ${f.id} is not known any more and its result was not kept; give the job \`keepFor\` to wait for results`,
  ENQUEUE_REFUSED: (f: { name: string; reason: string }) => `job "${f.name}" was not enqueued: ${f.reason}`,
  PAYLOAD_INVALID: (f: { name: string; issues: readonly string[] }) =>
    `the payload does not fit job "${f.name}": ${f.issues.join('; ')}`,
  PAYLOAD_NOT_JSON: (f: { name: string; got: unknown; hint?: string | undefined }) =>
    `the payload of job "${f.name}" cannot be written as JSON: got ${show(f.got)}${f.hint ? `; ${f.hint}` : ''}`,
  PAYLOAD_TOO_LARGE: (f: { name: string; bytes: number; limit: number }) =>
    `the payload of job "${f.name}" has ${f.bytes} bytes, at most ${f.limit} are allowed`,
  CODEC_MISMATCH: (f: { name: string; expected: string; got: string }) =>
    `job "${f.name}" expects payloads written by the codec "${f.expected}", got one by "${f.got}"`,
  FILTER_INVALID: (f: { text: string; at: number; expected: string }) =>
    `the filter ${show(f.text)} is wrong at position ${f.at}: expected ${f.expected}`,
  SCHEDULE_INVALID: (f: { key: string; reason: string }) => `schedule ${show(f.key)} cannot be: ${f.reason}`,

  // backend
  BACKEND_UNKNOWN: (f: { url: string }) =>
    `no backend for "${f.url}"; expected memory:, sqlite:PATH, redis://HOST, resque:redis://HOST or sidekiq:redis://HOST`,
  /** `unsure`: the call may have had its effect. */
  BACKEND_UNAVAILABLE: (f: { backend: string; reason: string; unsure?: boolean }) =>
    `the ${f.backend} backend is away: ${f.reason}`,
  BACKEND_CLOSED: (f: { backend: string }) => `the ${f.backend} backend is closed`,
  BACKEND_READ_ONLY: (f: { path: string }) => `${f.path} cannot be written; nothing was stored`,
  BACKEND_DISK_FULL: (f: { path: string }) => `no space is left for ${f.path}; nothing of this call was stored`,
  BACKEND_FULL: (f: { backend: string; reason: string }) =>
    `the ${f.backend} backend has no memory left (${f.reason}); nothing of this call was stored`,
  BACKEND_REFUSED: (f: { backend: string; reason: string }) =>
    `the ${f.backend} backend does not let this program in: ${f.reason}`,
  SCHEMA_TOO_NEW: (f: { path: string; found: number; known: number }) =>
    `${f.path} has schema ${f.found}, this program knows up to ${f.known}; it was not touched. Upgrade millrace`,
  NOT_A_DATABASE: (f: { path: string; reason: string }) => `${f.path} is not a Millrace database: ${f.reason}`,
  SERVER_UNKNOWN: (f: { server: string }) =>
    `no server ${show(f.server)} is registered (it never beat, has left, or its lease ran out)`,
  SERVER_DIED: (f: { server: string }) => `the server ${f.server} died while it held the job`,
  JOB_QUARANTINED: (f: { crashes: number }) =>
    `quarantined: ${f.crashes} servers died while they held the job, it may be what kills them`,
  NOT_SUPPORTED: (f: { backend: string; what: string; reason: string }) =>
    `the ${f.backend} backend cannot do this (${f.what}): ${f.reason}`,
  QUEUE_FULL: (f: { queue: string; waiting: number; limit: number }) =>
    `queue "${f.queue}" is full (${f.waiting} waiting, limit ${f.limit}); nothing of this call was stored`,
  IDEMPOTENCY_MISMATCH: (f: { key: string }) =>
    `the idempotency key ${show(f.key)} was used before with other content; nothing was stored`,

  // sink
  SINK_UNKNOWN: (f: { url: string }) => `no sink for "${f.url}"; expected file:DIR or s3://BUCKET/PREFIX`,
  SINK_KEY_INVALID: (f: { key: string; reason: string }) => `the object key ${show(f.key)} ${f.reason}`,
  SINK_REFUSED: (f: { key: string; reason: string }) => `the store refused ${f.key} for good: ${f.reason}`,
  SINK_AWAY: (f: { trouble: SinkTrouble; reason: string; retryAfter?: number | undefined }) =>
    `the store takes no objects now (${f.trouble}): ${f.reason}`,
  CREDENTIALS_MISSING: (f: { tried: readonly string[] }) => `no AWS credentials found (tried: ${f.tried.join(', ')})`,

  // http
  LISTEN_FAILED: (f: { host: string; port: number; reason: string }) =>
    `cannot listen on ${f.host}:${f.port}: ${f.reason}`,
  REQUEST_INVALID: (f: { problem: string; detail: string }) => `${f.problem}: ${f.detail}`,
} as const;

/** Every stable error code, without the `MILLRACE_` prefix it carries on the error. */
export type ErrorCode = keyof typeof catalogue;

/** The fields that errors of code `C` carry. */
export type ErrorFields<C extends ErrorCode> = Parameters<(typeof catalogue)[C]>[0];

/** The one error class. Branch on `code`, read `fields`, log `message`. */
export class MillraceError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'MillraceError';
  readonly code: `MILLRACE_${C}`;
  readonly fields: ErrorFields<C>;

  constructor(code: C, fields: ErrorFields<C>, options?: ErrorOptions) {
    super((catalogue[code] as (f: ErrorFields<C>) => string)(fields), options);
    this.code = `MILLRACE_${code}`;
    this.fields = fields;
    Object.defineProperty(this, brand, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** True when `error` is a MillraceError of the given code; narrows its fields. */
export function isError<C extends ErrorCode>(error: unknown, code: C): error is MillraceError<C> {
  try {
    return error instanceof MillraceError && error.code === `MILLRACE_${code}`;
  } catch {
    return false; // a proxy that lets nobody look is none of ours
  }
}

/** Throws OPTION_INVALID unless `ok`. */
export function assertOption(option: string, got: unknown, ok: boolean, expected: string): void {
  if (!ok) throw new MillraceError('OPTION_INVALID', { option, expected, got });
}

/** Throws OPTION_INVALID unless it is an object, OPTION_UNKNOWN for a name that is not in `known`. */
export function assertKnown(options: unknown, known: Readonly<Record<string, true>>, path = ''): void {
  assertOption(path || 'options', options, typeof options === 'object' && options !== null, 'an object');
  for (const name of Object.keys(options as object)) {
    const option = path ? `${path}.${name}` : name;
    if (!Object.hasOwn(known, name)) throw new MillraceError('OPTION_UNKNOWN', { option });
  }
}

/** Whatever was thrown, as an Error. Never throws. */
export function toError(thrown: unknown): Error {
  try {
    return thrown instanceof Error ? thrown : new Error(typeof thrown === 'string' ? thrown : show(thrown));
  } catch {
    return new Error('something was thrown that lets nobody look at it');
  }
}

/** Every code, for the docs and the tests that keep them complete. */
export const errorCodes = Object.keys(catalogue) as readonly ErrorCode[];
