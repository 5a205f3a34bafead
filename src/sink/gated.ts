/**
 * A sink behind a gate: puts start when the store can bear them, and wait out what will pass.
 *
 * `put` tries again on SINK_AWAY, each time after its turn at the gate, until the object is stored, is refused for
 * good, or the signal aborts. So a job spends no attempt on a store that is slow or away; its caller, a worker, waits,
 * and that is what holds the queue back.
 *
 * One exception: a put that failed ten times while others got through has trouble of its own (no permission for just
 * its prefix, a body that always times out). Its error goes to the caller, or it would keep a worker for ever.
 */
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { isError, toError } from '../errors.ts';
import { Gate, type GateOptions, type GateState, type Pass } from './gate.ts';
import type { Sink, SinkObject } from './sink.ts';

export interface SinkStats {
  readonly state: GateState;
  /** Puts that may be under way at once, now. */
  readonly limit: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Objects and bytes stored since the start. */
  readonly stored: number;
  readonly bytes: number;
  /** Objects refused for good. */
  readonly refused: number;
  /** Attempts the store turned down because it had too much to do, or did not answer in time. */
  readonly overloads: number;
  /** Attempts that failed for another passing reason. */
  readonly failures: number;
  /** The last thing that went wrong, and when (ms since the epoch). */
  readonly lastError?: { readonly message: string; readonly at: number };
}

/** Failures of one put, each with a success of another since its last try, before its caller is told. */
const PATIENCE = 10;

export class GatedSink implements Sink {
  readonly name: string;
  readonly #sink: Sink;
  readonly #gate: Gate;
  readonly #clock: Clock;
  readonly #count = { stored: 0, bytes: 0, refused: 0, overloads: 0, failures: 0 };
  #lastError: SinkStats['lastError'];

  constructor(sink: Sink, options: GateOptions = {}) {
    this.name = sink.name;
    this.#sink = sink;
    this.#gate = new Gate(options);
    this.#clock = options.clock ?? systemClock;
  }

  open(): Promise<void> {
    return this.#sink.open();
  }

  async put(object: SinkObject, signal?: AbortSignal): Promise<void> {
    let own = 0;
    for (let since: number | undefined; ; ) {
      const pass = await this.#gate.enter(signal);
      since ??= pass.startedAt;
      const error = await this.#attempt(object, pass, signal, since);
      if (!error) return;
      if (this.#gate.lastSuccess > since && ++own >= PATIENCE) throw error;
      since = pass.startedAt;
    }
  }

  stats(): SinkStats {
    const { state, limit, inFlight, waiting } = this.#gate;
    return { state, limit, inFlight, waiting, ...this.#count, ...(this.#lastError && { lastError: this.#lastError }) };
  }

  /** Turns away what waits for its turn (STOPPED), then closes the sink. */
  close(): Promise<void> {
    this.#gate.close();
    return this.#sink.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Undefined once stored; the SINK_AWAY when it may go better next time; throws what no repeat can mend. */
  async #attempt(object: SinkObject, pass: Pass, signal: AbortSignal | undefined, since: number) {
    try {
      await this.#sink.put(object, signal);
    } catch (thrown) {
      if (!isError(thrown, 'SINK_AWAY')) {
        this.#gate.release(pass);
        if (!signal?.aborted) this.#note(thrown, 'refused');
        throw thrown;
      }
      const { trouble, retryAfter } = thrown.fields;
      this.#note(thrown, trouble === 'overload' ? 'overloads' : 'failures');
      // Others get through, so it is not the store that is blocked: the gate stays as it is.
      if (trouble === 'blocked' && this.#gate.lastSuccess > since) this.#gate.release(pass);
      else this.#gate.fail(pass, trouble, retryAfter);
      return thrown;
    }
    this.#count.stored++;
    this.#count.bytes += object.body.length;
    this.#gate.succeed(pass, object.body.length);
    return undefined;
  }

  #note(thrown: unknown, kind: 'refused' | 'overloads' | 'failures'): void {
    this.#count[kind]++;
    this.#lastError = { message: toError(thrown).message, at: this.#clock.now() };
  }
}
