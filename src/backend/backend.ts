/**
 * THE CONTRACT between Millrace and the place where jobs wait. No connection, transaction or thread appears in it.
 *
 *   add ──▶ available ──claim──▶ running ──settle──▶ completed · discarded · cancelled
 *            ▲    ▲                 │
 *   scheduled┘    └──── retryable ◀─┴─ failed · snoozed · returned · rescued
 *
 * A job whose time has come may be shown available from then on, or from the next claim.
 *
 * Every call takes a batch and resolves when its effect holds: after `add` the job survives what the backend's loss
 * table says it survives, after `settle` it will not run again. A call that rejects has changed nothing, unless its error
 * says `unsure`: then nobody knows, because the answer of a server was lost. OPTION_INVALID, NOT_SUPPORTED, and errors that are
 * not of the catalogue find fault with what the call was given, and would again; any other may be gone the next time.
 *
 * The fencing token of a running job is (server, claim): when the job was handed back, rescued or settled since, the old
 * holder's settle is answered `stale` and changes nothing.
 *
 * Every behaviour below is a sentence in `conformance.ts`, and each backend passes all of them.
 */
import type { Clock } from '../clock.ts';
import type { Backoff } from '../job/backoff.ts';
import type { Action, JobFilter, Page } from './filter.ts';
import type { NewJob } from './new-job.ts';
import type { AttemptError, JobEvents, JobRecord, LogLine, QueueCounts, ServerInfo, ServerRecord } from './records.ts';
import type { DueSchedules, Firing, FiringResult, Schedule, ScheduleRecord } from './schedule.ts';
import type { QueueSettings, SettingsChange } from './settings.ts';

export type { NewJob, Unique } from './new-job.ts';
export { type AttemptError, type LogLine, maxErrors, type ServerInfo } from './records.ts';

/** Jobs that are stored together or not at all. */
export interface AddGroup {
  readonly jobs: readonly NewJob[];
  /** Refuse the group when a queue of it would hold more than this many waiting (not running, not ended) jobs. */
  readonly maxWaiting?: number;
  /** Makes a repeat of the group answer with the ids of the first time, and store nothing. Kept in the same commit. */
  readonly once?: {
    readonly key: string;
    /** Says whether a repeat has the same content, e.g. a hash of it. */
    readonly fingerprint: string;
    /** How long the key is remembered, ms. */
    readonly ttl: number;
  };
}

export type AddResult =
  | {
      readonly status: 'stored';
      readonly ids: readonly string[];
      /** Positions in `ids` of jobs that were there before: their own id or `unique` rule led to them. Absent: none. */
      readonly existing?: readonly number[];
    }
  /** `once.key` was seen with the same fingerprint: the ids of then. */
  | { readonly status: 'repeated'; readonly ids: readonly string[] }
  /** `once.key` was seen with another fingerprint. */
  | { readonly status: 'mismatch' }
  /** `queue`: the first, in the order of the group's new jobs, that would hold too many; `waiting`: what it holds now. */
  | { readonly status: 'full'; readonly queue: string; readonly waiting: number; readonly limit: number };

export interface ClaimRequest {
  /** The id of a server that has beaten at least once and not left. */
  readonly server: string;
  /** Served in this order: the next queue only when those before it have nothing available. Paused ones give nothing. */
  readonly queues: readonly string[];
  /** At most this many jobs. */
  readonly limit: number;
}

export interface ClaimedJob {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly payload: Uint8Array;
  readonly priority: number;
  /** 1 on the first run. Counts failures, not crashes and not jobs handed back. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** How often a server died while it held this job. */
  readonly crashes: number;
  /** Part of the fencing token: goes up with every claim. */
  readonly claim: number;
  readonly addedAt: number;
  readonly runAt: number;
  readonly key?: string;
  readonly tags?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly keepFor?: number;
}

export interface ClaimResult {
  /**
   * Per queue in order of priority. Within one, jobs without a key in order of `runAt`, then of arrival; keys in turn
   * (see KeySettings), and the jobs of one key in order of arrival.
   */
  readonly jobs: readonly ClaimedJob[];
  /**
   * When fewer than `limit` came: the moment from which more can be had without anybody doing anything: a job of these
   * queues is due, or a rate allows one. It may be early, for nothing, but never later than the first moment at which a
   * claim would give something. Now, when there are more already: a claim may be cut short so that its payloads fit into
   * memory.
   */
  readonly nextAt?: number;
}

