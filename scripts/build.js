/**
 * Builds dist/ for publishing: JavaScript, declarations, source maps, and the Lua that runs in Redis as it is.
 *
 * `tsc` turns './x.ts' into './x.js' in imports, but not in `new URL('./x.ts', import.meta.url)`, the way the file of a
 * thread is named. That is done here, and checked: a `.ts` left in a URL would break the package at run time only.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

/** What a file address in the source looks like: `new URL('./thread.ts', import.meta.url)`. */
const FILE_URL = /(new URL\(\s*(['"])\.{1,2}\/[^'"]+)\.ts(\2\s*,\s*import\.meta\.url)/g;

rmSync(dist, { recursive: true, force: true });
compile();
copyLua();
rewriteUrls();
verify();
makeExecutable();

function compile() {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const { status, error } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** Beside the module that reads it, as in the source. */
function copyLua() {
  for (const file of globSync('**/*.lua', { cwd: join(root, 'src') }))
    cpSync(join(root, 'src', file), join(dist, file));
}

function rewriteUrls() {
  for (const file of emitted()) {
    const code = readFileSync(file, 'utf8');
    // Only the length of the line changes, and only after the last place that a source map points to in it.
    const rewritten = code.replace(FILE_URL, '$1.js$3');
    if (rewritten !== code) writeFileSync(file, rewritten);
  }
}

function verify() {
  const left = emitted().flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        /import\.meta/.test(line) && /\.ts['"`]/.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
  if (left.length === 0) return;
  console.error(`build: a TypeScript file is named in what was built:\n${left.join('\n')}`);
  process.exit(1);
}

function makeExecutable() {
  const bin = join(dist, 'cli/main.js');
  if (!existsSync(bin)) return console.error('build: src/cli/main.ts is not there, so the package has no command');
  if (!readFileSync(bin, 'utf8').startsWith('#!')) {
    console.error('build: dist/cli/main.js has no #! line');
    process.exit(1);
  }
  chmodSync(bin, 0o755);
}

function emitted() {
  return globSync('**/*.js', { cwd: dist }).map((file) => join(dist, file));
}
