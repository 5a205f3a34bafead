/**
 * Errors on their way from thread to thread. Structured clone keeps little of one (no `code`, no fields, no class), so
 * they are taken apart and put together again.
 *
 * Kept: name, message, stack, cause, `errors` of an AggregateError, `code`, and every own property that can be cloned. A
 * MillraceError arrives as one. A class of the user's arrives as an Error with its name. What is thrown and no error
 * arrives as it is; if it cannot be cloned, as an Error that shows it.
 */
import { type ErrorCode, errorCodes, MillraceError, show } from '../../errors.ts';

export type WireError =
  | { readonly kind: 'value'; readonly value: unknown }
  /** The reason that the caller gave to `abort`: it has the original. */
  | { readonly kind: 'reason' }
  | {
      readonly kind: 'error';
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly cause?: WireError;
      readonly errors?: readonly WireError[];
      readonly own: Record<string, unknown>;
    };

/** Causes of causes that are followed. */
const DEPTH = 8;

const natives: Record<string, ErrorConstructor> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

export function packError(thrown: unknown): WireError {
  try {
    return pack(thrown, 0);
  } catch {
    // Somebody's getter or proxy throws when it is read.
    return pack(new Error('something was thrown that cannot be read'), 0);
  }
}

function pack(thrown: unknown, depth: number): WireError {
  if (!(thrown instanceof Error)) {
    return isCloneable(thrown) ? { kind: 'value', value: thrown } : pack(new Error(`thrown: ${show(thrown)}`), depth);
  }
  const own: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(thrown)) {
    if (name === 'cause' || name === 'errors') continue;
    if (isCloneable(value)) own[name] = value;
    else if (name === 'fields') own[name] = packFields(value);
  }
  // Of a DOMException it is a getter of the class.
  const { code } = thrown as { code?: unknown };
  if (typeof code === 'string' || typeof code === 'number') own.code = code;
  const more = depth < DEPTH;
  return {
    kind: 'error',
    name: String(thrown.name),
    message: String(thrown.message),
    stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
    ...(more && thrown.cause !== undefined && { cause: pack(thrown.cause, depth + 1) }),
    ...(more && thrown instanceof AggregateError && { errors: thrown.errors.map((error) => pack(error, depth + 1)) }),
    own,
  };
}

/** @param reason what `reason` stands for */
export function unpackError(wire: WireError, reason?: unknown): unknown {
  if (wire.kind === 'reason') return reason;
  if (wire.kind === 'value') return wire.value;
  const error = make(wire);
  const hidden = (name: string, value: unknown) =>
    Object.defineProperty(error, name, { value, writable: true, configurable: true, enumerable: false });
  for (const [name, value] of Object.entries(wire.own)) (error as unknown as Record<string, unknown>)[name] = value;
  if (error.message !== wire.message) hidden('message', wire.message);
  if (error.name !== wire.name) hidden('name', wire.name);
  if (wire.cause) hidden('cause', unpackError(wire.cause, reason));
  hidden('stack', wire.stack);
  return error;
}

function make({ name, message, errors, own }: Extract<WireError, { kind: 'error' }>): Error {
  const code = typeof own.code === 'string' && name === 'MillraceError' ? own.code.replace(/^MILLRACE_/, '') : '';
  // A code that this version does not know is of another version of the package in the thread.
  if ((errorCodes as readonly string[]).includes(code) && typeof own.fields === 'object') {
    return new MillraceError(code as ErrorCode, own.fields as never);
  }
  if (errors)
    return new AggregateError(
      errors.map((error) => unpackError(error)),
      message,
    );
  return new (natives[name] ?? Error)(message);
}

/** The fields of an error of ours may show what the caller gave, which may be anything. */
function packFields(fields: unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields as object).map(([name, value]) => [name, isCloneable(value) ? value : show(value)]),
  );
}

function isCloneable(value: unknown): boolean {
  if (typeof value === 'symbol' || typeof value === 'function') return false;
  if (typeof value !== 'object' || value === null) return true;
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}
