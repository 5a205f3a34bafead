/**
 * What travels between the caller's thread and the one with the connection. `pack.ts` makes it.
 *
 * A batch is a few typed arrays and one block of payload bytes, all moved, not copied; what repeats from job to job
 * (queue, name, priority, attempts) travels once per batch as a template. Cloning thousands of objects would cost more
 * than storing them, and cloning a Buffer clones its whole pool. What only some jobs have travels beside, in `extras`.
 *
 *   AddRequest    templates  [["mail", "send", 5, 3]]
 *                 groups     [jobs, maxWaiting or -1]*      Int32
 *                 jobs       [template, payload length]*    Int32
 *                 bytes      payload payload payload …
 */
import type {
  AttemptError,
  HeartOptions,
  JobChange,
  LogLine,
  Order,
  Report,
  ServerInfo,
  SettleResult,
  Unique,
} from '../backend.ts';
import type { Action, JobFilter, Page } from '../filter.ts';
import type { JobEvent, JobEvents, JobRecord } from '../records.ts';
import type { Schedule, ScheduleRecord } from '../schedule.ts';
import type { SettingsChange } from '../settings.ts';
import type { WireError } from './failure.ts';

/** As stored; the numbers are part of the schema. Those after `available` are available too: jobs with a key. */
export const stateNumbers = {
  scheduled: 2,
  retryable: 3,
  available: 4,
  running: 5,
  discarded: 6,
  cancelled: 7,
  completed: 8,
  quarantined: 9,
  /** Its key's next one, standing in the queue's line of keys. */
  head: 10,
  /** Behind another one of its key, or its key has no free slot, or its rate says not yet. */
  behind: 11,
  /** The same, and has a slot already. */
  holding: 12,
} as const;

/** Bits of the column `special`: what else belongs to a job. */
export const special = {
  keyed: 1,
  kept: 2,
  unique: 4,
  own: 8,
  ordered: 16,
  noted: 32,
  /** It failed or was snoozed, and nobody has done anything about it: it may hold the slot of its key. */
  stopped: 64,
} as const;

/** A job in the words of the thread: its number, or the id that its caller gave. */
export type Ref = number | string;

/** queue, name, priority, maxAttempts */
export type Template = readonly [queue: string, name: string, priority: number, maxAttempts: number];

export interface Once {
  readonly group: number;
  readonly key: string;
  readonly fingerprint: string;
  readonly ttl: number;
}

/** What is stored with a job in one column, and given back as it is. */
export interface Extras {
  readonly id?: string;
  readonly key?: string;
  readonly tags?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly keepFor?: number;
}

export interface NewExtras extends Extras {
  /** Position among the jobs of the request. */
  readonly at: number;
  readonly unique?: Unique;
}

export interface AddRequest {
  readonly kind: 'add';
  readonly now: number;
  readonly templates: readonly Template[];
  readonly groups: Int32Array<ArrayBuffer>;
  readonly jobs: Int32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** One per job; absent when all are to run at once. */
  readonly runAt?: Float64Array<ArrayBuffer>;
  readonly once: readonly Once[];
  /** In order of the jobs; absent when no job has any. */
  readonly extras?: readonly NewExtras[];
}

/**
 * Per group: [0, first number, jobs] stored · [1, first number, jobs] repeated · [2] mismatch · [3, queue, waiting] full ·
 * [4, ids, existing] stored · [5, ids] repeated, with ids that are not numbers in a row.
 */
export type AddAnswer = readonly (
  | readonly [0 | 1, number, number]
  | readonly [2]
  | readonly [3, string, number]
  | readonly [4, readonly Ref[], readonly number[]]
  | readonly [5, readonly Ref[]]
)[];

export interface ClaimRequest {
  readonly kind: 'claim';
  readonly now: number;
  readonly server: string;
  readonly queues: readonly string[];
  readonly limit: number;
}

export interface ClaimAnswer {
  readonly templates: readonly Template[];
  /** [number, addedAt, runAt]* */
  readonly times: Float64Array<ArrayBuffer>;
  /** [template, attempt, crashes, claim, payload length]* */
  readonly jobs: Int32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [position, Extras as JSON], of those that have any. */
  readonly extras?: readonly (readonly [number, string])[];
  readonly nextAt: number | undefined;
}

export const endingKinds = ['completed', 'failed', 'discarded', 'cancelled', 'snoozed', 'returned'] as const;
export type EndingKind = (typeof endingKinds)[number];

export interface SettleRequest {
  readonly kind: 'settle';
  readonly now: number;
  readonly server: string;
  /** -1: see `own`. */
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly claims: Int32Array<ArrayBuffer>;
  /** Index into `endingKinds`. */
  readonly kinds: Uint8Array<ArrayBuffer>;
  /** In order, of those endings that carry more than their kind. */
  readonly details: readonly Detail[];
  /** [position, id that the caller gave] */
  readonly own?: readonly (readonly [number, string])[];
  /** [position, result] */
  readonly results?: readonly (readonly [number, Uint8Array])[];
}

