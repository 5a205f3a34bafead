/**
 * One request and its one answer.
 *
 * Promises: the first answer counts and later ones are ignored, so a race (a body that is too slow and the client gone)
 * needs no care elsewhere. Every answer has its Content-Length, is counted, and leaves the connection in a defined
 * state: kept alive when the request was read to its end or the rest is small enough to be read and dropped, otherwise
 * `Connection: close`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import { isError } from '../errors.ts';
import type { Connection } from './connection.ts';
import type { Meter } from './meter.ts';
import { PROBLEM_TYPE, type ProblemCode, problemBody, problemStatus } from './problem.ts';

/** What all exchanges of a door share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly meter: Meter;
  /** Every answer from now on is the last of its connection. */
  stopping: boolean;
}

/** A body that is not wanted is read and dropped up to this many bytes: cheaper for both than a new connection. */
const WORTH_DROPPING = 64 * 1024;

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly #connection: Connection;
  readonly #around: Surroundings;
  readonly #startedAt: number;
  /** The client holds its body back until told to go on. */
  #awaitsContinue: boolean;
  #answered = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection,
    around: Surroundings,
    awaitsContinue: boolean,
  ) {
    this.request = request;
    this.response = response;
    this.#connection = connection;
    this.#around = around;
    this.#startedAt = around.clock.monotonic();
    this.#awaitsContinue = awaitsContinue;
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** Which path is asked for: without query, and also when the request names the whole address. */
  get path(): string {
    const url = this.request.url ?? '';
    if (!url.startsWith('/')) return URL.canParse(url) ? new URL(url).pathname : url;
    const query = url.indexOf('?');
    return query === -1 ? url : url.slice(0, query);
  }

  /** Says `100 Continue` to a client that waits for it. */
  proceed(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.response.writeContinue();
  }

  /** @param headers name, value, name, value, … */
  answer(status: number, body: string, headers: readonly string[]): void {
    this.#send(status, body, headers, this.#leavesUnread());
  }

  json(status: number, body: string, headers: readonly string[] = []): void {
    this.answer(status, body, ['Content-Type', 'application/json', ...headers]);
  }

  refuse(code: ProblemCode, detail: string, headers: readonly string[] = []): void {
    if (this.#answered) return;
    this.#around.meter.refused(code);
    // Where the stream itself is wrong, its end cannot be found.
    const lost = !this.request.complete && (code === 'REQUEST_MALFORMED' || code === 'BODY_TOO_SLOW');
    const all = ['Content-Type', PROBLEM_TYPE, ...headers];
    this.#send(problemStatus(code), problemBody(code, detail), all, lost || this.#leavesUnread());
  }

  /** Refuses with what a deeper step threw. False when that was no REQUEST_INVALID. */
  refuseFor(error: unknown): boolean {
    if (!isError(error, 'REQUEST_INVALID')) return false;
    const { problem, detail } = error.fields;
    this.refuse(problem as ProblemCode, detail, problem === 'BUSY' ? ['Retry-After', '1'] : []);
    return true;
  }

  #send(status: number, body: string, headers: readonly string[], unread: boolean): void {
    if (this.#answered) return;
    this.#answered = true;
    const { clock, meter, stopping } = this.#around;
    const all = [...headers];
    if (status !== 204) all.push('Content-Length', String(Buffer.byteLength(body)));
    if (unread || stopping) all.push('Connection', 'close');
    if (unread) this.#connection.closeSoftly();
    else if (stopping) this.#connection.closeAfterAnswer();
    this.response.writeHead(status, all).end(body);
    meter.answered(status, (clock.monotonic() - this.#startedAt) / 1000);
  }

  /** True when more of the request is under way than is worth dropping, or nobody knows how much. */
  #leavesUnread(): boolean {
    if (this.request.complete) return false;
    const { headers } = this.request;
    if (this.#awaitsContinue || headers['transfer-encoding'] !== undefined) return true;
    return Number(headers['content-length'] ?? 0) > WORTH_DROPPING;
  }
}
