/**
 * What the link does when the network or the server breaks. The server counts how often it saw each request. Where a call
 * has to be given up, or a silence to be noticed, a virtual clock says when, for servers and networks may be slow here.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { VirtualClock } from '../../../clock.ts';
import { isError } from '../../../errors.ts';
import { FaultProxy } from '../../../testing/fault-proxy.ts';
import { type RedisServer, replicate, startRedis, until } from '../../../testing/redis.ts';
import { type Link, type LinkOptions, makeLink, type Script } from './link.ts';

const script = (text: string): Script => ({ name: 'test', text, sha: createHash('sha1').update(text).digest('hex') });
const count = script("redis.call('HINCRBY', KEYS[1] .. 'seen', ARGV[1], 1) return ARGV[1]");
const large = script("redis.call('HINCRBY', KEYS[1] .. 'seen', ARGV[1], 1) return string.rep(ARGV[1], 100000)");
const look = script("return redis.call('HGET', KEYS[1] .. 'seen', ARGV[1]) or '0'");
const write = script("redis.call('SET', KEYS[1] .. ARGV[1], '1') return ARGV[1]");

/** The defaults, and the longest pause between two tries. */
const timeout = 10_000;
const silence = 5_000;
const pause = 2_000;

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a link that is disturbed', () => {
  let server: RedisServer;
  let proxy: FaultProxy;
  let links: Link[] = [];
  before(async () => {
    server = await startRedis({ appendfsync: 'always' });
    proxy = await FaultProxy.start(server.port);
  });
  afterEach(async () => {
    proxy.mend();
    proxy.target = server.port;
    await server.command('REPLICAOF', 'NO', 'ONE');
    await Promise.all(links.map((link) => link.close()));
    links = [];
    await server.command('FLUSHALL');
  });
  after(async () => {
    await proxy.stop();
    await server.stop();
  });

  const openLink = async (query = '', options: LinkOptions = {}, port = proxy.port): Promise<Link> => {
    const link = makeLink(`redis://127.0.0.1:${port}${query}`, options);
    links.push(link);
    await link.open();
    return link;
  };
  const run = async (link: Link, what: Script, request: string) =>
    String(await link.run(what, '{a}:', Buffer.from(request)));
  const seen = async (request: string) => Number((await server.command('HGET', '{a}:seen', request)) ?? 0);
  const errorsOf = async (code: string, of = server) => {
    const info = String(await of.command('INFO', 'errorstats'));
    return Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(info)?.[1] ?? 0);
  };

  const callsOf = async (command: string) => {
    const info = String(await server.command('INFO', 'commandstats'));
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
  };

  it('sends the same request again when the answer is lost', async () => {
    const link = await openLink();
    await run(link, count, 'warm');
    proxy.cutAfter(0);
    assert.equal(await run(link, count, 'lost'), 'lost');
    assert.equal(await seen('lost'), 2);
  });

  it('sends it again when half of the answer is lost, with all that was under way', async () => {
    const link = await openLink();
    await run(link, large, 'warm');
    proxy.cutAfter(250_000);
    const answers = await Promise.all(['p', 'q', 'r', 's'].map((request) => run(link, large, request)));
    assert.deepEqual(
      answers,
      ['p', 'q', 'r', 's'].map((request) => request.repeat(100_000)),
    );
    // A reset also throws away what had arrived but was not read yet.
    const times = await Promise.all(['p', 'q', 'r', 's'].map(seen));
    assert.ok(times.every((n) => n === 1 || n === 2));
    assert.equal(times.at(-1), 2);
  });

  it('drops a connection that has fallen silent, and sends again what it owed', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock });
    await run(link, count, 'warm');
    const before = proxy.connections;
    proxy.silence();
    const swallowed = proxy.passed('silent');
    const answer = run(link, count, 'silent');
    await swallowed;
    proxy.mend();
    await clock.advance(silence);
    await clock.advance(pause);
    assert.equal(await answer, 'silent');
    assert.equal(await seen('silent'), 1);
    assert.equal(proxy.connections, before + 1);
  });

  it('notices silence while it only listens, and says that messages may have been missed', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock });
    const empty = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let begun = 0;
    const stop = link.subscribe('{a}:', '{a}:news', () => empty[begun++]?.resolve());
    await empty[0]?.promise;
    proxy.silence();
    const asked = proxy.passed('PING');
    await clock.advance(silence);
    await asked;
    proxy.mend();
    await clock.advance(silence);
    await clock.advance(pause);
    await empty[1]?.promise;
    stop();
  });

  it('does not take its own busy process for a silent server', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock }, server.port);
    const id = await link.command(undefined, ['CLIENT', 'ID']);
    const answer = run(link, count, 'busy');
    await turn();
    await turn(); // it is written now
    const end = performance.now() + 300;
    while (performance.now() < end); // meanwhile the answer comes, and lies in the socket
    await clock.advance(silence);
    assert.equal(await answer, 'busy');
    assert.equal(await link.command(undefined, ['CLIENT', 'ID']), id);
    assert.equal(await seen('busy'), 1);
  });

  it('subscribes anew after a cut, and tells every listener', async () => {
    const link = await openLink();
    let begun = 0;
    let all = Promise.withResolvers<void>();
    const stops = ['x', 'y', 'z'].map((name) =>
      link.subscribe('{a}:', `{a}:${name}`, (message) => {
        if (message.length === 0 && ++begun % 3 === 0) all.resolve();
        if (message.length > 0) all.resolve();
      }),
    );
    await all.promise;
    all = Promise.withResolvers();
    proxy.cut();
    await all.promise;
    assert.equal(begun, 6);
    for (const name of ['x', 'y', 'z']) {
      all = Promise.withResolvers();
      assert.equal(await server.command('PUBLISH', `{a}:${name}`, 'm'), 1);
      await all.promise;
    }
    for (const stop of stops) stop();
  });

  it('gives up after its timeout, and says whether the call may have had its effect', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock });
    await run(link, count, 'warm');
    const before = proxy.connections;
    proxy.refuse();
    const cut = assert.rejects(run(link, count, 'cut'), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    await until('the link has noticed', async () => {
      await clock.advance(pause / 20);
      return proxy.connections > before;
    });
    await clock.advance(timeout);
    await cut;
    const refused = assert.rejects(
      run(link, count, 'refused'),
      (error) =>
        isError(error, 'BACKEND_UNAVAILABLE') && /within 10000 ms \(.+\); the call had no effect/.test(error.message),
    );
    await clock.advance(timeout);
    await refused;
    proxy.mend();
    assert.equal(await seen('refused'), 0);

    const slow = new VirtualClock();
    const other = await openLink('', { clock: slow });
    await run(other, count, 'warm');
    proxy.silence();
    const swallowed = proxy.passed('silent');
    const silent = assert.rejects(
      run(other, count, 'silent'),
      (error) =>
        isError(error, 'BACKEND_UNAVAILABLE') &&
        error.fields.unsure === true &&
        /within 10000 ms.*may have had its effect/.test(error.message),
    );
    await swallowed;
    await slow.advance(timeout);
    await silent;
  });

  it('spaces out its tries to connect, however many calls wait', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock });
    proxy.refuse();
    const before = proxy.connections;
    const outcomes = Promise.allSettled(Array.from({ length: 200 }, () => run(link, count, 'x')));
    await until('the link has tried again', async () => {
      await clock.advance(pause / 20);
      return proxy.connections > before;
    });
    await clock.advance(timeout);
    assert.ok((await outcomes).every(({ status }) => status === 'rejected'));
    assert.ok(proxy.connections - before < 100, `${proxy.connections - before} tries`);
  });

  it('waits for a server that is stopped and goes on', async () => {
    const clock = new VirtualClock();
    const link = await openLink('', { clock }, server.port);
    const id = await link.command(undefined, ['CLIENT', 'ID']);
    await server.kill('SIGSTOP');
    const answer = run(link, count, 'stopped');
    await turn();
    await turn(); // it is written now
    await clock.advance(silence);
    await clock.advance(pause);
    await server.kill('SIGCONT');
    assert.equal(await answer, 'stopped');
    assert.notEqual(await link.command(undefined, ['CLIENT', 'ID']), id);
    assert.ok((await seen('stopped')) >= 1);
  });

  it('waits for a server that is killed and starts again; its scripts are gone, what it had is not', async () => {
    const link = await openLink('', {}, server.port);
    await run(link, count, 'before');
    await server.kill();
    const answers = [run(link, count, 'after'), run(link, look, 'before')];
    await server.restart();
    assert.deepEqual(await Promise.all(answers), ['after', '1']);
    assert.ok((await errorsOf('NOSCRIPT')) >= 1);
  });

  it('waits for a server that is still reading its file', async () => {
    await using slow = await startRedis({ config: { 'key-load-delay': '50' } });
    const link = await openLink('', {}, slow.port);
    const fill = script("for n = 1, 6000 do redis.call('SET', KEYS[1] .. n, n) end return 'full'");
    await run(link, fill, '');
    await slow.restart('listening');
    assert.equal(await run(link, script("return redis.call('GET', KEYS[1] .. ARGV[1])"), '6000'), '6000');
    assert.ok((await errorsOf('LOADING', slow)) >= 1);
  });

  it('waits for a master while its server is a replica', async () => {
    await using other = await startRedis();
    const link = await openLink('', {}, server.port);
    await run(link, count, 'before');
    await replicate(server, other);
    const before = await callsOf('evalsha');
    const answer = run(link, write, 'x');
    await until('the replica has refused it', async () => (await callsOf('evalsha')) > before);
    await server.command('REPLICAOF', 'NO', 'ONE');
    assert.equal(await answer, 'x');
    await server.command('REPLICAOF', '127.0.0.1', String(other.port));
    const late = makeLink(server.url);
    await assert.rejects(late.open(), (error) => isError(error, 'BACKEND_READ_ONLY'));
    await late.close();
    await server.command('REPLICAOF', 'NO', 'ONE');
  });

  it('says that a call had no effect when all that it met was a replica that refused it', async () => {
    await using other = await startRedis();
    const clock = new VirtualClock();
    const link = await openLink('', { clock });
    await run(link, count, 'before');
    await replicate(server, other);
    const before = await callsOf('evalsha');
    const refused = assert.rejects(
      run(link, write, 'x'),
      (error) =>
        isError(error, 'BACKEND_UNAVAILABLE') && !error.fields.unsure && /the call had no effect/.test(error.message),
    );
    await until('the replica has refused it', async () => (await callsOf('evalsha')) > before);
    proxy.refuse(); // before the next try, which waits for the clock
    await clock.advance(timeout);
    await refused;
  });

  it('connects anew when its server has become a replica, for the address may lead to another one now', async () => {
    await using other = await startRedis();
    const link = await openLink();
    await run(link, count, 'before');
    proxy.target = other.port;
    await replicate(server, other);
    assert.equal(await run(link, write, 'x'), 'x');
    assert.equal(await other.command('EXISTS', '{a}:x'), 1);
  });

  it('answers when replicas have it, and asks them once for many calls', async () => {
    await using replica = await startRedis();
    await replicate(replica, server);
    const link = await openLink('?waitForReplicas=1');
    await server.command('CONFIG', 'RESETSTAT');
    await Promise.all(Array.from({ length: 100 }, (_, n) => run(link, write, `r${n}`)));
    assert.equal(await replica.command('EXISTS', '{a}:r99'), 1);
    const waits = await callsOf('wait');
    assert.ok(waits >= 1 && waits <= 5, `${waits} questions`);

    // One that is slow holds the answer; one that has gone makes it fail, and says that the effect may hold.
    await replica.kill('SIGSTOP');
    const answer = run(link, write, 'slow');
    await until('the master has it', async () => (await server.command('EXISTS', '{a}:slow')) === 1);
    await replica.kill('SIGCONT');
    assert.equal(await answer, 'slow');
    await replica.kill('SIGSTOP');
    const clock = new VirtualClock();
    const short = await openLink('?waitForReplicas=1', { clock, silence: 2 * timeout });
    let asked = await callsOf('wait');
    const gone = assert.rejects(
      run(short, write, 'gone'),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /0 of 1 replicas have it.*may have had/.test(error.message),
    );
    await until('it was asked for again', async () => (await callsOf('wait')) >= asked + 2);
    await clock.advance(timeout);
    await gone;
    assert.equal(await server.command('EXISTS', '{a}:gone'), 1);

    // Nor is it enough that the answer to the first try was lost, and the second one finds everything done.
    const once = script("return redis.call('SET', KEYS[1] .. ARGV[1], '1', 'NX') and 'first' or 'again'");
    await server.command('SCRIPT', 'LOAD', once.text);
    const sets = await callsOf('set');
    proxy.cutAfter(0);
    const twice = assert.rejects(run(short, once, 'twice'), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    // Two tries, and a write to wait for with the second; before Redis 7.2 a read would do as well.
    await until('it was sent again', async () => {
      await clock.advance(pause / 20);
      return (await callsOf('set')) === sets + 3;
    });
    asked = await callsOf('wait');
    await until('it was asked for again', async () => (await callsOf('wait')) >= asked + 2);
    await clock.advance(timeout);
    await twice;
  });
});