/** `at`: retryAt or runAt. */
export interface Detail {
  readonly at: number | null;
  readonly error: AttemptError | null;
}

export type WireReport = Omit<Report, 'id' | 'log'> & { readonly ref: Ref; readonly log?: readonly LogLine[] };

export type WireFilter = Omit<JobFilter, 'ids'> & { readonly refs?: readonly Ref[] };

export type WireChange = Omit<JobChange, 'id'> & { readonly ref: Ref };

export interface WireFiring {
  readonly key: string;
  readonly tick: number;
  readonly nextAt: number | null;
}

/** The jobs are moved as a block, see `transfers`; one group per firing. */
export interface FireRequest extends Omit<AddRequest, 'kind'> {
  readonly kind: 'fire';
  readonly firings: readonly WireFiring[];
}

/** Everything that runs inside a transaction. */
export type Request =
  | AddRequest
  | ClaimRequest
  | SettleRequest
  | FireRequest
  | { readonly kind: 'report'; readonly now: number; readonly server: string; readonly reports: readonly WireReport[] }
  | { readonly kind: 'beat'; readonly now: number; readonly server: ServerInfo }
  | { readonly kind: 'leave'; readonly now: number; readonly server: string }
  | { readonly kind: 'rescue'; readonly now: number; readonly lease: number }
  | { readonly kind: 'orders'; readonly server: string }
  | { readonly kind: 'tidy'; readonly now: number }
  | { readonly kind: 'putSchedule'; readonly schedule: Schedule }
  | { readonly kind: 'removeSchedule'; readonly key: string }
  | { readonly kind: 'schedules' }
  | { readonly kind: 'dueSchedules'; readonly now: number; readonly limit: number }
  | { readonly kind: 'counts' }
  | { readonly kind: 'servers' }
  | { readonly kind: 'list'; readonly filter: WireFilter; readonly page: Page }
  | {
      readonly kind: 'act';
      readonly now: number;
      readonly action: Action;
      readonly filter: WireFilter;
      readonly page: Page;
    }
  | { readonly kind: 'update'; readonly now: number; readonly changes: readonly WireChange[] }
  | { readonly kind: 'configure'; readonly now: number; readonly queue: string; readonly change: SettingsChange }
  | { readonly kind: 'events'; readonly after: number | null; readonly limit: number };

/** A JobRecord that has its number for an id, unless its caller gave it one. */
export type WireRecord = Omit<JobRecord, 'id'> & { readonly ref: Ref };
export type WireOrder = Omit<Order, 'id'> & { readonly ref: Ref };
export type WireEvent = Omit<JobEvent, 'job'> & { readonly ref: Ref };

/** What the answers of the smaller calls are. */
export interface Answers {
  readonly report: readonly SettleResult[];
  readonly orders: readonly WireOrder[];
  readonly schedules: readonly ScheduleRecord[];
  readonly list: { readonly jobs: readonly WireRecord[]; readonly next?: string };
  readonly act: { readonly count: number; readonly next?: string };
  readonly events: Omit<JobEvents, 'events'> & { readonly events: readonly WireEvent[] };
  /** Per firing: the ids of its jobs, or null when another one was first. */
  readonly fire: readonly (readonly Ref[] | null)[];
}

/** What concerns the thread itself. */
export type Control =
  | { readonly kind: 'heart'; readonly server: ServerInfo; readonly options: HeartOptions }
  | { readonly kind: 'listen'; readonly on: boolean }
  | { readonly kind: 'close' };

export type ToThread = (Request & { readonly call: number }) | Control;

export type Answer = { readonly call: number } & ({ readonly value: unknown } | { readonly error: WireError });

/** What listeners may want to hear of, see Topic. */
export interface Heard {
  readonly queues: readonly string[];
  readonly servers: readonly string[];
  readonly news: boolean;
  readonly schedules: boolean;
}

export type FromThread =
  | { readonly kind: 'open'; readonly store: string }
  | { readonly kind: 'failed'; readonly error: WireError }
  | { readonly kind: 'answers'; readonly answers: readonly Answer[]; readonly heard: Heard | undefined };

/** The buffers of a message that move instead of being copied: those it is made of, not those of its parts. */
export function transfers(message: unknown): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  if (typeof message !== 'object' || message === null) return buffers;
  for (const value of ArrayBuffer.isView(message) ? [message] : Object.values(message)) {
    // Nothing to move in an empty one.
    if (ArrayBuffer.isView(value) && value.byteLength > 0) buffers.push(value.buffer as ArrayBuffer);
  }
  return buffers;
}
