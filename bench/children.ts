/** Measurements in processes of their own, so that no contender meets the heap or the compiled code of another. */
import { spawn } from 'node:child_process';
import type { Figures } from './figures.ts';

/** What is kept of what a child says about its failure, characters. */
const LAST_WORDS = 2_000;

export interface ChildOptions {
  /** ms after which it is killed. */
  readonly limit: number;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * The figures that a child prints as its last line, in JSON. Rejects when it fails, with the line that says why, and
 * after `limit` ms, when it is killed (by its id; its threads end with it).
 */
export function figuresOf(command: string, args: readonly string[], options: ChildOptions): Promise<Figures> {
  const env = { ...process.env, ...options.env };
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<Figures>();
  let output = '';
  let complaint = '';
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  child.stderr.on('data', (piece) => {
    complaint = (complaint + piece).slice(-LAST_WORDS);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.limit);
  child.on('error', (error) => {
    clearTimeout(timer);
    reject(error);
  });
  child.on('close', (code, signal) => {
    clearTimeout(timer);
    if (late) return reject(new Error(`not done after ${options.limit} ms`));
    if (code !== 0) return reject(new Error(reasonOf(complaint) ?? `ended with ${signal ?? code}`));
    resolve(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  });
  return promise;
}

/** `Error: no such thing` out of a stack trace; an error that keeps its message apart is at least named. */
function reasonOf(complaint: string): string | undefined {
  return /^\w*Error.*$|^FATAL ERROR.*$|^error: .*$/m.exec(complaint)?.[0];
}