export type Ending =
  /** `result`: encoded like a payload; kept if the job asked for it. */
  | { readonly kind: 'completed'; readonly result?: Uint8Array }
  /** Costs an attempt. `retryAt` absent: that was the last one, the job is discarded. */
  | { readonly kind: 'failed'; readonly error: AttemptError; readonly retryAt?: number }
  /** Will never work: discarded at once, whatever attempts are left. */
  | { readonly kind: 'discarded'; readonly error: AttemptError }
  | { readonly kind: 'cancelled'; readonly error: AttemptError }
  /** Again at `runAt`; costs no attempt. */
  | { readonly kind: 'snoozed'; readonly runAt: number }
  /** Handed back unfinished, in its old place; costs no attempt. */
  | { readonly kind: 'returned' };

export interface Outcome {
  readonly id: string;
  /** The fencing token: `claim` of the ClaimedJob. */
  readonly claim: number;
  readonly ending: Ending;
}

export type SettleResult = 'taken' | 'stale';

/** What a running job tells about itself. */
export interface Report {
  readonly id: string;
  /** The fencing token. */
  readonly claim: number;
  /** Replaces what was said before: JSON, at most `maxProgress` bytes. */
  readonly progress?: string;
  /** Added to the log, of which the last `maxLogLines` lines are kept. A line is cut at `maxLogLine` characters. */
  readonly log?: readonly LogLine[];
}

export const maxProgress = 65_536;
export const maxLogLines = 1_000;
export const maxLogLine = 4_096;

/** What a server is asked to do with a job it runs. */
export interface Order {
  readonly kind: 'cancel';
  readonly id: string;
  readonly claim: number;
  readonly reason: string;
}

/** What somebody wants of a whole server, at a dashboard that others bring along: that it claims nothing more, or ends. */
export type Signal = 'quiet' | 'stop';

/** Of a waiting job; what is absent stays. */
export interface JobChange {
  readonly id: string;
  readonly payload?: Uint8Array;
  readonly priority?: number;
  readonly maxAttempts?: number;
  /** Past: available now. To come: a retryable job stays retryable, every other one is scheduled. So with debounce. */
  readonly runAt?: number;
  readonly tags?: readonly string[];
}

/** `busy`: it runs or has ended. */
export type ChangeResult = 'changed' | 'busy' | 'unknown';

/**
 * Sends beats from outside the thread that runs handlers, so that a handler which blocks it does not cost its server
 * the lease. `pulse[0]` is incremented by the main loop; when it has not moved for `stallTimeout` ms the beats stop,
 * and the lease runs out: a loop that is dead for good gives its jobs up.
 */
export interface HeartOptions {
  readonly every: number;
  readonly stallTimeout: number;
  readonly pulse: Int32Array;
}

/** What a listener wants to hear of. */
export type Topic =
  /** Something in these queues may have become available, or a `nextAt` may have moved. */
  | { readonly queues: readonly string[] }
  /** There may be orders for this server. */
  | { readonly orders: string }
  /** A kept job has ended, or an event was recorded. */
  | { readonly news: true }
  /** A schedule was put or removed. */
  | { readonly schedules: true };

/** What a backend may be unable to do. */
export type Capability = 'keys' | 'unique' | 'schedules' | 'events' | 'results' | 'search' | 'update' | 'limits';

export interface Backend {
  /** For messages and logs, without secrets: `sqlite:jobs.db`. */
  readonly name: string;
  /** What this backend cannot do, and why, as a sentence. Using it rejects with NOT_SUPPORTED. Absent: it can do all. */
  readonly lacks?: Readonly<Partial<Record<Capability, string>>>;
  /** The wait before the next attempt of a job whose definition names none. Absent: `polynomial()`. */
  readonly backoff?: Backoff;
  /** ms that a server which listens may go without looking by itself. Absent: 1,000. */
  readonly pollInterval?: number;
  /**
   * So many groups are worth an `add` of their own while another is under way, so many outcomes a `settle`. Absent: they wait
   * for that one, and go together.
   */
  readonly ahead?: { readonly add?: number; readonly settle?: number };
  /** The clock by which its jobs are due, as far as this process knows what it says. Absent: this machine's. */
  readonly clock?: Clock;

