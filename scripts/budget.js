/**
 * What no other tool checks: file size, which room may import which, tests left out, paths of one machine, and that
 * every error code is explained. Prints one line per finding; exit code 1 when there is one.
 *
 * Types, unused names and `any` are the business of `tsc` and `biome`, which `npm run check` runs before this.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Lines a source file may have. A longer one is two rooms. */
const MAX_LINES = 400;

/** Files that may be longer, each with its reason. */
const LONGER = {};

/**
 * Ground floor first. A room may import itself and those named here; `cli`, `testing` and index.ts may import all.
 * Files right in src/ (errors, clock, lifecycle, batch) are the ground that every room stands on.
 */
const ROOMS = {
  ground: [],
  pool: ['ground'],
  job: ['ground', 'pool'],
  backend: ['ground', 'pool', 'job'],
  client: ['ground', 'pool', 'job', 'backend'],
  server: ['ground', 'pool', 'job', 'backend', 'client'],
  sink: ['ground', 'pool', 'job'],
  http: ['ground', 'pool', 'job', 'backend', 'client'],
};
const ROOF = ['cli', 'testing', 'index'];

const root = fileURLToPath(new URL('..', import.meta.url));
const findings = [];
const report = (file, message) => findings.push(`${file}: ${message}`);

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (file) => /\.(ts|js|mjs|json|jsonc|md|sh|go|sql|lua|yml)$|^\.ci\//.test(file) && existsSync(join(root, file)),
  );

for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8');
  const isTest = file.endsWith('.test.ts');
  if (/^(src|scripts|examples)\/.*\.(ts|js|lua)$/.test(file) && !isTest) checkLength(file, text);
  if (file.startsWith('src/') && file.endsWith('.lua')) checkOpening(file, text);
  if (file.startsWith('src/') && file.endsWith('.ts') && !isTest) checkImports(file, text);
  if (isTest) checkTests(file, text);
  if (posix.basename(file) === 'package-lock.json') checkLockFile(file, text);
  checkPaths(file, text);
}
await checkErrorDocs();

for (const finding of findings) console.error(finding);
if (findings.length > 0) {
  console.error(`\nbudget: ${findings.length} finding${findings.length === 1 ? '' : 's'}`);
  process.exitCode = 1;
} else {
  console.log(`budget: ${files.length} files, nothing to say`);
}

function checkLength(file, text) {
  const lines = text.split('\n').length - 1;
  if (lines > MAX_LINES && !LONGER[file]) report(file, `${lines} lines, the budget is ${MAX_LINES}`);
  if (lines <= MAX_LINES && LONGER[file]) report(file, `fits the budget again; take it out of LONGER`);
}

/** No other tool looks at these files. */
function checkOpening(file, text) {
  if (!text.startsWith('-- ')) report(file, 'does not open with what it is');
}

function checkImports(file, text) {
  const from = roomOf(file);
  if (ROOF.includes(from)) return;
  if (!(from in ROOMS)) return report(file, `\`${from}\` is not a room; give it a place in ROOMS`);
  for (const [, specifier] of text.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|^import\s+)'(\.[^']+)'/gm)) {
    const to = roomOf(posix.join(dirname(file), specifier));
    if (to !== from && !ROOMS[from].includes(to))
      report(file, `\`${from}\` may not import from \`${to}\` (${specifier})`);
  }
}

/** `src/pool/limits/aimd.ts` → `pool`, `src/clock.ts` → `ground`. */
function roomOf(file) {
  const [, first, second] = file.split('/');
  if (second !== undefined) return first;
  return first === 'index.ts' ? 'index' : 'ground';
}

function checkTests(file, text) {
  text.split('\n').forEach((line, index, lines) => {
    if (/\b(?:it|test|describe|suite)\.only\(|\bonly:\s*true/.test(line))
      report(`${file}:${index + 1}`, 'left on `only`');
    // A reason is the text given to `skip`, or a comment on the line or above it.
    const skips = /\b(?:it|test|describe|suite)\.(?:skip|todo)\(|\b(?:skip|todo):\s*true/.test(line);
    if (skips && !/\/\/|\/\*/.test(line) && !/^\s*(?:\/\/|\*)/.test(lines[index - 1] ?? '')) {
      report(`${file}:${index + 1}`, 'skipped without a reason');
    }
  });
}

function checkPaths(file, text) {
  text.split('\n').forEach((line, index) => {
    const match = /(?<![\w.}*/-])\/(?:home|work|Users|tmp)\/[\w.-]+/.exec(line);
    if (match) report(`${file}:${index + 1}`, `a path of one machine: ${match[0]}`);
  });
}

function checkLockFile(file, text) {
  for (const [path, entry] of Object.entries(JSON.parse(text).packages)) {
    if (entry.resolved && !entry.link) report(file, `${path} carries a download address`);
  }
}

async function checkErrorDocs() {
  const { errorCodes } = await import('../src/errors.ts');
  const { problemCodes } = await import('../src/http/problem.ts');
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  compare(
    errorCodes.map((code) => `MILLRACE_${code}`),
    text.matchAll(/^### (MILLRACE_\w+)$/gm),
  );
  compare(problemCodes, text.matchAll(/^\| `([A-Z_]+)` \|/gm));
}

function compare(codes, explained) {
  const left = new Set(Array.from(explained, ([, code]) => code));
  for (const code of codes) if (!left.delete(code)) report('docs/errors.md', `says nothing about ${code}`);
  for (const code of left) report('docs/errors.md', `explains ${code}, which there is not`);
}
