/**
 * THE CONTRACT between Millrace and the place where jobs wait. No connection, transaction or thread appears in it.
 *
 *   add ──▶ available ──claim──▶ running ──settle──▶ completed · discarded · cancelled
 *            ▲    ▲                 │
 *   scheduled┘    └──── retryable ◀─┴─ failed · snoozed · returned · rescued
 *
 * Every call takes a batch and resolves when its effect holds: after `add` the job survives what the backend's loss
 * table says it survives, after `settle` it will not run again. A call that rejects has changed nothing.
 *
 * The fencing token of a running job is (server, claim): when the job was handed back, rescued or settled since, the old
 * holder's settle is answered `stale` and changes nothing.
 *
 * Every behaviour below is a sentence in `conformance.ts`, and each backend passes all of them.
 */

/** Exactly one at any moment. The words are River's and Oban's. */
export const jobStates = [
  'scheduled', // waits for its time
  'available', // can be claimed now
  'running', // leased to a server
  'retryable', // failed, waits for its next attempt
  'completed', // done; kept as a count, the row is removed when it settles
  'discarded', // failed for good; kept with its errors, can be retried
  'cancelled', // ended on purpose; kept with its reason, can be retried
] as const;
export type JobState = (typeof jobStates)[number];

/** A job as a client hands it over. */
export interface NewJob {
  readonly queue: string;
  readonly name: string;
  /**
   * The encoded payload: UTF-8 JSON unless the job's codec says otherwise. Stored and returned byte for byte. The backend
   * may keep the view instead of copying it, so the caller leaves the bytes alone from here on.
   */
  readonly payload: Uint8Array;
  /** 0 is served first. Integer 0–9. */
  readonly priority: number;
  /** Failures after which the job is discarded. Integer ≥ 1. */
  readonly maxAttempts: number;
  /** Not before this moment, ms since the epoch. Absent or past: at once. */
  readonly runAt?: number;
}

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
  | { readonly status: 'stored'; readonly ids: readonly string[] }
  /** `once.key` was seen with the same fingerprint: the ids of then. */
  | { readonly status: 'repeated'; readonly ids: readonly string[] }
  /** `once.key` was seen with another fingerprint. */
  | { readonly status: 'mismatch' }
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
}

export interface ClaimResult {
  /** Per queue in order of priority, then of `runAt`, then of arrival. */
  readonly jobs: readonly ClaimedJob[];
  /**
   * When fewer than `limit` came: the moment the next scheduled or retryable job of these queues is due. Now, when there
   * are more already: a claim may be cut short so that its payloads fit into memory.
   */
  readonly nextAt?: number;
}

/** What one attempt's error looked like; the history of a job is a list of these, at most `maxErrors`, oldest dropped. */
export interface AttemptError {
  readonly attempt: number;
  readonly at: number;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}

/** Longest error history kept with a job: an endless retry must not grow its record without end. */
export const maxErrors = 100;

export type Ending =
  | { readonly kind: 'completed' }
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

export interface ServerInfo {
  /** A new one for every start of a server: it is what a lease belongs to. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly queues: readonly string[];
  readonly concurrency: number;
}

/** A job as seen from outside. */
export interface JobRecord {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly state: JobState;
  readonly payload: Uint8Array;
  readonly priority: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly crashes: number;
  readonly addedAt: number;
  readonly runAt: number;
  readonly endedAt?: number;
  readonly server?: string;
  readonly errors: readonly AttemptError[];
}

/** Which jobs; absent fields match all. Combined with AND. */
export interface JobFilter {
  readonly ids?: readonly string[];
  readonly queue?: string;
  readonly name?: string;
  readonly states?: readonly JobState[];
}

export interface QueueCounts {
  readonly queue: string;
  readonly paused: boolean;
  readonly scheduled: number;
  readonly available: number;
  readonly running: number;
  readonly retryable: number;
  readonly discarded: number;
  readonly cancelled: number;
  /** Since the queue exists. */
  readonly completed: number;
}

export interface ServerRecord extends ServerInfo {
  readonly beatAt: number;
  readonly running: number;
}

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

export interface Backend {
  /** For messages and logs, without secrets: `sqlite:jobs.db`. */
  readonly name: string;

  /** Once in the life of the object: after `close` it rejects with BACKEND_CLOSED. */
  open(): Promise<void>;
  /** Waits for calls under way, then releases everything. Later calls reject with BACKEND_CLOSED. */
  close(): Promise<void>;

  add(groups: readonly AddGroup[]): Promise<readonly AddResult[]>;
  /** Rejects with SERVER_UNKNOWN for a server that never beat, has left, or was rescued: its next beat registers it anew. */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  settle(server: string, outcomes: readonly Outcome[]): Promise<readonly SettleResult[]>;

  /** Registers the server if it is new, and renews the lease of everything it holds. */
  beat(server: ServerInfo): Promise<void>;
  /** Like `beat` from now on every `every` ms, off the caller's thread, until `leave`. Absent: beat by hand. */
  startHeart?(server: ServerInfo, options: HeartOptions): Promise<void>;
  /** The server is gone on purpose: what it still holds is handed back, its attempts untouched. */
  leave(server: string): Promise<void>;
  /**
   * Jobs of servers that have not beaten for `lease` ms (or are known to be dead) become available again, their crash
   * count one higher. Resolves to how many.
   */
  rescue(lease: number): Promise<number>;

  /**
   * Calls `listener` soon after something in `queues` may have become available, or a `nextAt` may have moved, also
   * when another process did it. A hint, not a promise: it may come for nothing, and a lost one is made good by the
   * fetcher's poll. Returns the way to stop it.
   */
  wake(queues: readonly string[], listener: () => void): () => void;

  counts(): Promise<readonly QueueCounts[]>;
  servers(): Promise<readonly ServerRecord[]>;
  get(id: string): Promise<JobRecord | undefined>;
  /** Oldest first, at most `limit` (default 100). */
  list(filter: JobFilter, limit?: number): Promise<readonly JobRecord[]>;
  /**
   * Scheduled, retryable, discarded or cancelled jobs become available now; an ended one starts over at attempt 1, its
   * history kept. Resolves to how many.
   */
  retry(filter: JobFilter): Promise<number>;
  /** Waiting jobs are cancelled. Running ones are left alone. Resolves to how many. */
  cancel(filter: JobFilter, reason: string): Promise<number>;
  /** Removes jobs that are not running. Resolves to how many. */
  remove(filter: JobFilter): Promise<number>;
  pause(queue: string): Promise<void>;
  resume(queue: string): Promise<void>;
}
