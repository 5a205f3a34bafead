/**
 * Every way in which the front door says no, as RFC 9457 problem details.
 *
 *   {"type":"urn:millrace:problem:queue-full","title":"The queue is full","status":503,"detail":"…","code":"QUEUE_FULL"}
 *
 * `code` and `type` name the same thing and are API: never renamed, never given another meaning. `detail` is for people.
 */
import { MillraceError } from '../errors.ts';

/** code → status and title. */
const problems = {
  REQUEST_MALFORMED: [400, 'The request is not well-formed HTTP'],
  BODY_MALFORMED: [400, 'The body is not well-formed'],
  IDEMPOTENCY_KEY_INVALID: [400, 'The idempotency key is not usable'],
  TOKEN_INVALID: [401, 'A valid token is needed'],
  NOT_FOUND: [404, 'There is nothing here'],
  METHOD_NOT_ALLOWED: [405, 'The method is not allowed here'],
  BODY_TOO_SLOW: [408, 'The request came too slowly'],
  BODY_TOO_LARGE: [413, 'The body is too large'],
  TOO_MANY_PAYLOADS: [413, 'The collection has too many payloads'],
  TYPE_UNSUPPORTED: [415, 'The content type is not supported'],
  ENCODING_UNSUPPORTED: [415, 'The content encoding is not supported'],
  EXPECTATION_FAILED: [417, 'The expectation cannot be met'],
  NOT_A_COLLECTION: [422, 'The body is not a collection of payloads'],
  NESTED_TOO_DEEP: [422, 'The body is nested too deep'],
  IDEMPOTENCY_MISMATCH: [422, 'The idempotency key was used with another body'],
  RATE_EXCEEDED: [429, 'Too many requests'],
  HEADERS_TOO_LARGE: [431, 'The request headers are too large'],
  INTERNAL: [500, 'Something broke here'],
  QUEUE_FULL: [503, 'The queue is full'],
  BACKEND_AWAY: [503, 'The backend is away'],
  BUSY: [503, 'Too many bytes are in flight'],
  STOPPING: [503, 'The server is stopping'],
  NOT_READY: [503, 'The server is not ready'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof problems;

/** Every code, for the tests and docs that keep them complete. */
export const problemCodes = Object.keys(problems) as readonly ProblemCode[];

export const PROBLEM_TYPE = 'application/problem+json';

export function problemStatus(code: ProblemCode): number {
  return problems[code][0];
}

/** The document itself. */
export function problemBody(code: ProblemCode, detail: string): string {
  const [status, title] = problems[code];
  const type = `urn:millrace:problem:${code.toLowerCase().replaceAll('_', '-')}`;
  return JSON.stringify({ type, title, status, detail, code });
}

/** A problem as an error, for steps that are deeper than the one who answers. */
export function invalid(problem: ProblemCode, detail: string): MillraceError<'REQUEST_INVALID'> {
  return new MillraceError('REQUEST_INVALID', { problem, detail });
}
