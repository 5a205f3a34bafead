/**
 * The package as a user gets it: packed, installed into an empty project, type-checked, run.
 *
 *   npm run test:package               on the oldest Node that is supported, and on the pinned one
 *   npm run test:package -- --offline  on the pinned one only; needs no registry
 *
 * The consumer uses SQLite, so that the file of a thread must be found inside the package, and a real Redis server, so that
 * the scripts must be. The driver of Redis is a peer: without it the package says so, then it is put beside the package.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRedis } from '../../src/testing/redis.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bin = join(root, 'node_modules/.bin');
const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const oldest = `${own.engines.node.replace('>=', '')}.0`;

const work = mkdtempSync(join(tmpdir(), 'millrace-package-'));
const redis = await startRedis();
try {
  const project = step('pack and install into an empty project', installPackage);
  step('only what belongs there is in it', () => checkFiles(project));
  for (const resolution of ['nodenext', 'bundler']) {
    step(`the consumer type-checks (${resolution})`, () => typeCheck(project, resolution));
  }
  const nodes = [dirname(join(bin, 'node'))];
  if (process.argv.includes('--offline')) console.log(`NOT RUN on Node ${oldest}: --offline`);
  else nodes.unshift(step(`fetch Node ${oldest}`, fetchOldestNode));
  for (const node of nodes) {
    const version = run('node', ['--version'], project, node).trim();
    step(`the consumer runs on Node ${version}`, () => runConsumer(project, node));
    step(`the command runs on Node ${version}`, () => runCommand(project, node));
  }
  step('without its driver Redis is refused, with the name of what is missing', () => refuseRedis(project));
  addRedisDriver(project);
  for (const node of nodes) {
    step(`jobs go through Redis on Node ${run('node', ['--version'], project, node).trim()}`, () =>
      runRedis(project, node),
    );
  }
} finally {
  await redis.stop();
  rmSync(work, { recursive: true, force: true });
}

/** `npm pack` builds first (prepack). No dependency, so the installation needs no registry. */
function installPackage() {
  const project = join(work, 'project');
  mkdirSync(project);
  run('npm', ['pack', '--pack-destination', work], root);
  const tarball = readdirSync(work).find((name) => name.endsWith('.tgz'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(work, tarball)], project);
  assert.deepEqual(
    readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['millrace'],
    'the package brings nothing along',
  );
  return project;
}

function checkFiles(project) {
  const installed = join(project, 'node_modules/millrace');
  const files = readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));
  const strangers = files.filter(
    (file) =>
      !/^dist\/.*\.(js|js\.map|d\.ts|sql|lua)$|^(package\.json|[A-Z]+(\.md)?)$/.test(file) || /\.test\./.test(file),
  );
  assert.deepEqual(strangers, [], 'nothing else is in the package');
  const scripts = globSync('src/**/*.lua', { cwd: root }).map((file) => file.replace('src', 'dist'));
  assert.ok(scripts.length > 20);
  for (const needed of ['dist/index.js', 'dist/index.d.ts', 'LICENSE', 'package.json', ...scripts]) {
    assert.ok(files.includes(needed), `${needed} is in the package`);
  }
}

/** Strict, and the package's declarations are checked too. The types of Node are the project's. */
function typeCheck(project, resolution) {
  for (const file of ['consumer.ts', 'redis.ts', 'square.ts'])
    copyFileSync(join(root, 'test/package', file), join(project, file));
  const module = resolution === 'nodenext' ? 'nodenext' : 'esnext';
  const options = ['--noEmit', '--strict', '--target', 'es2024', '--lib', 'es2024,esnext.disposable'];
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const resolve = ['--module', module, '--moduleResolution', resolution];
  run('tsc', [...options, ...types, ...resolve, 'consumer.ts', 'redis.ts'], project, bin);
}

function fetchOldestNode() {
  const folder = join(work, 'node');
  mkdirSync(folder);
  // The package `node` fetches its binary in an install script.
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts: { node: true } }));
  run('npm', ['install', '--no-audit', '--no-fund', `node@${oldest}`], folder);
  return join(folder, 'node_modules/.bin');
}

function runConsumer(project, node) {
  rmSync(join(project, 'jobs.db'), { force: true });
  assert.equal(run('node', ['consumer.ts'], project, node), 'hello world\n144\n42\n');
}

function runCommand(project, node) {
  const millrace = join(project, 'node_modules/.bin/millrace');
  assert.equal(run(millrace, ['--version'], project, node).trim(), own.version);
  assert.match(run(millrace, ['--help'], project, node), /Usage: millrace/);
  assert.match(run(millrace, ['serve', '--help'], project, node), /--max-queue/);
}

function refuseRedis(project) {
  assert.throws(
    () => run('node', ['redis.ts', redis.url], project, bin),
    (error) => error.message.includes('npm install redis') && error.message.includes('MILLRACE_PEER_MISSING'),
  );
}

/** As `npm install redis` would, from what the project itself has installed: the driver and all that it needs. */
function addRedisDriver(project) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const names = new Set(['redis']);
  for (const name of names) {
    for (const needed of Object.keys(packages[`node_modules/${name}`].dependencies ?? {})) names.add(needed);
    cpSync(join(root, 'node_modules', name), join(project, 'node_modules', name), { recursive: true });
  }
}

function runRedis(project, node) {
  assert.equal(run('node', ['redis.ts', redis.url], project, node), 'hello world\n');
  const millrace = join(project, 'node_modules/.bin/millrace');
  assert.match(run(millrace, ['status', '--backend', redis.url], project, node), /│ default +│/);
}

/** Runs a command with `path` in front; returns what it printed. Throws with all of its output when it fails. */
function run(command, args, cwd, path) {
  const PATH = path ? `${path}${delimiter}${process.env.PATH}` : process.env.PATH;
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, PATH, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}\n${error.stdout ?? ''}${error.stderr ?? ''}`, { cause: error });
  }
}

function step(title, action) {
  const began = performance.now();
  const result = action();
  console.log(`ok  ${title} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  return result;
}
