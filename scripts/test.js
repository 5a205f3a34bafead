/**
 * Runs the tests: Node's own runner, on the pinned Node, with the leak check of test/support/leaks.ts in every file.
 *
 *   npm test                                   everything
 *   npm test -- src/pool test/crash.test.ts    these folders and files
 *   npm test -- --coverage                     with a coverage table (or COVERAGE=1)
 *   npm test -- --test-name-pattern=order      any option of `node --test`
 *
 * Each file runs in a process of its own. The last lines (`ℹ tests …`, `ℹ pass …`) are the runner's.
 */
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const pinned = join(root, 'node_modules/.bin/node');

const given = process.argv.slice(2);
const coverage = given.includes('--coverage') || Boolean(process.env.COVERAGE);
const options = given.filter((arg) => arg.startsWith('-') && arg !== '--coverage');
const places = given.filter((arg) => !arg.startsWith('-'));
for (const place of places) {
  if (!/[*?{[]/.test(place) && !existsSync(join(root, place))) {
    console.error(`npm test: no file or folder \`${place}\` in the project`);
    process.exit(2);
  }
}

const args = [
  `--import=${pathToFileURL(join(root, 'test/support/leaks.ts'))}`,
  '--test',
  '--test-reporter=spec',
  // Files that start servers wait more than they compute, so two per core even on a small machine.
  `--test-concurrency=${Math.min(8, 2 * availableParallelism())}`,
  // Longest a test may take, ms. A hanging one fails with its name instead of stalling the run.
  '--test-timeout=300000',
  ...(coverage
    ? ['--experimental-test-coverage', '--test-coverage-include=src/**', '--test-coverage-exclude=**/*.test.ts']
    : []),
  ...options,
  ...(places.length > 0
    ? places.map(toPattern)
    : ['src/**/*.test.ts', 'test/**/*.test.ts', 'examples/**/*.test.ts', 'bench/**/*.test.ts']),
];

const runner = spawn(existsSync(pinned) ? pinned : process.execPath, args, { cwd: root, stdio: 'inherit' });
// Ctrl-C reaches the runner by itself, it is in the same terminal; here it must only not end the wait for it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => runner.kill());
runner.on('error', (error) => {
  console.error(`npm test: cannot start Node: ${error.message}`);
  process.exitCode = 1;
});
runner.on('exit', (code) => {
  process.exitCode = code ?? 1;
});

/** A folder stands for the tests in it. */
function toPattern(place) {
  const path = join(root, place);
  return existsSync(path) && statSync(path).isDirectory() ? `${place.replace(/\/+$/, '')}/**/*.test.ts` : place;
}
