/** Structured log lines: one JSON object per line on standard error, for machines that collect them. */
import { toError } from '../errors.ts';

export type LogLevel = 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** `{"time":"…","level":"info","message":"…",…}`. Errors among the fields become their code and message. */
export function jsonLog(write: (line: string) => void, now: () => number): Log {
  return (level, message, fields = {}) => {
    const plain = Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, loggable(value)]));
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, message, ...plain })}\n`);
  };
}

/** `warn: message (key=value …)`, for people. */
export function plainLog(write: (line: string) => void): Log {
  return (level, message, fields = {}) => {
    const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(loggable(value))}`);
    const prefix = level === 'info' ? '' : `${level}: `;
    write(`${prefix}${message}${details.length > 0 ? ` (${details.join(' ')})` : ''}\n`);
  };
}

function loggable(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { code } = toError(value) as { code?: unknown };
  return typeof code === 'string' ? `${code}: ${value.message}` : value.message;
}
