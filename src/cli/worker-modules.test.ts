import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { performJob } from '../testing/testing.ts';
import { loadWorkerClasses } from './worker-modules.ts';

const library = new URL('../index.ts', import.meta.url).href;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-modules-'));
});
after(() => rm(folder, { recursive: true }));

async function module(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}
const names = async (...paths: string[]) => (await loadWorkerClasses(paths)).map(({ name }) => name);

describe('loadWorkerClasses', () => {
  it('takes functions by the names of their exports, and jobs by their own', async () => {
    const path = await module(
      'workers.ts',
      `import { defineJob, workerClass } from '${library}';
       export const Mail = async (queue: string, to: string) => queue + ' ' + to;
       const send = () => 'sent';
       export { send as 'Mail::Sender' };
       export const pay = workerClass('Billing::Pay', () => 'paid', { maxAttempts: 3 });
       export const resize = defineJob({ name: 'resize', run: () => 'resized' });
       export const LIMIT = 7, nothing = null;
       export class Helper {}`,
    );
    const classes = await loadWorkerClasses([path]);
    const byName = new Map(classes.map((each) => [each.name, each] as const));
    assert.deepEqual([...byName.keys()].sort(), ['Billing::Pay', 'Mail', 'Mail::Sender', 'resize']);
    assert.equal(byName.get('Billing::Pay')?.maxAttempts, 3);
    const mail = byName.get('Mail');
    assert.ok(mail);
    const run = await performJob(mail, ['ada'], { queue: 'high' });
    assert.equal(run.outcome === 'completed' && run.value, 'high ada');
  });

  it('takes what stands in an object that is the default, and each thing of CommonJS once', async () => {
    const object = await module('object.mjs', `export default { 'A::B': () => 1, C: function () {} };`);
    assert.deepEqual(await names(object), ['A::B', 'C']);
    const common = await module('common.cjs', `exports.D = () => 1; module.exports['E::F'] = () => 2;`);
    assert.deepEqual((await names(common, object)).sort(), ['A::B', 'C', 'D', 'E::F']);
  });

  it('gives its options to functions, not to jobs', async () => {
    const path = await module(
      'numbers.ts',
      `import { workerClass } from '${library}';
       export const Plain = () => 1;
       export const own = workerClass('Own', () => 1);`,
    );
    const [bytes, classes] = [Buffer.from('[9007199254740993]'), await loadWorkerClasses([path], { bigints: true })];
    const read = Object.fromEntries(classes.map(({ name, codec }) => [name, codec.decode(bytes)]));
    assert.deepEqual(read, { Plain: [9007199254740993n], Own: [9007199254740992] });
  });

  it('refuses what is no module, or has nothing in it', async () => {
    const refused = (path: string, says: RegExp) =>
      assert.rejects(loadWorkerClasses([path]), { code: 'MILLRACE_OPTION_INVALID', message: says });
    await refused(join(folder, 'none.ts'), /`--require` should be the file of a module, got ".*none.ts"/);
    await refused(folder, /`--require` should be the file of a module/);
    await refused(
      await module('empty.mjs', 'export const a = 1;'),
      /should be a module that exports functions or jobs/,
    );
    const anonymous = await module('anonymous.mjs', 'export default () => 1;');
    await refused(anonymous, /should be a module whose functions are exported by name/);
  });

  it('passes on what a module throws, also when it is another module that is missing', async () => {
    const broken = await module('broken.mjs', `throw new Error('no database');`);
    await assert.rejects(loadWorkerClasses([broken]), { message: 'no database' });
    const half = await module('half.mjs', `import './other.mjs'; export const A = () => 1;`);
    await assert.rejects(loadWorkerClasses([half]), { code: 'ERR_MODULE_NOT_FOUND', message: /other\.mjs/ });
  });
});
