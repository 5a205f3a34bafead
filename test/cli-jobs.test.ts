/** The commands that look at jobs and queues, and act on them, as a person meets them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, defineJob, openBackend } from '../src/index.ts';
import { startRedis } from '../src/testing/redis.ts';

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const mail = defineJob({ name: 'send', queue: 'mail', run: (_: { to: string; n: number }) => undefined });

/** Where the jobs of a run of the suite are; `stop` leaves nothing behind. */
interface Home {
  readonly url: string;
  stop(): Promise<void>;
}

const password = 'hunter2';

const homes: Readonly<Record<string, () => Promise<Home>>> = {
  'a SQLite file': async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-cli-jobs-'));
    return { url: `sqlite:${folder}/jobs.db`, stop: () => rm(folder, { recursive: true, force: true }) };
  },
  Redis: async () => {
    const server = await startRedis();
    await server.command('ACL', 'SETUSER', 'operator', 'on', `>${password}`, '~*', '&*', '+@all');
    const url = `redis://operator:${password}@127.0.0.1:${server.port}?namespace=shop`;
    return { url, stop: () => server.stop() };
  },
};

for (const [name, open] of Object.entries(homes)) {
  describe(`millrace on jobs in ${name}`, () => {
    let home: Home;
    const run = (...args: string[]) => {
      const result = spawnSync(process.execPath, [main, ...args, '--backend', home.url], { encoding: 'utf8' });
      assert.doesNotMatch(result.stdout + result.stderr, new RegExp(password));
      return result;
    };
    /** What the command prints, when it ends with 0. */
    const says = (...args: string[]) => {
      const { status, stdout, stderr } = run(...args);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    const refuses = (...args: string[]) => {
      const { status, stderr } = run(...args);
      assert.equal(status, 2, stderr);
      return stderr;
    };

    before(async () => {
      home = await open();
      const backend = await openBackend(home.url);
      const client = new Client({ backend });
      await client.enqueueMany(
        mail,
        Array.from({ length: 6 }, (_, n) => ({ to: n % 2 ? 'ada' : 'bob', n })),
        { tags: ['letter'] },
      );
      await client.close();
      await backend.close();
    });
    after(() => home.stop());

    it('shows jobs by words', () => {
      const table = says('jobs', 'queue:mail', 'args.to:ada');
      assert.match(table, /│ 'mail' +│ 'send' +│ 'available' +│ '1\/25' .*'letter'.*\{"to":"ada","n":1\}/);
      assert.match(table, /\n3 jobs\n$/);
      assert.match(says('jobs', '--limit', '2'), /\n2 jobs; there are more\n$/);
      assert.equal(says('jobs', 'queue:other'), '0 jobs\n');
      assert.match(refuses('jobs', 'queue'), /position 5: expected a colon/);
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

    it('shows the servers, by the clock of their backend', async (t) => {
      const backend = await openBackend(home.url);
      t.after(() => backend.close());
      await backend.beat({
        id: 'host-1',
        host: 'host',
        pid: process.pid,
        queues: ['mail'],
        concurrency: 7,
      });
      assert.match(says('status'), /^host-1: 0 running of 7, last beat \d s ago$/m);
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
}

describe('millrace that finds no backend', () => {
  it('makes no file where it was to look at one', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-cli-jobs-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
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

  it('says why Redis cannot be used, and keeps its password to itself', async (t) => {
    const server = await startRedis();
    t.after(() => server.stop());
    for (const [url, code, why] of [
      [`redis://nobody:${password}@127.0.0.1:${server.port}`, 1, /does not let this program in: WRONGPASS/],
      [`redis+cluster://:${password}@127.0.0.1:${server.port}`, 2, /this server is not part of a cluster/],
      [`redis://:${password}@127.0.0.1:1`, 1, /is away: .*ECONNREFUSED/],
      [`redis://:${password}@127.0.0.1/first`, 2, /`db` should be/],
      [`redis://127.0.0.1:${server.port}?sentinelPassword=${password}`, 2, /`sentinelPassword` is not an option/],
    ] as const) {
      for (const command of [['status'], ['serve', '--port', '0']]) {
        const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...command, '--backend', url], {
          encoding: 'utf8',
        });
        assert.equal(status, code, `${url}: ${stderr}`);
        assert.match(stderr, why);
        assert.doesNotMatch(stdout + stderr, new RegExp(password));
      }
    }
  });
});
