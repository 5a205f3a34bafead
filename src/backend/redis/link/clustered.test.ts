import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { isError } from '../../../errors.ts';
import { type RedisCluster, type RedisServer, startCluster, until } from '../../../testing/redis.ts';
import { type Link, makeLink, type Script } from './link.ts';
import { slotOf } from './slot.ts';

const script = (text: string): Script => ({ name: 'test', text, sha: createHash('sha1').update(text).digest('hex') });
const write = script("redis.call('SET', KEYS[1] .. 'x', ARGV[1]) return ARGV[1]");
const read = script("return redis.call('GET', KEYS[1] .. 'x') or ''");
const publish = script("redis.call('PUBLISH', KEYS[1] .. 'news', ARGV[1]) return ''");
const tags = Array.from({ length: 30 }, (_, n) => `{${n}}:`);

describe('a link to a cluster', () => {
  let cluster: RedisCluster;
  let links: Link[] = [];
  before(async () => {
    cluster = await startCluster(3, 1);
  });
  afterEach(async () => {
    await Promise.all(links.map((link) => link.close()));
    links = [];
  });
  after(() => cluster.stop());

  const openLink = async (query = ''): Promise<Link> => {
    const link = makeLink(cluster.url + query);
    links.push(link);
    await link.open();
    return link;
  };
  const run = async (link: Link, what: Script, key: string, request = '') =>
    String(await link.run(what, key, Buffer.from(request)));
  const errorsOf = async (code: string, server: RedisServer) => {
    const info = String(await server.command('INFO', 'errorstats'));
    return Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(info)?.[1] ?? 0);
  };
  const clientsOf = async (server: RedisServer) => {
    const list = String(await server.command('CLIENT', 'LIST', 'TYPE', 'normal'));
    return list.split('\n').filter((line) => line && !line.includes('cmd=client')).length;
  };
  const otherThan = (server: RedisServer) => cluster.masters.find((other) => other !== server) as RedisServer;

  it('finds each key where it is, with one connection per master', async () => {
    const link = await openLink();
    assert.equal(link.isCluster, true);
    assert.deepEqual(await Promise.all(tags.map((tag) => run(link, write, tag, tag))), tags);
    for (const tag of tags) assert.equal(await (await cluster.ownerOf(tag)).command('GET', `${tag}x`), tag);
    for (const master of cluster.masters) assert.equal(await clientsOf(master), 1);
    assert.equal(await errorsOf('MOVED', cluster.masters[0] as RedisServer), 0);
  });

  it('knows slots as the server does', async () => {
    for (const key of ['a', '{a}b', 'x{}y', 'é{ü}', ...tags]) assert.equal(slotOf(key), await cluster.slotOf(key), key);
  });

  it('says which address it wants', async () => {
    const [first] = cluster.masters as [RedisServer];
    const link = makeLink(first.url);
    await assert.rejects(
      link.open(),
      (error) => isError(error, 'OPTION_INVALID') && /redis\+cluster:\/\//.test(error.message),
    );
    await link.close();
  });

  it('opens when only one of its nodes answers, and says so when none does', async () => {
    const [first] = cluster.masters as [RedisServer];
    const link = makeLink(`redis+cluster://127.0.0.1:1,127.0.0.1:${first.port},127.0.0.1:2`);
    await link.open();
    assert.equal(await run(link, write, '{a}:', '1'), '1');
    await link.close();
    const lost = makeLink('redis+cluster://127.0.0.1:1,127.0.0.1:2');
    await assert.rejects(
      lost.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /no node/.test(error.message),
    );
    await lost.close();
  });

  it('follows a slot that is on its way, and one that has moved', async () => {
    const link = await openLink();
    const from = await cluster.ownerOf('{move}:');
    const to = otherThan(from);
    await run(link, write, '{move}:', 'old');
    const finish = await cluster.beginMove('{move}:', to);
    // A script that is run meanwhile could find half of its keys only, so it has to wait.
    const waiting = run(link, read, '{move}:');
    await until('the script was refused', async () => (await errorsOf('TRYAGAIN', to)) > 0);
    await link.command('{move}:y', ['SET', '{move}:y', '1']);
    await finish();
    assert.equal(await waiting, 'old');
    assert.equal(await errorsOf('MOVED', from), 1);
    // Told once, it asks the right one from now on.
    assert.equal(await run(link, read, '{move}:'), 'old');
    assert.equal(String(await link.command('{move}:y', ['GET', '{move}:y'])), '1');
    assert.equal(await errorsOf('MOVED', from), 1);
  });

  it('hears a channel wherever it was published, also after its slot has moved', async () => {
    const [one, two] = [await openLink(), await openLink()];
    const heard: string[] = [];
    let next = Promise.withResolvers<void>();
    const stop = one.subscribe('{hear}:', '{hear}:news', (message) => {
      heard.push(String(message));
      next.resolve();
    });
    await next.promise;
    next = Promise.withResolvers();
    await run(two, publish, '{hear}:', 'a');
    await next.promise;
    await cluster.move('{hear}:', otherThan(await cluster.ownerOf('{hear}:')));
    next = Promise.withResolvers();
    await run(two, publish, '{hear}:', 'b');
    await next.promise;
    assert.deepEqual(heard, ['', 'a', 'b']);
    stop();
  });

  it('goes on at the replica of a master that died, and hears it', async () => {
    const link = await openLink('?timeout=20000');
    const victim = await cluster.ownerOf('{die}:');
    await run(link, write, '{die}:', 'kept');
    const heard = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    let empties = 0;
    const stop = link.subscribe('{die}:', '{die}:news', (message) => {
      if (message.length > 0) heard[1]?.resolve(String(message));
      else if (++empties === 1) heard[0]?.resolve('');
    });
    await heard[0]?.promise;
    await until('a replica has it', async () => String(await victim.command('WAIT', '1', '100')) === '1');
    await victim.kill();
    assert.equal(await run(link, write, '{die}:', 'after'), 'after');
    await until('it is heard', async () => {
      await run(link, publish, '{die}:', 'alive');
      return empties > 1;
    });
    await run(link, publish, '{die}:', 'alive');
    assert.equal(await heard[1]?.promise, 'alive');
    stop();
    await victim.restart();
  });
});
