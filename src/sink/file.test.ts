import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { isError } from '../errors.ts';
import { FileSink, type FileSinkOptions, fileFailure } from './file.ts';

const json = (key: string, body = '{}') => ({
  key,
  body: new TextEncoder().encode(body),
  contentType: 'application/json',
});
const code = (wanted: Parameters<typeof isError>[1]) => (error: unknown) => isError(error, wanted);

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-file-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function sinkIn(folder: string, options?: FileSinkOptions): Promise<FileSink> {
  const sink = new FileSink(join(folder, 'objects'), options);
  await sink.open();
  return sink;
}

const files = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());

describe('FileSink', () => {
  for (const sync of [true, false]) {
    it(`stores the bytes it was given and leaves nothing else behind (sync: ${sync})`, async (t) => {
      const folder = await folderFor(t);
      const sink = await sinkIn(folder, { sync });
      await Promise.all([...Array(100).keys()].map((i) => sink.put(json(`q/2026/${i % 7}/${i}.json`, `{"i":${i}}`))));
      for (let i = 0; i < 100; i++) {
        assert.equal(await readFile(join(folder, `objects/q/2026/${i % 7}/${i}.json`), 'utf8'), `{"i":${i}}`);
      }
      assert.equal((await files(folder)).length, 100);
      await sink.close();
    });
  }

  it('replaces an object as a whole: a reader sees the old or the new one', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder, { sync: false });
    const [a, b] = ['a'.repeat(100_000), 'b'.repeat(50_000)];
    await sink.put(json('x', a));
    const writing = Promise.all([...Array(40).keys()].map((i) => sink.put(json('x', i % 2 ? a : b))));
    let done = false;
    void writing.then(() => {
      done = true;
    });
    while (!done) assert.ok([a, b].includes(await readFile(join(folder, 'objects/x'), 'utf8')));
    await writing;
  });

  it('refuses unsafe keys and its own folder for what is incoming', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder);
    for (const key of ['../x', '/etc/x', 'a/../../x', 'a\\..\\x', 'a\0', '', '.incoming/x', '.incoming']) {
      await assert.rejects(sink.put(json(key)), code('SINK_KEY_INVALID'), key);
    }
    assert.deepEqual(await files(folder), []);
  });

  it('never writes outside its folder, whatever the key', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder, { sync: false });
    const part = fc.constantFrom('..', '.', '', 'a', 'b', '\\', '~', 'c d', '\0', 'é');
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), async (parts) => {
        await sink
          .put(json(`${parts.join('/')}`))
          .catch((error) => assert.match(error.code, /SINK_(KEY_INVALID|REFUSED)/));
      }),
      { numRuns: 200 },
    );
    assert.deepEqual(await readdir(folder), ['objects']);
  });

  it('follows no symbolic link out of its folder, and writes through none', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder);
    const outside = join(folder, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'file'), 'mine');
    await symlink(outside, join(folder, 'objects/link'));
    await symlink(join(outside, 'file'), join(folder, 'objects/alias'));

    await assert.rejects(sink.put(json('link/x')), code('SINK_AWAY'));
    await assert.rejects(sink.put(json('link/deep/x')), code('SINK_AWAY'));
    await sink.put(json('alias', 'new'));
    assert.equal(await readFile(join(outside, 'file'), 'utf8'), 'mine', 'the link was replaced, not followed');
    assert.deepEqual(await readdir(outside), ['file']);
  });

  it('may itself be reached through a symbolic link', async (t) => {
    const folder = await folderFor(t);
    await mkdir(join(folder, 'real'));
    await symlink(join(folder, 'real'), join(folder, 'objects'));
    await (await sinkIn(folder)).put(json('a/b'));
    assert.ok(existsSync(join(folder, 'real/a/b')));
  });

  it('makes a folder again that was removed while it ran', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder);
    await sink.put(json('a/b/1'));
    await rm(join(folder, 'objects/a'), { recursive: true });
    await sink.put(json('a/b/2'));
    assert.ok(existsSync(join(folder, 'objects/a/b/2')));
  });

  it('refuses for good what can never be a file here: a folder of that name, a file among the folders, a long name', async (t) => {
    const sink = await sinkIn(await folderFor(t));
    await sink.put(json('a/b'));
    for (const key of ['a', 'a/b/c', 'a/b/c/d', 'x'.repeat(300)]) {
      await assert.rejects(sink.put(json(key)), code('SINK_REFUSED'), key);
    }
    await sink.put(json('a/still works'));
  });

  it('is away, not refusing, when the folder is gone altogether or cannot be made', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder);
    await rm(join(folder, 'objects'), { recursive: true });
    await assert.rejects(
      sink.put(json('a')),
      (error) => isError(error, 'SINK_AWAY') && error.fields.trouble === 'blocked',
    );
    await writeFile(join(folder, 'objects'), 'a file');
    await assert.rejects(sink.open());
  });

  it('is away when somebody has to mend the disk: full, read-only, not permitted', () => {
    for (const errno of ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'EMFILE', 'ENOENT']) {
      const error = fileFailure('a', Object.assign(new Error(`${errno}: trouble`), { code: errno }));
      assert.ok(isError(error, 'SINK_AWAY') && error.fields.trouble === 'blocked', errno);
      assert.ok(error.message.includes(errno));
    }
  });

  it('sweeps what a crash left behind, once it is a day old', async (t) => {
    const folder = await folderFor(t);
    await sinkIn(folder);
    const incoming = join(folder, 'objects/.incoming');
    await writeFile(join(incoming, 'old'), '');
    await writeFile(join(incoming, 'new'), '');
    await utimes(join(incoming, 'old'), 0, 0);
    await sinkIn(folder);
    assert.deepEqual(await readdir(incoming), ['new']);
  });

  it('does not begin when the signal has aborted', async (t) => {
    const folder = await folderFor(t);
    const sink = await sinkIn(folder);
    await assert.rejects(sink.put(json('a'), AbortSignal.abort(new Error('enough'))), /enough/);
    assert.deepEqual(await files(folder), []);
  });

  it('refuses a folder without a name', () => {
    assert.throws(() => new FileSink(''), code('OPTION_INVALID'));
  });
});
