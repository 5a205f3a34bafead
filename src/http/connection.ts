/**
 * One client's connection, and how it is ended so that the client gets its last answer.
 *
 * Answers leave in the order of the requests, also when several requests came at once (pipelining). So the newest
 * exchange tells all: when its answer is out, every answer is out.
 *
 * A socket that is closed while unread bytes lie in its buffer sends a reset, and a reset can overtake the answer. So
 * after an answer to a request that was not read to its end the connection is closed softly: our side is ended, what the
 * client still sends is dropped for `LINGER`, then it is destroyed (RFC 9112, section 9.6).
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { PROBLEM_TYPE, type ProblemCode, problemBody, problemStatus } from './problem.ts';

/** How long a client may take to see that it was refused, ms. */
const LINGER = 1_000;

/** What a connection asks of the exchange under way. */
interface Underway {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly answered: boolean;
  refuse(code: ProblemCode, detail: string): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #newest: Underway | undefined;
  #closing = false;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  /** An answer that ends the connection was given: what comes behind it is not looked at, as nobody would be told. */
  get closing(): boolean {
    return this.#closing;
  }

  begin(exchange: Underway): void {
    this.#newest = exchange;
  }

  /** The next answer is the last one. */
  closeAfterAnswer(): void {
    this.#closing = true;
  }

  /** Like `closeAfterAnswer`, for a request that is not read to its end. */
  closeSoftly(): void {
    this.#closing = true;
    const socket = this.#socket;
    // node:http calls this when the last answer is written; the default would destroy at once.
    socket.destroySoon = () => {
      socket.end();
      const timer = this.#clock.timer(LINGER, () => socket.destroy(), { unref: true });
      socket.once('close', () => timer.cancel());
    };
  }

  /** Ends the connection when it has nothing under way. A request without answer ends it by its answer. */
  retire(): void {
    if (this.#idle) this.destroy();
    else if (this.#newest?.answered) this.#newest.response.once('finish', () => this.#socket.destroySoon());
  }

  /**
   * The bytes that came are not HTTP, too many, or too slow. The request they belong to is refused; if they belong to
   * none, what was asked before is answered first and the refusal follows. Returns false when nobody can be told.
   */
  fail(code: ProblemCode, detail: string): boolean {
    const newest = this.#newest;
    if (this.#closing) return false;
    if (newest && !newest.request.complete) {
      if (newest.answered) this.destroy();
      else newest.refuse(code, detail);
      return false;
    }
    this.closeSoftly();
    if (newest && !this.#idle) newest.response.once('finish', () => this.#reply(code, detail));
    else this.#reply(code, detail);
    return true;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Nothing was asked, or all answers are out. */
  get #idle(): boolean {
    return !this.#newest || this.#newest.response.writableFinished;
  }

  /** Where there is no request there is no ServerResponse, so this one is written by hand. */
  #reply(code: ProblemCode, detail: string): void {
    const status = problemStatus(code);
    const body = problemBody(code, detail);
    if (!this.#socket.writable) return;
    this.#socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nDate: ${new Date(this.#clock.now()).toUTCString()}\r\n` +
        `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    this.#socket.destroySoon();
  }
}
