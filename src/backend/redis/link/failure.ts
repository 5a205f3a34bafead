/**
 * What went wrong, and what to do about it: every error of the driver and every complaint of the server becomes one
 * Verdict.
 */
import { MillraceError, toError } from '../../../errors.ts';
import { isReply } from './driver.ts';

/** What one of our scripts refused: `redis.error_reply('MILLRACE <CODE> <detail>')`. */
export class ScriptError extends Error {
  override readonly name = 'ScriptError';
  readonly code: string;
  readonly detail: string;

  constructor(code: string, detail: string) {
    super(`${code} ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}

export type Verdict =
  /** Nobody knows whether the server did it: send it again, on another connection. */
  | { readonly kind: 'lost'; readonly reason: string }
  /** The server cannot now. It has done nothing. */
  | { readonly kind: 'later'; readonly reason: string }
  /** This server is not, or not any more, the one to ask: a replica. It has done nothing. */
  | { readonly kind: 'elsewhere'; readonly reason: string }
  /** Another node of the cluster has the slot: from now on, or (`once`) for this call. It has done nothing. */
  | {
      readonly kind: 'moved';
      readonly once: boolean;
      readonly host: string;
      readonly port: number;
      readonly reason: string;
    }
  | { readonly kind: 'no script'; readonly reason: string }
  /** It knows no libraries, or lets nobody use them. It has done nothing. */
  | { readonly kind: 'no functions'; readonly reason: string }
  /** Again would be no better. */
  | { readonly kind: 'final'; readonly error: Error };

const later = new Set(['LOADING', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS']);
const elsewhere = new Set(['READONLY', 'UNBLOCKED']);
const refused = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM', 'NOPROTO', 'DENIED']);
const noFunctions = /^(NOPERM .*'fcall'|ERR unknown command '?fcall)/i;
/** Inside a script the rights of its user are told without a code. */
const refusedInside = /^ERR (The user executing the script can't|ACL failure in script)/;

/** @param backend its name, for the message */
export function judge(thrown: unknown, backend: string): Verdict {
  const cause = toError(thrown);
  // A TypeError is the driver's for arguments that cannot be sent.
  if (thrown instanceof MillraceError || thrown instanceof TypeError) return { kind: 'final', error: cause };
  if (!isReply(thrown)) return { kind: 'lost', reason: reasonOf(cause) };
  const reason = complaint(cause.message);
  const [code = '', first = '', ...rest] = reason.split(' ');
  if (code === 'MILLRACE') return { kind: 'final', error: new ScriptError(first, rest.join(' ')) };
  if (code === 'NOSCRIPT' || reason === 'ERR Function not found') return { kind: 'no script', reason };
  if (noFunctions.test(reason)) return { kind: 'no functions', reason };
  if (code === 'MOVED' || code === 'ASK') {
    const [, host = '', port] = /^(.*):(\d+)$/.exec(rest[0] ?? '') ?? [];
    return { kind: 'moved', once: code === 'ASK', host, port: Number(port), reason };
  }
  if (later.has(code)) return { kind: 'later', reason };
  if (elsewhere.has(code)) return { kind: 'elsewhere', reason };
  if (code === 'OOM')
    return { kind: 'final', error: new MillraceError('BACKEND_FULL', { backend, reason }, { cause }) };
  const isRefused = refused.has(code) || refusedInside.test(reason);
  const error = isRefused
    ? new MillraceError('BACKEND_REFUSED', { backend, reason }, { cause })
    : new MillraceError('BACKEND_UNAVAILABLE', { backend, reason }, { cause });
  return { kind: 'final', error };
}

/**
 * The complaint itself, without what a script adds to it. Since Redis 7: `OOM command … script: <sha>, on @user_script:3.`, in
 * a library `script: <function>, on @user_function:3.`
 * Before: `ERR Error running script (call to f_<sha>): @user_script:3: @user_script: 3: -OOM command …`
 */
function complaint(message: string): string {
  return message
    .replace(/^ERR Error running script \(call to \S+\): (?:@user_script: ?\d+: )*-?/, '')
    .replace(/^ERR (?=MILLRACE )/, '')
    .replace(/,? script: \w+, on @user_(script|function):\d+\.?$/, '');
}

/** Several addresses of one host that all fail make an error without a message of its own. */
function reasonOf(error: Error): string {
  const [first] = error instanceof AggregateError ? error.errors : [];
  return toError(first ?? error).message || 'the connection was lost';
}
