/**
 * What an S3 answer means: stored, later, or never.
 *
 *   2xx                                                             stored
 *   503 SlowDown, 429, other 5xx, RequestTimeout                    SINK_AWAY overload, with Retry-After
 *   BadDigest, IncompleteBody: the body was hurt on its way         SINK_AWAY unreachable
 *   EntityTooLarge, KeyTooLongError, … : about this object          SINK_REFUSED
 *   everything else: AccessDenied, NoSuchBucket, SSE or class …     SINK_AWAY blocked
 *
 * The last row is a decision. A missing permission or bucket concerns every object and is mended by the operator; to
 * refuse would discard the whole queue because of one wrong setting. To wait loses nothing, and a put that alone is
 * denied while others get through is given back to its job by `gated.ts`. Only codes that can be about nothing but the
 * object are refused.
 */
import { MillraceError, type SinkTrouble } from '../../errors.ts';
import type { Answer } from './transport.ts';

const aboutTheObject = new Set(['EntityTooLarge', 'KeyTooLongError', 'InvalidURI', 'MaxMessageLengthExceeded']);
const hurtOnTheWay = new Set(['BadDigest', 'IncompleteBody', 'XAmzContentSHA256Mismatch', 'InvalidDigest']);
const tooMuch = new Set([
  'SlowDown',
  'RequestTimeout',
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'OperationAborted',
]);

export const expiredCodes = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'InvalidToken']);

/** The `<Code>` of an error document; empty when there is none. Compatible stores leave out the rest. */
export function errorCode({ body }: Answer): string {
  return /<Code>([^<]*)<\/Code>/.exec(body)?.[1]?.trim() ?? '';
}

/** The error to throw for an answer that is no success. `now` in ms since the epoch. */
export function failure(key: string, answer: Answer, now: number): MillraceError {
  const { status } = answer;
  const code = errorCode(answer);
  const reason = describe(answer, code);
  if (aboutTheObject.has(code) || status === 413 || status === 414) {
    return new MillraceError('SINK_REFUSED', { key, reason });
  }
  const retryAfter = parseRetryAfter(header(answer, 'retry-after'), now);
  return new MillraceError('SINK_AWAY', { trouble: troubleOf(status, code), reason, retryAfter });
}

function troubleOf(status: number, code: string): SinkTrouble {
  if (hurtOnTheWay.has(code)) return 'unreachable';
  return status >= 500 || status === 429 || status === 408 || tooMuch.has(code) ? 'overload' : 'blocked';
}

function describe(answer: Answer, code: string): string {
  const message = /<Message>([^<]*)<\/Message>/.exec(answer.body)?.[1]?.trim();
  const region = header(answer, 'x-amz-bucket-region') ?? /<Region>([^<]*)<\/Region>/.exec(answer.body)?.[1];
  const where = region && (answer.status === 301 || answer.status === 400) ? ` (the bucket is in ${region})` : '';
  return `${answer.status} ${code}`.trim() + (message && message !== code ? `: ${message.slice(0, 300)}` : '') + where;
}

/** Retry-After in ms: seconds, or a date. Undefined when absent, past or nonsense. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(value);
  // Date.parse takes "-1" for a year.
  const ms = Number.isNaN(seconds) ? Date.parse(value) - now : seconds * 1000;
  return ms > 0 ? ms : undefined;
}

export function header(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
