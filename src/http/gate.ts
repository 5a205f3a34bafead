/**
 * Remembers that the queue was full or the backend away a moment ago, so that the next requests can be told without
 * reading their bodies.
 *
 *   open ──full · away──▶ shut for `PROBE_EVERY` ──▶ open again: the requests of that moment probe
 *     ▲                                                 │ stored            │ full · away
 *     └─────────────────────────────────────────────────┘                   └──▶ shut, the advice doubles
 *
 * It only ever refuses what may be tried again; what is stored or not is decided by the backend alone. Retry-After is
 * what is over the bound divided by the rate at which the queue drains where that is known, otherwise 1 s and twice as
 * much with every shutting in a row, always within 1–30 s.
 */
import type { AddResult } from '../backend/backend.ts';
import type { Clock } from '../clock.ts';

export interface GateOptions {
  readonly clock: Clock;
  readonly maxQueue: number;
  /** Jobs that wait, as last heard. Cheap: called once per request. */
  readonly waiting?: (() => number | undefined) | undefined;
  /** Jobs that leave the queue per second, as last measured. */
  readonly drainRate?: (() => number | undefined) | undefined;
}

/** How long requests are turned away before some may try again, ms. */
const PROBE_EVERY = 100;
const MAX_ADVICE = 30;
/** A queue fuller than this shuts the gate; a large group that found no room in an emptier one says nothing of small ones. */
const NEARLY_FULL = 0.9;

/** The problem codes a gate refuses with. */
export type Refusal = 'QUEUE_FULL' | 'BACKEND_AWAY';

export class Gate {
  readonly #options: GateOptions;
  #reason: Refusal = 'QUEUE_FULL';
  #shutUntil = Number.NEGATIVE_INFINITY;
  /** Shuttings in a row. */
  #streak = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Why a request that comes now is turned away, or undefined to let it in. */
  get shut(): Refusal | undefined {
    if (this.#shutUntil > this.#options.clock.monotonic()) return this.#reason;
    return (this.#options.waiting?.() ?? 0) >= this.#options.maxQueue ? 'QUEUE_FULL' : undefined;
  }

  /** Seconds to put into Retry-After, an integer of 1–30. */
  advice(reason: Refusal): number {
    const { waiting, drainRate, maxQueue } = this.#options;
    const rate = reason === 'QUEUE_FULL' ? drainRate?.() : undefined;
    // A tenth of the queue should be free when they come back, or the first of them fill it again at once.
    const excess = (waiting?.() ?? maxQueue) - maxQueue * NEARLY_FULL;
    const seconds = rate !== undefined && rate > 0 ? excess / rate : 2 ** Math.max(0, this.#streak - 1);
    return Math.min(MAX_ADVICE, Math.max(1, Math.ceil(seconds)));
  }

  stored(): void {
    this.#streak = 0;
  }

  full(result: Extract<AddResult, { status: 'full' }>): void {
    if (result.waiting >= result.limit * NEARLY_FULL) this.#shut('QUEUE_FULL');
  }

  /** True when this is news: the last group was stored, or found a full queue. */
  away(): boolean {
    const known = this.#streak > 0 && this.#reason === 'BACKEND_AWAY';
    this.#shut('BACKEND_AWAY');
    return !known;
  }

  #shut(reason: Refusal): void {
    const now = this.#options.clock.monotonic();
    this.#reason = reason;
    // Those that were let in together fail together; that is one shutting.
    if (this.#shutUntil > now) return;
    this.#shutUntil = now + PROBE_EVERY;
    this.#streak++;
  }
}
