/**
 * What travels between the caller's thread and the one with the connection.
 *
 * A batch is a few typed arrays and one block of payload bytes, all moved, not copied; what repeats from job to job
 * (queue, name, priority, attempts) travels once per batch as a template. Cloning thousands of objects would cost more
 * than storing them, and cloning a Buffer clones its whole pool.
 *
 *   AddRequest    templates  [["mail", "send", 5, 3]]
 *                 groups     [jobs, maxWaiting or -1]*      Int32
 *                 jobs       [template, payload length]*    Int32
 *                 bytes      payload payload payload …
 */
import type {
  AddGroup,
  AttemptError,
  Ending,
  HeartOptions,
  JobState,
  NewJob,
  Outcome,
  ServerInfo,
} from '../backend.ts';
import { assertEnding, assertGroup, assertJob, assertPayload } from '../check.ts';
import type { Ids } from '../ids.ts';
import type { WireError } from './failure.ts';

/** As stored; the numbers are part of the schema. `completed` is only ever a count. */
export const stateNumbers = {
  scheduled: 2,
  retryable: 3,
  available: 4,
  running: 5,
  discarded: 6,
  cancelled: 7,
  completed: 8,
} as const satisfies Record<JobState, number>;

/** queue, name, priority, maxAttempts */
export type Template = readonly [queue: string, name: string, priority: number, maxAttempts: number];

export interface Once {
  readonly group: number;
  readonly key: string;
  readonly fingerprint: string;
  readonly ttl: number;
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
}

/** Per group: [0, first number, jobs] stored · [1, first number, jobs] repeated · [2] mismatch · [3, queue, waiting] full. */
export type AddAnswer = readonly (readonly [0 | 1, number, number] | readonly [2] | readonly [3, string, number])[];

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
  readonly nextAt: number | undefined;
}

export const endingKinds = ['completed', 'failed', 'discarded', 'cancelled', 'snoozed', 'returned'] as const;

export interface SettleRequest {
  readonly kind: 'settle';
  readonly now: number;
  readonly server: string;
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly claims: Int32Array<ArrayBuffer>;
  /** Index into `endingKinds`. */
  readonly kinds: Uint8Array<ArrayBuffer>;
  /** In order, of those endings that carry more than their kind. */
  readonly details: readonly Detail[];
}

/** `at`: retryAt or runAt. */
export interface Detail {
  readonly at: number | null;
  readonly error: AttemptError | null;
}

export interface WireFilter {
  readonly numbers?: readonly number[];
  readonly queue?: string;
  readonly name?: string;
  readonly states?: readonly JobState[];
}

export interface BeatRequest {
  readonly kind: 'beat';
  readonly now: number;
  readonly server: ServerInfo;
}

/** Everything that runs inside a transaction. */
export type Request =
  | AddRequest
  | ClaimRequest
  | SettleRequest
  | BeatRequest
  | { readonly kind: 'leave'; readonly server: string }
  | { readonly kind: 'rescue'; readonly now: number; readonly lease: number }
  | { readonly kind: 'counts' }
  | { readonly kind: 'servers' }
  | { readonly kind: 'list'; readonly filter: WireFilter; readonly limit: number }
  | { readonly kind: 'retry'; readonly now: number; readonly filter: WireFilter }
  | { readonly kind: 'cancel'; readonly now: number; readonly filter: WireFilter; readonly reason: string }
  | { readonly kind: 'remove'; readonly filter: WireFilter }
  | { readonly kind: 'pause'; readonly queue: string; readonly paused: boolean };

/** What concerns the thread itself. */
export type Control =
  | { readonly kind: 'heart'; readonly server: ServerInfo; readonly options: HeartOptions }
  | { readonly kind: 'listen'; readonly on: boolean }
  | { readonly kind: 'close' };

export type ToThread = (Request & { readonly call: number }) | Control;

export type Answer = { readonly call: number } & ({ readonly value: unknown } | { readonly error: WireError });

export type FromThread =
  | { readonly kind: 'open'; readonly store: string }
  | { readonly kind: 'failed'; readonly error: WireError }
  | { readonly kind: 'answers'; readonly answers: readonly Answer[]; readonly woken: readonly string[] };

