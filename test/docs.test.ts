/**
 * The manuals are held to their word: their samples compile, run and print what they say, no option is left out, the
 * tests they cite exist, and their links lead somewhere.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startRedis } from '../src/testing/redis.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** A manual, where its options are declared, and where its cited tests stand. */
const manuals = [
  {
    title: 'the pool',
    pages: ['docs/pool.md'],
    options: { files: ['options.ts', 'group.ts', 'threads/options.ts'].map((file) => `src/pool/${file}`), least: 30 },
    tests: (file: string) => `src/pool/${file}.test.ts`,
    cites: 50,
  },
  {
    title: 'the jobs',
    pages: [...globSync('docs/jobs/*.md', { cwd: root }).sort(), 'docs/comparison.md', 'docs/goworker.md'],
    options: {
      files: [
        'backend/settings.ts',
        'client/client.ts',
        'client/enqueue-options.ts',
        'client/event-stream.ts',
        'client/inspector.ts',
        'job/backoff.ts',
        'job/carry.ts',
        'job/compressed.ts',
        'job/job.ts',
        'job/rule.ts',
        'job/unique.ts',
        'job/worker-class.ts',
        'server/options.ts',
        'testing/drain.ts',
        'testing/perform.ts',
        'testing/testing.ts',
      ].map((file) => `src/${file}`),
      least: 70,
    },
    tests: (file: string) => `{src,test}/${file}{,.test}.ts`,
    cites: 80,
  },
  {
    title: 'Redis',
    pages: ['docs/redis.md'],
    options: { files: ['src/backend/redis/backend.ts'], least: 2 },
    tests: (file: string) => `{src,test}/${file}{,.test}.ts`,
    cites: 12,
  },
  {
    title: 'Resque',
    pages: ['docs/resque.md'],
    options: { files: ['src/backend/resque/options.ts'], least: 6 },
    tests: (file: string) => `{src,test}/${file}{,.test}.ts`,
    cites: 12,
  },
  {
    title: 'Sidekiq',
    pages: ['docs/sidekiq.md'],
    options: { files: ['src/backend/sidekiq/backend.ts'], least: 4 },
    tests: (file: string) => `{src,test}/${file}{,.test}.ts`,
    cites: 12,
  },
];

/** What the samples call `redis://localhost:6379`. */
const redis = await startRedis();
after(() => redis.stop());

/** Where a user would have them: a folder with `millrace` in its `node_modules`. */
const folder = mkdtempSync(join(tmpdir(), 'millrace-docs-'));
after(() => rmSync(folder, { recursive: true }));
const installed = join(folder, 'node_modules/millrace');
mkdirSync(installed, { recursive: true });
symlinkSync(join(root, 'src'), join(installed, 'src'));
const entries = { '.': './src/index.ts', './testing': './src/testing/testing.ts' };
writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'millrace', type: 'module', exports: entries }));
writeFileSync(join(folder, 'package.json'), '{"type":"module"}');

interface Sample {
  readonly page: string;
  readonly line: number;
  readonly file: string;
  readonly code: string;
  /** It has a name: a file that the others import, not a program. */
  readonly isModule: boolean;
}

/** The code blocks of a page. The first one stands before each of the others, except those with a name. */
function samplesOf(page: string): Sample[] {
  const text = read(page);
  const blocks = Array.from(text.matchAll(/^```ts(?: (\S+))?\n(.*?)^```$/gms));
  const prelude = blocks.shift()?.[2] ?? '';
  return blocks.map(({ 1: name, 2: code = '', index }) => ({
    page,
    line: text.slice(0, index).split('\n').length,
    file: name ?? `${page.replaceAll(/\W/g, '-')}-${index}.ts`,
    code: name === undefined ? `${prelude}\n${code}` : code,
    isModule: name !== undefined,
  }));
}

const samples = manuals.flatMap(({ pages }) => pages.flatMap(samplesOf));
for (const { file, code } of samples) {
  writeFileSync(join(folder, file), code.replaceAll('redis://localhost:6379', redis.url));
}

/** The compiler's options are the project's; what a sample does not use is no mistake. */
const tsconfig = {
  extends: join(root, 'tsconfig.json'),
  compilerOptions: { typeRoots: [join(root, 'node_modules/@types')], noUnusedLocals: false, noUnusedParameters: false },
  files: samples.map(({ file }) => file),
  include: [],
};

describe('The samples of the manuals', () => {
  it('are accepted by the compiler', { timeout: 120_000 }, async () => {
    assert.ok(samples.length > 5);
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
    const findings = await run(join(root, 'node_modules/.bin/tsc'), '-p', folder).catch(({ stdout }) => stdout);
    assert.equal(findings, '');
  });

  for (const { page, line, file, code, isModule } of samples) {
    if (isModule) continue;
    it(`print what they say, and end: ${page}, line ${line}`, { timeout: 60_000 }, async () => {
      const said = Array.from(code.matchAll(/\/\/ → (.*)$/gm), ([, text]) => text).join(', ');
      const printed = await run(process.execPath, '--disable-warning=ExperimentalWarning', join(folder, file));
      assert.equal(printed.trim().split('\n').join(', '), said);
    });
  }
});

for (const { title, pages, options, tests, cites } of manuals) {
  const manual = pages.map(read).join('\n');
  describe(`The manual of ${title}`, () => {
    it('names every option there is', () => {
      const names = options.files.flatMap((file) =>
        Array.from(
          read(file).matchAll(/^export (?:interface \w+(?:Options|Settings|Rule|Bounds)\b).*?\n}/gms),
          ([text]) => Array.from(text.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, name]) => name as string),
        ).flat(),
      );
      assert.ok(names.length >= options.least);
      assert.deepEqual(
        names.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual)),
        [],
      );
    });

    it('cites tests that exist', () => {
      const cited = Array.from(manual.replaceAll('\n', ' ').matchAll(/`([\w./-]+)`: “([^”]+)”/g));
      assert.ok(cited.length >= cites);
      const lost = cited.filter(
        ([, file, test]) => !titlesOf(tests(file as string)).some((one) => one.includes(test as string)),
      );
      assert.deepEqual(
        lost.map(([text]) => text),
        [],
      );
    });
  });
}

describe('The links of the manuals', () => {
  for (const page of manuals.flatMap(({ pages }) => pages)) {
    it(`lead somewhere: ${page}`, () => {
      const targets = Array.from(read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g));
      const lost = targets.filter(([, path, anchor]) => {
        const target = path ? join(dirname(page), path) : page;
        if (!existsSync(join(root, target))) return true;
        return anchor !== undefined && !anchorsOf(target).includes(anchor);
      });
      assert.deepEqual(
        lost.map(([text]) => text),
        [],
      );
    });
  }
});

/** Headings as GitHub makes anchors of them. */
function anchorsOf(page: string): string[] {
  const text = read(page).replaceAll(/^```.*?^```$/gms, '');
  return Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading]) =>
    (heading as string)
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Titles as they stand in the source: what is filled in when the test runs is not. */
function titlesOf(pattern: string): string[] {
  return globSync(pattern, { cwd: root }).flatMap((file) =>
    Array.from(read(file).matchAll(/\bit\(\s*(['"`])(.*?)\1,/gs), ([, , title]) =>
      (title as string).replaceAll('\\', ''),
    ),
  );
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd: folder });
  return stdout;
}
