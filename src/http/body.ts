/**
 * Reads request bodies, and bounds what they may cost: each one's size, all of them together, and their time.
 *
 *   data… ──▶ size ≤ maxLength? ──▶ all together ≤ maxInFlight? ──▶ end ──▶ inflate ──▶ done(undefined, body)
 *                 413                     503                                400 · 413
 *   meanwhile, once a second: older than `timeout`, or slower than `minRate`? ──▶ 408
 *
 * Promises: `done` is called at most once, and never for a body that did not arrive to its end: when the client goes
 * away nobody is left to answer. After `done` with an error the rest of the body is not looked at.
 *
 * Costs: an uncompressed body that came in one piece (most do) is handed on as it is, not copied. One timer for all
 * bodies, and only while some are being read. A body in pieces may hold twice its bytes while it grows. The bytes of a body count as in flight until `release`, because what is
 * cut from them lives until it is stored.
 */
import type { IncomingMessage } from 'node:http';
import type { Clock, Timer } from '../clock.ts';
import { type Encoding, Inflater, tooLarge } from './inflate.ts';
import { invalid } from './problem.ts';

export interface BodyLimits {
  /** Most bytes of one body, as sent and as inflated. */
  readonly maxLength: number;
  /** Most bytes of all bodies together. */
  readonly maxInFlight: number;
  /** Longest time for one body, ms. */
  readonly timeout: number;
  /** Bytes per second that a body must reach on average once it has taken longer than `SLOW_START`. */
  readonly minRate: number;
  readonly clock: Clock;
}

export type BodyDone = (error: Error | undefined, body: Buffer) => void;

/** A body is not judged by its rate before it is this old, ms. */
const SLOW_START = 5_000;
/** How often bodies are looked at, ms. */
const SWEEP_EVERY = 1_000;
/** What a request costs beside its body; keeps many small ones from being free. */
const REQUEST_OVERHEAD = 1_024;

const EMPTY = Buffer.alloc(0);

interface Reading {
  readonly request: IncomingMessage;
  readonly encoding: Encoding;
  readonly done: BodyDone;
  readonly startedAt: number;
  /** The first piece itself; from the second on a buffer that doubles, so a million tiny pieces cost no more than one. */
  storage: Buffer;
  /** Bytes of `storage` that have come. */
  size: number;
  over: boolean;
}

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #inflater = new Inflater();
  readonly #readings = new Set<Reading>();
  #inFlight = 0;
  #sweeper: Timer | undefined;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Bytes of all bodies that are being read or not released yet, with what each request costs beside its body. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** False when the next body would be refused anyway. */
  get hasRoom(): boolean {
    return this.#inFlight < this.#limits.maxInFlight;
  }

  /**
   * Reads the body of `request` and calls `done` with it, or with REQUEST_INVALID: BODY_TOO_LARGE, BODY_TOO_SLOW,
   * BODY_MALFORMED, BUSY. Whoever gets a body must `release` it.
   */
  read(request: IncomingMessage, encoding: Encoding, done: BodyDone): void {
    const startedAt = this.#limits.clock.monotonic();
    const reading = { request, encoding, done, startedAt, storage: EMPTY, size: 0, over: false };
    this.#readings.add(reading);
    this.#inFlight += REQUEST_OVERHEAD;
    request.on('data', (chunk: Buffer) => this.#take(reading, chunk));
    request.on('end', () => this.#complete(reading));
    request.on('close', () => this.#abandon(reading));
    this.#sweeper ??= this.#limits.clock.timer(SWEEP_EVERY, () => this.#sweep(), { unref: true });
  }

  /** The body is no longer needed. */
  release(body: Buffer): void {
    this.#inFlight -= body.length + REQUEST_OVERHEAD;
  }

  /** Stops looking at the time. For when all requests are over. */
  close(): void {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
  }

  #take(reading: Reading, chunk: Buffer): void {
    if (reading.over) return;
    const { maxLength, maxInFlight } = this.#limits;
    const size = reading.size + chunk.length;
    if (size > maxLength) {
      this.#fail(reading, tooLarge(maxLength));
      return;
    }
    if (reading.size === 0) reading.storage = chunk;
    else append(reading, chunk, maxLength);
    reading.size = size;
    this.#inFlight += chunk.length;
    if (this.#inFlight > maxInFlight) this.#fail(reading, busy());
  }

  #complete(reading: Reading): void {
    if (!this.#leave(reading)) return;
    const { storage, size, encoding, done } = reading;
    const body = storage.length === size ? storage : storage.subarray(0, size);
    if (encoding === 'identity') done(undefined, body);
    else this.#inflate(body, encoding, done);
  }

  #inflate(packed: Buffer, encoding: Encoding, done: BodyDone): void {
    const { maxLength, maxInFlight } = this.#limits;
    this.#inflater.inflate(packed, encoding, maxLength, (error, body) => {
      this.release(packed);
      const problem = error ?? (this.#inFlight + body.length > maxInFlight ? busy() : undefined);
      if (!problem) this.#inFlight += body.length + REQUEST_OVERHEAD;
      done(problem, body);
    });
  }

  #fail(reading: Reading, error: Error): void {
    if (this.#abandon(reading)) reading.done(error, EMPTY);
  }

  /** Lets go of a body that is not wanted any more, or whose client went away. False when it was over already. */
  #abandon(reading: Reading): boolean {
    if (!this.#leave(reading)) return false;
    this.#inFlight -= reading.size + REQUEST_OVERHEAD;
    reading.storage = EMPTY;
    return true;
  }

  #leave(reading: Reading): boolean {
    if (reading.over) return false;
    reading.over = true;
    return this.#readings.delete(reading);
  }

  #sweep(): void {
    const { clock, timeout, minRate } = this.#limits;
    const now = clock.monotonic();
    for (const reading of this.#readings) {
      const age = now - reading.startedAt;
      if (age > timeout) this.#fail(reading, invalid('BODY_TOO_SLOW', `the body took longer than ${timeout} ms`));
      else if (age > SLOW_START && reading.size < (minRate * age) / 1000) {
        this.#fail(reading, invalid('BODY_TOO_SLOW', `the body came at less than ${minRate} bytes per second`));
      }
    }
    const again = this.#readings.size > 0;
    this.#sweeper = again ? clock.timer(SWEEP_EVERY, () => this.#sweep(), { unref: true }) : undefined;
  }
}

function append(reading: Reading, chunk: Buffer, maxLength: number): void {
  const size = reading.size + chunk.length;
  if (size > reading.storage.length) {
    // Not from the pool: what is cut from the body would keep other bodies' bytes alive, and travel with them.
    const larger = Buffer.allocUnsafeSlow(Math.max(size, Math.min(2 * size, maxLength)));
    reading.storage.copy(larger, 0, 0, reading.size);
    reading.storage = larger;
  }
  chunk.copy(reading.storage, reading.size);
}

function busy(): Error {
  return invalid('BUSY', 'too many bytes are in flight; try again soon');
}
