/**
 * When an attempt may start: the turnstile in front of a store.
 *
 *            overload                      a success
 *    ┌──────┐────────▶┌────────┐◀────────────────────────────┐
 *    │ open │         │ slowed │   8 failures in a row       │
 *    └──────┘◀────────└────────┘                            ┌┴─────┐
 *             10 s of peace    └───────────────────────────▶│ away │ one probe at a time
 *                                                           └──────┘ after 1, 2, 4, … 30 s
 *
 * - **open**: as many attempts as the limit allows.
 * - **slowed**: the store asked for less in the last 10 s, or told us to wait (Retry-After): the limit has shrunk, or
 *   starts are held.
 * - **away**: nothing gets through. Starts are held, then one attempt probes. A success opens the gate, beginning low.
 *
 * One mechanism makes all of it: failures in a row, without a success between them, hold the next start for 20, 40,
 * 80 … ms and halve what may start then; from the eighth the hold is a second or more and one may start, and that is
 * what `away` means. Jitter of ± 20 % keeps many processes from probing together.
 *
 * Promises: attempts in flight ≤ limit, except the debt of a limit that shrank; waiters start in order of their arrival;
 * every `enter` settles exactly once; one timer at most. Waiting is bounded by the callers.
 */
import type { Clock, Timer } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { MillraceError, type SinkTrouble } from '../errors.ts';
import { Aimd } from '../pool/limits/aimd.ts';
import { lateLoop } from '../pool/limits/lag.ts';
import type { Limit } from '../pool/limits/limit.ts';

export type GateState = 'open' | 'slowed' | 'away';

export interface GateOptions {
  /** How many at once. Default: `Aimd` of at most 256. */
  readonly limit?: Limit;
  readonly clock?: Clock;
  /** For jitter: numbers from 0 up to 1. Default `Math.random`. */
  readonly random?: () => number;
  /** True while this process is too busy for its latencies to mean anything. Default: `lateLoop`. */
  readonly isLate?: () => boolean;
}

/** One attempt under way. Exactly one of its ends must be reported with `succeed`, `fail` or `release`. */
export interface Pass {
  /** `monotonic` milliseconds. */
  readonly startedAt: number;
  readonly inFlight: number;
}

interface Waiter {
  resolve(pass: Pass): void;
  reject(reason: unknown): void;
}

const FIRST_HOLD = 20;
/** Failures in a row after which the store is away: the hold has reached 1.28 s. */
const AWAY_AFTER = 8;
const LONGEST_HOLD = 30_000;
/** A Retry-After beyond this is taken as this: a wrong header must not stop the flow for a day. */
const LONGEST_RETRY_AFTER = 5 * 60_000;
const SLOWED_FOR = 10_000;

export class Gate {
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #isLate: () => boolean;
  /** In order of arrival; a Set, because a signal takes waiters out of the middle. */
  readonly #waiting = new Set<Waiter>();
  #inFlight = 0;
  /** Failures since the last success, counting those of one burst once. */
  #failures = 0;
  #lastFailure = Number.NEGATIVE_INFINITY;
  #lastSuccess = Number.NEGATIVE_INFINITY;
  #heldUntil = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: GateOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#limit = options.limit ?? new Aimd({ clock: this.#clock });
    this.#random = options.random ?? Math.random;
    this.#isLate = options.isLate ?? lateLoop({ clock: this.#clock });
  }

  get state(): GateState {
    if (this.#failures >= AWAY_AFTER) return 'away';
    const now = this.#clock.monotonic();
    return now < this.#heldUntil || now - this.#lastFailure < SLOWED_FOR ? 'slowed' : 'open';
  }

  /** Attempts that may be in flight now. */
  get limit(): number {
    return Math.max(1, this.#failures >= AWAY_AFTER ? 1 : this.#limit.limit >> Math.max(0, this.#failures - 1));
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** When an attempt last succeeded, in `monotonic` milliseconds; -Infinity before the first. */
  get lastSuccess(): number {
    return this.#lastSuccess;
  }

  /** Resolves when an attempt may start. Rejects with the signal's reason, or with STOPPED after `close`. */
  enter(signal?: AbortSignal): Promise<Pass> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(new MillraceError('STOPPED', { what: 'the sink' }));
    if (this.#waiting.size === 0 && this.#mayStart()) return Promise.resolve(this.#start());
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', abort);
      };
      const waiter: Waiter = {
        resolve: (pass) => {
          leave();
          resolve(pass);
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const abort = () => {
        waiter.reject(signal?.reason);
        if (this.#waiting.size === 0) this.#disarm();
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.add(waiter);
      this.#admit();
    });
  }

  /** The attempt got through. */
  succeed(pass: Pass, bytes: number): void {
    const now = this.#clock.monotonic();
    const wasAway = this.#failures >= AWAY_AFTER;
    this.#failures = 0;
    this.#lastSuccess = now;
    const rtt = this.#isLate() ? {} : { rtt: now - pass.startedAt };
    this.#limit.sample({ outcome: 'ok', ...pass, ...rtt, bytes });
    if (wasAway) {
      // What slowed it may be what broke it: come back gently, from the start.
      this.#limit.restart();
      this.#heldUntil = now;
    }
    this.release(pass);
  }

  /** The attempt failed because of the store. `retryAfter` in ms, when the store said so. */
  fail(pass: Pass, trouble: SinkTrouble, retryAfter = 0): void {
    const now = this.#clock.monotonic();
    this.#limit.sample({ outcome: trouble === 'blocked' ? 'ignored' : 'overload', ...pass });
    // Those that began before the last failure was known are of the same burst.
    if (pass.startedAt >= this.#lastFailure) {
      this.#failures++;
      this.#lastFailure = now;
      this.#hold(this.#failures < 2 ? 0 : this.#backoff());
    }
    this.#hold(Math.min(retryAfter, LONGEST_RETRY_AFTER));
    this.release(pass);
  }

  /** The attempt ended in a way that says nothing about the store. */
  release(_: Pass): void {
    this.#inFlight--;
    this.#admit();
  }

  /** Turns away whoever waits, and whoever comes. Attempts under way may end. */
  close(): void {
    this.#closed = true;
    this.#disarm();
    for (const waiter of this.#waiting) waiter.reject(new MillraceError('STOPPED', { what: 'the sink' }));
  }

  #mayStart(): boolean {
    return this.#inFlight < this.limit && this.#clock.monotonic() >= this.#heldUntil;
  }

  #start(): Pass {
    this.#inFlight++;
    return { startedAt: this.#clock.monotonic(), inFlight: this.#inFlight };
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (!this.#mayStart()) {
        this.#armForHold();
        return;
      }
      waiter.resolve(this.#start());
    }
  }

  #hold(ms: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, this.#clock.monotonic() + ms);
  }

  #backoff(): number {
    const hold = Math.min(FIRST_HOLD * 2 ** (this.#failures - 2), LONGEST_HOLD);
    return Math.min(hold * (0.8 + 0.4 * this.#random()), LONGEST_HOLD);
  }

  /** Nobody else will call when the hold ends and nothing is in flight, so a timer does. */
  #armForHold(): void {
    const wait = this.#heldUntil - this.#clock.monotonic();
    this.#disarm();
    if (wait <= 0) return;
    this.#timer = this.#clock.timer(Math.ceil(wait), () => {
      this.#timer = undefined;
      this.#admit();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
