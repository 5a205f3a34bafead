import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { isError } from '../../../errors.ts';
import { type SentinelSet, startRedis, startSentinel, until } from '../../../testing/redis.ts';
import { type Link, makeLink, type Script } from './link.ts';

const script = (text: string): Script => ({ name: 'test', text, sha: createHash('sha1').update(text).digest('hex') });
const write = script("redis.call('SET', KEYS[1] .. 'x', ARGV[1]) return ARGV[1]");

describe('a link to a master that sentinels watch', () => {
  let set: SentinelSet;
  let links: Link[] = [];
  before(async () => {
    set = await startSentinel();
  });
  afterEach(async () => {
    await Promise.all(links.map((link) => link.close()));
    links = [];
  });
  after(() => set.stop());

  const openLink = async (url = set.url): Promise<Link> => {
    const link = makeLink(url);
    links.push(link);
    await link.open();
    return link;
  };
  const run = async (link: Link, request: string) => String(await link.run(write, '{a}:', Buffer.from(request)));

  it('follows a failover, with those who listen', async () => {
    const link = await openLink();
    let begun = Promise.withResolvers<void>();
    const stop = link.subscribe('{a}:', '{a}:news', () => begun.resolve());
    await begun.promise;
    begun = Promise.withResolvers();
    assert.equal(await run(link, '1'), '1');
    const before = await set.master();
    await set.failover();
    const master = await set.master();
    await begun.promise;
    begun = Promise.withResolvers();
    assert.equal(await run(link, '2'), '2');
    assert.equal(await master.command('GET', '{a}:x'), '2');
    assert.equal(await master.command('PUBLISH', '{a}:news', 'm'), 1);
    await begun.promise;
    assert.notEqual(before, master);
    // It was told: the old master itself does not know yet, and would take writes for some seconds more.
    assert.equal(((await before.command('ROLE')) as unknown[])[0], 'master');
    stop();
  });

  it('waits for the new master when the old one dies', async () => {
    // A set of its own: after a failover sentinels take their time for the next one.
    await using other = await startSentinel();
    const link = await openLink(`${other.url}?timeout=20000`);
    await run(link, '3');
    const victim = await other.master();
    await until('a replica has it', async () => (await victim.command('WAIT', '1', '100')) === 1);
    await victim.kill();
    assert.equal(await run(link, '4'), '4');
    assert.equal(await (await other.master()).command('GET', '{a}:x'), '4');
    await link.close();
  });

  it('asks the next sentinel when one is away, and says so when none knows the master', async () => {
    const [sentinel] = set.sentinels;
    const link = await openLink(`redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel?.port}/main`);
    assert.equal(await run(link, '5'), '5');
    const lost = makeLink(set.url.replace('/main', '/other'));
    await assert.rejects(
      lost.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /no sentinel knows the master other/.test(error.message),
    );
    await lost.close();
  });

  it('does not believe a sentinel that names a replica', async () => {
    await using master = await startRedis();
    await using stray = await startRedis();
    await stray.command('REPLICAOF', '127.0.0.1', String(master.port));
    await using liar = await startRedis({
      flags: ['--sentinel'],
      file: (port, folder) => {
        const path = `${folder}/sentinel.conf`;
        // It has only just been told of a master that is none, and will take its time to find out.
        writeFileSync(
          path,
          `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor main 127.0.0.1 ${stray.port} 1\n`,
        );
        return path;
      },
    });
    const link = makeLink(`redis+sentinel://127.0.0.1:${liar.port}/main`);
    await assert.rejects(
      link.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /not a master/.test(error.message),
    );
    await link.close();
  });
});
