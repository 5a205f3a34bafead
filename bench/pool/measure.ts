/** Runs one measurement in a child, which gets a limited time. */
import { fileURLToPath } from 'node:url';
import { figuresOf } from '../children.ts';
import type { Figures, Spec } from './figures.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The child's figures. Rejects when it fails and after `limit` ms, see `figuresOf`. */
export function measureInChild(spec: Spec, limit: number): Promise<Figures> {
  // Threads that start during a measurement are not to strip types each: a package that is installed is JavaScript.
  const env = { NODE_COMPILE_CACHE: here('../../node_modules/.cache/bench-pool') };
  return figuresOf(process.execPath, ['--expose-gc', here('./child.ts'), JSON.stringify(spec)], { limit, env });
}
