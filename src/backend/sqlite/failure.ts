/** SQLite's complaints, in the words of the catalogue; and any error as something that can leave its thread. */
import { type ErrorCode, type ErrorFields, MillraceError, toError } from '../../errors.ts';

/** Primary result codes, https://sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const FULL = 13;
const NOTADB = 26;

/** The primary result code of an error of `node:sqlite`; 0 for any other error. */
function resultCode(error: unknown): number {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === 'number' ? errcode & 0xff : 0;
}

/** Another connection holds what is needed; it passes. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === BUSY || code === LOCKED;
}

/** What went wrong with the file at `path`, as a MillraceError. */
export function translate(thrown: unknown, path: string): MillraceError {
  if (thrown instanceof MillraceError) return thrown;
  const cause = toError(thrown);
  switch (resultCode(thrown)) {
    case READONLY:
      return new MillraceError('BACKEND_READ_ONLY', { path }, { cause });
    case FULL:
      return new MillraceError('BACKEND_DISK_FULL', { path }, { cause });
    case NOTADB:
      return new MillraceError('NOT_A_DATABASE', { path, reason: cause.message }, { cause });
    default:
      return new MillraceError('BACKEND_UNAVAILABLE', { backend: `sqlite:${path}`, reason: cause.message }, { cause });
  }
}

/** An error on its way between threads: the class would not survive the copy. */
export interface WireError {
  readonly code: ErrorCode;
  readonly fields: ErrorFields<ErrorCode>;
  readonly cause?: string | undefined;
}

export function toWire(error: MillraceError): WireError {
  const code = error.code.slice('MILLRACE_'.length) as ErrorCode;
  return { code, fields: error.fields, cause: error.cause === undefined ? undefined : toError(error.cause).message };
}

export function fromWire({ code, fields, cause }: WireError): MillraceError {
  return new MillraceError(code, fields, cause === undefined ? undefined : { cause: new Error(cause) });
}