/** Packs groups; throws OPTION_INVALID for what cannot be stored, and then nothing has left. */
export function packAdd(groups: readonly AddGroup[], now: number): AddRequest {
  let count = 0;
  let size = 0;
  for (const group of groups) {
    assertGroup(group);
    count += group.jobs.length;
    for (const job of group.jobs) {
      assertPayload(job);
      size += job.payload.byteLength;
    }
  }
  const templates = new Templates();
  const heads = new Int32Array(2 * groups.length);
  const jobs = new Int32Array(2 * count);
  // A byte to spare: an empty payload in an empty block would have no address, which Node 22 stores as NULL.
  const bytes = new Uint8Array(size + 1);
  const once: Once[] = [];
  let runAt: Float64Array<ArrayBuffer> | undefined;
  let at = 0;
  let end = 0;
  groups.forEach((group, i) => {
    heads[2 * i] = group.jobs.length;
    heads[2 * i + 1] = group.maxWaiting === undefined ? -1 : Math.min(group.maxWaiting, 2 ** 31 - 1);
    if (group.once) once.push({ group: i, ...group.once });
    for (const job of group.jobs) {
      if (job.runAt !== undefined) {
        runAt ??= new Float64Array(count).fill(now);
        runAt[at] = Math.ceil(job.runAt);
      }
      jobs[2 * at] = templates.indexOf(job);
      jobs[2 * at + 1] = job.payload.byteLength;
      bytes.set(job.payload, end);
      end += job.payload.byteLength;
      at++;
    }
  });
  return { kind: 'add', now, templates: templates.list, groups: heads, jobs, bytes, once, ...(runAt && { runAt }) };
}

/** The distinct templates of a batch, in order of first use. A batch is mostly of one kind: the last one is tried first. */
class Templates {
  readonly list: Template[] = [];
  readonly #indexes = new Map<string, number>();
  #last: NewJob | undefined;
  #lastIndex = -1;

  indexOf(job: NewJob): number {
    const last = this.#last;
    const isSame =
      last !== undefined &&
      last.queue === job.queue &&
      last.name === job.name &&
      last.priority === job.priority &&
      last.maxAttempts === job.maxAttempts;
    if (!isSame) {
      assertJob(job);
      this.#last = job;
      this.#lastIndex = this.#find([job.queue, job.name, job.priority, job.maxAttempts]);
    }
    return this.#lastIndex;
  }

  #find(template: Template): number {
    const key = JSON.stringify(template);
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    this.#indexes.set(key, this.list.length);
    return this.list.push(template) - 1;
  }
}

/** Packs outcomes; throws OPTION_INVALID for a moment that is none. */
export function packSettle(server: string, outcomes: readonly Outcome[], ids: Ids, now: number): SettleRequest {
  const numbers = new Float64Array(outcomes.length);
  const claims = new Int32Array(outcomes.length);
  const kinds = new Uint8Array(outcomes.length);
  const details: Detail[] = [];
  outcomes.forEach(({ id, claim, ending }, i) => {
    numbers[i] = ids.parse(id);
    claims[i] = claim;
    kinds[i] = endingKinds.indexOf(ending.kind);
    if (ending.kind !== 'completed' && ending.kind !== 'returned') details.push(toDetail(ending));
  });
  return { kind: 'settle', now, server, numbers, claims, kinds, details };
}

function toDetail(ending: Ending): Detail {
  assertEnding(ending);
  const at = ending.kind === 'snoozed' ? ending.runAt : ending.kind === 'failed' ? ending.retryAt : undefined;
  return { at: at === undefined ? null : Math.ceil(at), error: 'error' in ending ? ending.error : null };
}

/** The buffers of a message that move instead of being copied. */
export function transfers(message: unknown): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  if (typeof message !== 'object' || message === null) return buffers;
  for (const value of ArrayBuffer.isView(message) ? [message] : Object.values(message)) {
    // Nothing to move in an empty one.
    if (ArrayBuffer.isView(value) && value.byteLength > 0) buffers.push(value.buffer as ArrayBuffer);
  }
  return buffers;
}
