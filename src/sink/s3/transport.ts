/**
 * One HTTP exchange at a time per connection, on a pool of connections of `undici`.
 *
 * Promises: `send` settles exactly once: with whatever the store answered, with SINK_AWAY when no answer came (refused,
 * reset, timed out), or with the signal's reason; it never repeats a request. Uses undici's `dispatch`, its lowest
 * level, because a request object, a stream and an AbortSignal per put cost more than the put.
 */
import type { Clock } from '../../clock.ts';
import { systemClock } from '../../clock.ts';
import { MillraceError, type SinkTrouble, toError } from '../../errors.ts';

export interface Timeouts {
  /** Until a connection stands, TLS included. Milliseconds. Default 5,000. */
  readonly connect?: number;
  /** From the request's last byte to the answer's head. Milliseconds. Default 30,000. */
  readonly answer?: number;
  /** The whole put: waiting for a connection, sending, answer. Milliseconds. Default 60,000. */
  readonly put?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Its first 16 KiB. */
  readonly body: string;
}

export interface Outgoing {
  readonly method: 'PUT';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

type UndiciPool = import('undici').Pool;

const MOST_OF_BODY = 16 * 1024;

export class Transport {
  readonly #pool: UndiciPool;
  readonly #clock: Clock;
  readonly #timeout: number;

  private constructor(pool: UndiciPool, timeout: number, clock: Clock) {
    this.#pool = pool;
    this.#timeout = timeout;
    this.#clock = clock;
  }

  /** Loads undici. Rejects with PEER_MISSING when it is not installed. Connects to nothing yet. */
  static async open(origin: string, connections = 256, timeouts: Timeouts = {}, clock: Clock = systemClock) {
    const { connect = 5_000, answer = 30_000, put = 60_000 } = timeouts;
    const { Pool } = await import('undici').catch((cause) => {
      throw new MillraceError('PEER_MISSING', { package: 'undici', purpose: 'the S3 sink' }, { cause });
    });
    const options = { connections, pipelining: 1, headersTimeout: answer, bodyTimeout: answer };
    return new Transport(new Pool(origin, { ...options, connect: { timeout: connect } }), put, clock);
  }

  send(request: Outgoing, signal?: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let stop: (reason: Error) => void = () => undefined;
      let over: Error | undefined;
      let answer = { status: 0, headers: {} as Answer['headers'] };
      let body = '';

      const finish = () => {
        timer.cancel();
        signal?.removeEventListener('abort', abort);
      };
      // Settles at once, also while the request still waits for a connection; then takes it off the wire.
      const give = (reason: Error, error: unknown) => {
        over ??= reason;
        finish();
        reject(error);
        stop(reason);
      };
      const abort = () => give(new Error('aborted'), signal?.reason);
      const timer = this.#clock.timer(this.#timeout, () => {
        const reason = `no answer within ${this.#timeout} ms`;
        give(new Error(reason), away('overload', reason));
      });
      signal?.addEventListener('abort', abort, { once: true });

      this.#pool.dispatch(request, {
        onRequestStart(controller) {
          stop = (reason) => controller.abort(reason);
          if (over) stop(over);
        },
        onResponseStart(_, status, headers) {
          answer = { status, headers };
        },
        onResponseData(_, chunk) {
          if (body.length < MOST_OF_BODY) body += chunk.toString('utf8');
        },
        onResponseEnd() {
          finish();
          resolve({ ...answer, body });
        },
        onResponseError(_, error) {
          finish();
          reject(connectionTrouble(error));
        },
      });
    });
  }

  /** Breaks what is under way. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** Timeouts say "too much at once" as loudly as a 503 does; the rest says that nobody is there. */
function connectionTrouble(thrown: unknown): MillraceError {
  const error = toError(thrown) as NodeJS.ErrnoException;
  const timedOut = ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'].includes(error.code ?? '');
  // Several addresses tried and none answered: the first one's reason tells most.
  const first = error instanceof AggregateError ? toError(error.errors[0]) : error;
  return away(timedOut ? 'overload' : 'unreachable', first.message || String(error.code), error);
}

function away(trouble: SinkTrouble, reason: string, cause?: unknown): MillraceError {
  return new MillraceError('SINK_AWAY', { trouble, reason }, { cause });
}