  /** Once in the life of the object: after `close` it rejects with BACKEND_CLOSED. */
  open(): Promise<void>;
  /** Waits for calls under way, then releases everything. Later calls reject with BACKEND_CLOSED. */
  close(): Promise<void>;

  // the way of a job

  add(groups: readonly AddGroup[]): Promise<readonly AddResult[]>;
  /** Rejects with SERVER_UNKNOWN for a server that never beat, has left, or was rescued: its next beat registers it anew. */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /**
   * A job with an order does not run again: one that failed with `retryAt`, was snoozed or returned becomes cancelled, its
   * attempt as before, the reason as its last error. One that completed, was discarded or failed for good has ended so.
   */
  settle(server: string, outcomes: readonly Outcome[]): Promise<readonly SettleResult[]>;
  /** Progress and log lines of running jobs. A report with neither changes nothing: it asks whether the job is still held. */
  report(server: string, reports: readonly Report[]): Promise<readonly SettleResult[]>;

  // servers

  /** Registers the server if it is new, and renews the lease of everything it holds. */
  beat(server: ServerInfo): Promise<void>;
  /** Like `beat` from now on every `every` ms, off the caller's thread, until `leave`. Absent: beat by hand. */
  startHeart?(server: ServerInfo, options: HeartOptions): Promise<void>;
  /** The server is gone on purpose: what it still holds is handed back, its attempts untouched. */
  leave(server: string): Promise<void>;
  /**
   * Jobs of servers that have not beaten for `lease` ms (or are known to be dead) become available again, their crash
   * count one higher and the crash in their history. One crash before the queue's `maxCrashes` a job is `retryable` at
   * now + `probation` instead, its attempt as before, and holds the slot of its key as if it had failed; at `maxCrashes` it
   * is quarantined, with JOB_QUARANTINED behind SERVER_DIED in its history; it is cancelled if that was asked for. Resolves
   * to how many.
   */
  rescue(lease: number): Promise<number>;
  /** What others want of the jobs that this server runs. An order stands until its job is settled. */
  orders(server: string): Promise<readonly Order[]>;
  /** What others want of the server itself. It stands until the server leaves. Absent: there is nobody who could. */
  signal?(server: string): Promise<Signal | undefined>;
  /**
   * Removes what retention no longer keeps, a bounded number at a time: first what is over a count, the oldest; then what
   * ended its age ago or longer. Forgets periods of unique rules, keys and `once` keys that are over. Resolves to how many
   * of all these; 0: nothing is left to do.
   */
  tidy(): Promise<number>;

  /**
   * Calls `listener` soon (within a second) after something of `topic` has happened, also when another process did it.
   * A hint, not a promise: it may come for nothing, and a lost one must be made good by a poll. Returns the way to stop it.
   */
  listen(topic: Topic, listener: () => void): () => void;

  // schedules

  /** Makes it, or replaces the one with its key; see `Schedule.rule` for what survives that. */
  putSchedule(schedule: Schedule): Promise<void>;
  /** False when there was none. */
  removeSchedule(key: string): Promise<boolean>;
  /** In the order of their keys. */
  schedules(): Promise<readonly ScheduleRecord[]>;
  dueSchedules(limit: number): Promise<DueSchedules>;
  /** Moves schedules on and adds their jobs, each whole or not at all, once whoever else tries. */
  fire(firings: readonly Firing[]): Promise<readonly FiringResult[]>;

  // looking and acting from outside

  counts(): Promise<readonly QueueCounts[]>;
  servers(): Promise<readonly ServerRecord[]>;
  get(id: string): Promise<JobRecord | undefined>;
  /** Oldest first, in order of arrival. `next` absent: that was all. */
  list(filter: JobFilter, page?: Page): Promise<{ readonly jobs: readonly JobRecord[]; readonly next?: string }>;
  /** `count` jobs were acted on. `next` absent: that was all. */
  act(action: Action, filter: JobFilter, page?: Page): Promise<{ readonly count: number; readonly next?: string }>;
  update(changes: readonly JobChange[]): Promise<readonly ChangeResult[]>;
  /** Resolves to the settings as they are now. A queue that was unknown is known from now on. */
  configure(queue: string, change: SettingsChange): Promise<QueueSettings>;
  /** Oldest first; the last ones that are kept when `after` is absent. At most `limit`, 1,000 by default. */
  events(after?: number, limit?: number): Promise<JobEvents>;
}
