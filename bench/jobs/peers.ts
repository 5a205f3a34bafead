/**
 * The peers: each in a folder of its own under peers/, with its package.json and lock file, because some need a runtime or
 * a compiler that is not everywhere, and one that cannot be installed shall not take the others along.
 *
 * `npm ci` fills the folders on the bench's first run. The project is built, checked and tested without them, so nothing may
 * import a package by name: TypeScript would want its types.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Folder by folder, the packages to name in the head of the output. */
export const peers: Readonly<Record<string, readonly string[]>> = {
  plainjob: ['plainjob', 'better-sqlite3'],
  bunqueue: ['bunqueue', 'bun'],
  liteque: ['liteque', 'better-sqlite3', 'node'],
  sidequest: ['sidequest', '@sidequest/sqlite-backend', 'better-sqlite3'],
  redis: ['bullmq', 'ioredis', 'bee-queue'],
  groupmq: ['groupmq', 'ioredis'],
  platformatic: ['@platformatic/job-queue', 'iovalkey'],
};

/** Installs what the peer's lock file names and is not there. The reason when that cannot be; npm's words are on stderr. */
export function installPeer(peer: string): string | undefined {
  const { status } = spawnSync(process.execPath, [here('../../scripts/setup.js'), `bench/jobs/peers/${peer}`], {
    stdio: 'inherit',
  });
  return status === 0 ? undefined : 'its packages could not be installed, see above';
}

/** `plainjob 0.0.14 (better-sqlite3 13.2.0)` */
export function describePeer(peer: string): string {
  const [first, ...others] = (peers[peer] ?? []).map((name) => `${name} ${versionOf(peer, name)}`);
  return others.length > 0 ? `${first} (${others.join(', ')})` : `${first}`;
}

function versionOf(peer: string, name: string): string {
  const path = here(`./peers/${peer}/node_modules/${name}/package.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : '(not installed)';
}
