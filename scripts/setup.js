/**
 * Makes `npm start` and `npm test` the first command on a fresh machine: installs what package-lock.json names when
 * node_modules lacks any of it, and says nothing otherwise.
 *
 *   node scripts/setup.js               the project itself
 *   node scripts/setup.js bench/pool    a folder with a lock file of its own: the peers of a bench
 *
 * Runs under whatever Node the machine has (18 or newer, so: plain JavaScript, no dependency). The pinned Node 24 is one
 * of the packages it installs; npm puts node_modules/.bin first in PATH, so the script that follows already runs on it.
 *
 * The two lock files are compared, not their times: a checkout changes times, and an installation that was broken off
 * has none. Costs about 5 ms and no network when there is nothing to do. Two set-ups at once wait for each other.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = process.argv[2] ?? '.';
const root = fileURLToPath(new URL(`../${folder}`, import.meta.url));
const lockFile = folder === '.' ? 'package-lock.json' : `${folder}/package-lock.json`;

if (!isInstalled()) {
  const unlock = lock();
  try {
    // Another set-up may have done the work while this one waited.
    if (!isInstalled()) process.exitCode = install();
  } finally {
    unlock();
  }
}

/** True when every package that this machine needs is there in the version of the lock file. */
function isInstalled() {
  try {
    const wanted = readPackages('package-lock.json');
    const found = readPackages('node_modules/.package-lock.json');
    const complete = Object.entries(wanted).every(
      // Optional packages are the builds for other machines, and the lock file knows none that must be there.
      ([path, entry]) => path === '' || entry.optional || entry.peer || found[path]?.version === entry.version,
    );
    // The binary comes from an install script, which a broken-off installation may have left out.
    const hasNode = !('node_modules/node' in wanted) || existsSync(join(root, 'node_modules/node/bin/node'));
    return complete && hasNode;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return false;
    throw error;
  }
}

function readPackages(file) {
  return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
}

/** Runs `npm ci`; returns its exit code. Its output is shown only when it failed. */
function install() {
  const began = Date.now();
  console.error(`millrace: installing what ${lockFile} names …`);
  // npm tells its scripts where it is; run it by hand and it is looked up. `--include=dev`: NODE_ENV may be production.
  const npm = process.env.npm_execpath;
  const [command, ...prefix] = npm?.endsWith('npm-cli.js') ? [process.execPath, npm] : ['npm'];
  const { status, signal, error, stdout, stderr } = spawnSync(command, [...prefix, 'ci', '--include=dev'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: command === 'npm' && process.platform === 'win32',
  });
  if (status === 0) {
    console.error(`millrace: installed in ${((Date.now() - began) / 1000).toFixed(1)} s`);
    return 0;
  }
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  const reason = error ? error.message : signal ? `ended by ${signal}` : `exit code ${status}`;
  console.error(`millrace: \`npm ci\` failed (${reason}). Is the package registry reachable from here?`);
  return status || 1;
}

/** One set-up per folder at a time. The lock lies outside node_modules, which `npm ci` removes. */
function lock() {
  const path = join(tmpdir(), `millrace-setup-${createHash('sha256').update(root).digest('hex').slice(0, 16)}.lock`);
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!isHeld(path)) rmSync(path, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

/** False when the process that made the lock is gone. */
function isHeld(path) {
  try {
    process.kill(Number(readFileSync(path, 'utf8')) || process.pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
