/**
 * The manual of the pool is held to its word: its samples compile, run and print what it says, it leaves out no option, and
 * the tests it cites exist.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const manual = readFileSync(join(root, 'docs/pool.md'), 'utf8');

/** The code blocks. The first stands before each of the others, except those with a name: they are files of their own. */
const blocks = Array.from(manual.matchAll(/^```ts(?: (\S+))?\n(.*?)^```$/gms), ({ 1: name, 2: code = '', index }) => ({
  name: name ?? `sample-${index}.ts`,
  isModule: name !== undefined,
  code,
  line: manual.slice(0, index).split('\n').length,
}));
const [prelude, ...samples] = blocks;
assert.ok(prelude && samples.length > 5);

/** Where a user would have them: a folder with `millrace` in its `node_modules`. */
const folder = mkdtempSync(join(tmpdir(), 'millrace-docs-'));
after(() => rmSync(folder, { recursive: true }));
const installed = join(folder, 'node_modules/millrace');
mkdirSync(installed, { recursive: true });
symlinkSync(join(root, 'src/index.ts'), join(installed, 'index.ts'));
writeFileSync(join(installed, 'package.json'), '{"name":"millrace","type":"module","exports":"./index.ts"}');
writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
for (const { name, isModule, code } of samples) {
  writeFileSync(join(folder, name), isModule ? code : `${prelude.code}\n${code}`);
}

/** The compiler's options are the project's; what a sample does not use is no mistake. */
const tsconfig = {
  extends: join(root, 'tsconfig.json'),
  compilerOptions: { typeRoots: [join(root, 'node_modules/@types')], noUnusedLocals: false, noUnusedParameters: false },
  files: samples.map(({ name }) => name),
  include: [],
};

describe('The manual of the pool', () => {
  it('has samples that the compiler accepts', { timeout: 120_000 }, async () => {
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
    const findings = await run(join(root, 'node_modules/.bin/tsc'), '-p', folder).catch(({ stdout }) => stdout);
    assert.equal(findings, '');
  });

  for (const { name, isModule, code, line } of samples) {
    if (isModule) continue;
    it(`has a sample in line ${line} that prints what it says, and ends`, { timeout: 60_000 }, async () => {
      const said = Array.from(code.matchAll(/\/\/ → (.*)$/gm), ([, text]) => text).join(', ');
      const printed = await run(process.execPath, join(folder, name));
      assert.equal(printed.trim().split('\n').join(', '), said);
    });
  }

  it('names every option there is', () => {
    const options = ['options.ts', 'group.ts', 'threads/options.ts'].flatMap((file) =>
      Array.from(
        readFileSync(join(root, 'src/pool', file), 'utf8').matchAll(/^export interface \w+Options\b.*?\n}/gms),
        ([text]) => Array.from(text.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, name]) => name as string),
      ).flat(),
    );
    assert.ok(options.length > 30);
    assert.deepEqual(
      options.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual)),
      [],
    );
  });

  it('cites tests that exist', () => {
    const cited = Array.from(manual.matchAll(/`([\w./-]+)`: “([^”]+)”/g));
    assert.ok(cited.length > 50);
    const lost = cited.filter(
      ([, file, title]) => !titlesOf(`src/pool/${file}.test.ts`).some((one) => one.includes(title as string)),
    );
    assert.deepEqual(
      lost.map(([text]) => text),
      [],
    );
  });
});

/** As they stand in the source: what is filled in when the test runs is not. */
function titlesOf(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  return Array.from(source.matchAll(/\bit\(\s*(['"`])(.*?)\1,/gs), ([, , title]) =>
    (title as string).replaceAll('\\', ''),
  );
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args);
  return stdout;
}
