/**
 * What runs a child: this Node, or what a peer brings along.
 *
 * An old Node does not read TypeScript. For that one the bench is written out as JavaScript, types stripped and nothing
 * else changed, into the peer's node_modules, where its packages are found as from the original place.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Runtime {
  readonly command: string;
  readonly args: readonly string[];
}

const bench = fileURLToPath(new URL('..', import.meta.url));
const child = join('jobs', 'child.ts');
const folderOf = (peer: string) => join(bench, 'jobs', 'peers', peer, 'node_modules');

/** @param peer the one it runs, if any */
export function runtimeFor(peer: string | undefined): Runtime {
  if (peer === 'bunqueue') return { command: join(folderOf(peer), '.bin', 'bun'), args: [join(bench, child)] };
  if (peer === 'liteque') {
    return {
      command: join(folderOf(peer), '.bin', 'node'),
      args: [asJavaScript(join(folderOf(peer), '.bench'), peer)],
    };
  }
  return { command: process.execPath, args: ['--disable-warning=ExperimentalWarning', join(bench, child)] };
}

/** Where the child is then. */
function asJavaScript(target: string, peer: string): string {
  for (const folder of ['', 'jobs', `jobs/peers/${peer}`]) {
    for (const name of readdirSync(join(bench, folder))) {
      if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
      const text = stripTypeScriptTypes(readFileSync(join(bench, folder, name), 'utf8'));
      write(
        join(target, folder, `${name.slice(0, -3)}.mjs`),
        text.replaceAll(/(?<=from '\.[^']*|import\('\.[^']*)\.ts'/g, ".mjs'"),
      );
    }
  }
  return join(target, `${child.slice(0, -3)}.mjs`);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
