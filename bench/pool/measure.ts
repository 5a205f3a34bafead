/** Runs one measurement in a child, which gets a limited time. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Figures, Spec } from './figures.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What is kept of what a child says about its failure, characters. */
const LAST_WORDS = 2_000;

/**
 * The child's figures. Rejects when it fails, with the line that says why, and after `limit` ms, when it is killed (by
 * its id; its threads end with it).
 */
export function measureInChild(spec: Spec, limit: number): Promise<Figures> {
  // Threads that start during a measurement are not to strip types each: a package that is installed is JavaScript.
  const env = { ...process.env, NODE_COMPILE_CACHE: here('../../node_modules/.cache/bench-pool') };
  const child = spawn(process.execPath, ['--expose-gc', here('./child.ts'), JSON.stringify(spec)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
  }, limit);
  child.on('error', reject);
  child.on('close', (code, signal) => {
    clearTimeout(timer);
    if (late) return reject(new Error(`not done after ${limit} ms`));
    if (code !== 0) return reject(new Error(reasonOf(complaint) ?? `ended with ${signal ?? code}`));
    resolve(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  });
  return promise;
}

/** `Error: no such thing` out of a stack trace; an error that keeps its message apart is at least named. */
function reasonOf(complaint: string): string | undefined {
  return /^\w*Error.*$|^FATAL ERROR.*$/m.exec(complaint)?.[0];
}
