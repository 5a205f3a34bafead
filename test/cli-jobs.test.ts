/** The commands that look at jobs and queues, and act on them, as a person meets them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, defineJob, openBackend } from '../src/index.ts';

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const mail = defineJob({ name: 'send', queue: 'mail', run: (_: { to: string; n: number }) => undefined });

describe('millrace on jobs', () => {
  let folder: string;
  let url: string;
  /** What the command prints, when it ends with 0. */
  const says = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args, '--backend', url], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const refuses = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args, '--backend', url], { encoding: 'utf8' });
    assert.equal(status, 2, stderr);
    return stderr;
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-cli-jobs-'));
    url = `sqlite:${folder}/jobs.db`;
    const backend = await openBackend(url);
    const client = new Client({ backend });
    await client.enqueueMany(
      mail,
      Array.from({ length: 6 }, (_, n) => ({ to: n % 2 ? 'ada' : 'bob', n })),
      { tags: ['letter'] },
    );
    await client.close();
    await backend.close();
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('shows jobs by words', () => {
    const table = says('jobs', 'queue:mail', 'args.to:ada');
    assert.match(table, /│ 'mail' +│ 'send' +│ 'available' +│ '1\/25' .*'letter'.*\{"to":"ada","n":1\}/);
    assert.match(table, /\n3 jobs\n$/);
    assert.match(says('jobs', '--limit', '2'), /\n2 jobs; there are more\n$/);
    assert.equal(says('jobs', 'queue:other'), '0 jobs\n');
    assert.match(refuses('jobs', 'queue'), /position 5: expected a colon/);
  });

  it('makes no file where it was to look at one', async () => {
    const typo = join(folder, 'jbos.db');
    for (const command of [['status'], ['jobs'], ['pause', 'mail']]) {
      const { status, stderr } = spawnSync(
        process.execPath,
        [main, ...command, '--backend', `sqlite:${typo}?shared=true`],
        {
          encoding: 'utf8',
        },
      );
      assert.notEqual(status, 0);
      assert.match(stderr, /there is no such file/);
    }
    await assert.rejects(stat(typo), { code: 'ENOENT' });
  });

  it('acts on jobs only when it is sure', () => {
    assert.match(refuses('discard', 'args.to:ada'), /`--yes` should be given to discard 3 jobs/);
    assert.match(refuses('discard', '--yes'), /`FILTER` should be given/);
    assert.equal(says('discard', 'args.to:ada', '--yes'), '3 jobs are discarded\n');
    assert.equal(
      says('cancel', 'args.n:0', '--yes', '--reason', 'not wanted'),
      '1 jobs are cancelled or told to stop\n',
    );
    assert.match(says('jobs', 'state:cancelled'), /not wanted/);
    assert.equal(says('retry', 'args.to:ada', '--limit', '1'), '1 discarded jobs are available again\n');
    assert.equal(says('retry', '--rate', '1/1h'), '2 discarded jobs will be available again, one by one\n');
    assert.equal(says('remove', 'state:cancelled', '--yes'), '1 jobs are removed\n');
    assert.match(refuses('retry', '--rate', 'often'), /`--rate` should be a rate such as 100\/1m/);
  });

  it('pauses, resumes and limits a queue, and shows it', () => {
    assert.equal(says('pause', 'mail'), 'queue "mail" is paused\n');
    assert.match(says('status'), /│ mail +│ true +│/);
    assert.equal(says('resume', 'mail'), 'queue "mail" gives jobs again\n');
    says('limit', 'mail', 'keys.weights.acme=2');
    const set = 'concurrency=5 rate=100/1m keys.concurrency=2 keys.weights.acme=2 keys.weights.bolt=3';
    assert.equal(
      says('limit', 'mail', 'concurrency=5', 'rate=100/1m', 'keys.concurrency=2', 'keys.weights.bolt=3'),
      `queue "mail": ${set}\n`,
    );
    assert.match(says('status'), new RegExp(`│ mail +│ false +│.*${set}`));
    assert.match(refuses('limit', 'mail', 'speed=5'), /`speed` is not an option/);
    assert.match(refuses('limit', 'mail', 'concurrency=fast'), /`concurrency` should be an integer from 1, or none/);
    assert.match(refuses('limit', 'mail', 'concurrency=0'), /`concurrency` should be an integer from 1/);
    assert.match(refuses('pause'), /`QUEUE` should be given/);
  });
});
