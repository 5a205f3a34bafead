import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { isError } from '../../../errors.ts';
import { findRedisServer, type RedisServer, startRedis } from '../../../testing/redis.ts';
import { ScriptError } from './failure.ts';
import { type Link, makeLink, type Script } from './link.ts';

const script = (text: string): Script => ({ name: 'test', text, sha: createHash('sha1').update(text).digest('hex') });
const echo = script('return ARGV[1]');
const publish = script("redis.call('PUBLISH', KEYS[1] .. 'news', ARGV[1]) return ARGV[1]");

describe('a link to one server', () => {
  let server: RedisServer;
  let links: Link[] = [];
  before(async () => {
    server = await startRedis();
  });
  afterEach(async () => {
    await Promise.all(links.map((link) => link.close()));
    links = [];
    await server.command('FLUSHALL');
  });
  after(() => server.stop());

  const openLink = async (url = server.url): Promise<Link> => {
    const link = makeLink(url);
    links.push(link);
    await link.open();
    return link;
  };
  const statOf = async (section: string, name: string): Promise<number> => {
    const info = String(await server.command('INFO', section));
    return Number(new RegExp(`^\\w+_${name.replace('|', '\\|')}:(?:calls|count)=(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  };

  /** In a process of its own, which has an open `link` and ends by itself; resolves to what it printed. */
  const runProgram = (body: string): Promise<string> => {
    const source = `
      import { makeLink } from ${JSON.stringify(new URL('./link.ts', import.meta.url).href)};
      const link = makeLink(${JSON.stringify(server.url)});
      await link.open();
      ${body}`;
    const args = ['--input-type=module', '-e', source];
    return new Promise((resolve, reject) => {
      execFile(process.execPath, args, (error, printed) => (error ? reject(error) : resolve(printed)));
    });
  };

  it('gives bytes to a script and gets bytes back, whatever they are', async () => {
    const link = await openLink();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    assert.deepEqual(await link.run(echo, '{a}:', bytes), bytes);
    // A view into something larger, and more than one packet.
    const large = new Uint8Array(1_000_000).fill(13);
    assert.ok(Buffer.from(large.subarray(1)).equals(await link.run(echo, '{a}:', large.subarray(1))));
  });

  it('carries all calls and messages on one connection, and answers in order', async () => {
    const link = await openLink();
    const heard: string[] = [];
    const stop = link.subscribe('{a}:', '{a}:news', (message) => heard.push(String(message)));
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, n) => link.run(n % 2 ? echo : publish, '{a}:', Buffer.from(`${n}`))),
    );
    assert.deepEqual(
      answers.map(String),
      Array.from({ length: 500 }, (_, n) => `${n}`),
    );
    const clients = String(await link.command(undefined, ['CLIENT', 'LIST']));
    assert.equal(clients.trim().split('\n').length, 1);
    assert.equal(heard.length, 251);
    stop();
  });

  it('gives a script to the server once, when it is not there', async () => {
    const link = await openLink();
    await server.command('SCRIPT', 'FLUSH');
    await server.command('CONFIG', 'RESETSTAT');
    const calls = Array.from({ length: 50 }, () => link.run(echo, '{a}:', Buffer.from('x')));
    assert.ok((await Promise.all(calls)).every((answer) => String(answer) === 'x'));
    assert.equal(await statOf('commandstats', 'eval'), 1);
  });

  /** As `echo`; `answer` makes one library differ from others. */
  const inLibrary = (answer: string, register = true): Script => {
    const name = `test_${createHash('sha1').update(answer).digest('hex')}`;
    const code = `redis.register_function('${name}_test', function(keys, args) return ${answer} end)`;
    return { ...echo, library: { name, text: `#!lua name=${name}\n${register ? code : 'nothing.at.all()'}` } };
  };

  it('gives a library to the server once, when it is not there, and calls its functions', async () => {
    const links = [await openLink(), await openLink()];
    const script = inLibrary("'called with ' .. keys[1] .. args[1]");
    for (let n = 0; n < 2; n++) {
      await server.command('FUNCTION', 'FLUSH');
      await server.command('CONFIG', 'RESETSTAT');
      const calls = Array.from({ length: 50 }, (_, i) => (links[i % 2] as Link).run(script, '{a}:', Buffer.from('x')));
      assert.ok((await Promise.all(calls)).every((answer) => String(answer) === 'called with {a}:x'));
      const loads = await statOf('commandstats', 'function|load');
      assert.ok(loads >= 1 && loads <= links.length, `${loads} times`);
      assert.equal(await statOf('commandstats', 'evalsha'), 0);
    }
  });

  it('gives scripts to a server that lets nobody call functions or load libraries, or cannot', async () => {
    await server.command('ACL', 'SETUSER', 'caller', 'on', '>pw', '~*', '&*', '+@all', '-function|load');
    await server.command('ACL', 'SETUSER', 'loader', 'on', '>pw', '~*', '&*', '+@all', '-fcall');
    for (const [user, text] of [
      ['caller', '1'],
      ['loader', '2'],
      ['default', '3'],
    ] as const) {
      const link = await openLink(user === 'default' ? server.url : server.url.replace('//', `//${user}:pw@`));
      const script = inLibrary(text, user !== 'default');
      const calls = Array.from({ length: 50 }, () => link.run(script, '{a}:', Buffer.from('x')));
      assert.ok(
        (await Promise.all(calls)).every((answer) => String(answer) === 'x'),
        user,
      );
    }
  });

  it('rejects with what a script refuses, and with what is wrong in it, at once', async () => {
    const link = await openLink();
    const refuse = script("return redis.error_reply('MILLRACE SERVER_UNKNOWN host 17')");
    await assert.rejects(link.run(refuse, '{a}:', Buffer.from('')), (error) => {
      assert.ok(error instanceof ScriptError);
      assert.deepEqual([error.code, error.detail], ['SERVER_UNKNOWN', 'host 17']);
      return true;
    });
    const broken = script('return nothing.at.all');
    await assert.rejects(link.run(broken, '{a}:', Buffer.from('')), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
  });

  it('does any other command', async () => {
    const link = await openLink();
    assert.equal(await link.command('{a}:x', ['SET', '{a}:x', Buffer.from([0, 255])]), 'OK');
    assert.deepEqual(await link.command('{a}:x', ['GET', '{a}:x']), Buffer.from([0, 255]));
    await link.command('{a}:h', ['HSET', '{a}:h', 'k', 'v']);
    assert.deepEqual(await link.command('{a}:h', ['HGETALL', '{a}:h']), [Buffer.from('k'), Buffer.from('v')]);
  });

  it('says what the server is', async () => {
    const facts = await (await openLink()).info();
    assert.match(facts.version, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(
      [facts.isCluster, facts.role, facts.appendonly, facts.appendfsync],
      [false, 'master', true, 'everysec'],
    );
  });

  it('goes through a socket, to the database of its address', async () => {
    const link = await openLink(`redis+unix://${server.path}?db=3`);
    await link.command('x', ['SET', 'x', '1']);
    assert.equal(await server.command('GET', 'x'), null);
    assert.equal(await server.command('EXISTS', 'x'), 0);
    assert.match(String(await server.command('INFO', 'keyspace')), /db3:keys=1/);
  });

  it('does not hear a channel any more after the last one has left it', async () => {
    const link = await openLink();
    const heard: string[] = [];
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const stopFirst = link.subscribe('{a}:', '{a}:news', () => resolve());
    const stopSecond = link.subscribe('{a}:', '{a}:news', (message) => heard.push(String(message)));
    await begun;
    await link.run(publish, '{a}:', Buffer.from('1'));
    stopFirst();
    await link.run(publish, '{a}:', Buffer.from('2'));
    stopSecond();
    stopSecond();
    await link.run(publish, '{a}:', Buffer.from('3'));
    assert.deepEqual(heard.filter(Boolean), ['1', '2']);
    assert.equal(await server.command('PUBLISH', '{a}:news', 'x'), 0);
  });

  it('hears a channel that is left and listened to again in the same turn', async () => {
    const link = await openLink();
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const stop = link.subscribe('{a}:', '{a}:news', () => resolve());
    await begun;
    stop();
    const again = Promise.withResolvers<string>();
    const heard = (message: Buffer) => {
      if (message.length === 0) void link.run(publish, '{a}:', Buffer.from('1'));
      else again.resolve(String(message));
    };
    const stopAgain = link.subscribe('{a}:', '{a}:news', heard);
    assert.equal(await again.promise, '1');
    stopAgain();
  });

  it('lets a listener throw without losing what comes after', async () => {
    const outcome = await runProgram(`
      process.on('uncaughtException', (error) => console.log(error.message));
      const stop = link.subscribe('x', 'x', (message) => {
        if (message.length > 0) throw new Error('thrown by a listener');
        link.command('x', ['PUBLISH', 'x', 'now']).then(async () => {
          console.log(await link.command('x', ['PING']));
          stop();
        });
      });`);
    assert.equal(outcome, 'thrown by a listener\nPONG\n');
  });

  it('is refused for a wrong password, with no secret in what it says, and leaves nothing', async () => {
    const link = makeLink(server.url.replace('//', '//me:hunter2@'));
    await assert.rejects(
      link.open(),
      (error) => isError(error, 'BACKEND_REFUSED') && /WRONGPASS/.test(error.message) && !/hunter2/.test(error.message),
    );
    await link.close();
    const clients = String(await server.command('CLIENT', 'LIST'));
    assert.equal(clients.trim().split('\n').length, 1);
  });

  it('is refused what its user may not do, by name', async () => {
    await server.command('ACL', 'SETUSER', 'some', 'on', '>pw', '~*', '&*', '+@all', '-evalsha');
    await server.command('ACL', 'SETUSER', 'less', 'on', '>pw', '~*', 'resetchannels', '+@all', '-eval');
    const some = await openLink(server.url.replace('//', '//some:pw@'));
    await assert.rejects(some.run(echo, '{a}:', Buffer.from('')), (error) => {
      return isError(error, 'BACKEND_REFUSED') && /NOPERM.*evalsha/i.test(error.message);
    });
    const less = makeLink(server.url.replace('//', '//less:pw@'));
    await assert.rejects(
      less.open(),
      (error) => isError(error, 'BACKEND_REFUSED') && /NOPERM.*eval/i.test(error.message),
    );
    await less.close();
  });

  it('warns when its user may not listen', async () => {
    await server.command('ACL', 'SETUSER', 'deaf', 'on', '>pw', '~*', 'resetchannels', '+@all');
    const link = await openLink(server.url.replace('//', '//deaf:pw@'));
    const warned = once(process, 'warning');
    const stop = link.subscribe('{a}:', '{a}:news', () => undefined);
    const [warning] = (await warned) as [Error & { code: string }];
    assert.equal(warning.code, 'MILLRACE_REDIS_SUBSCRIBE');
    assert.equal(String(await link.run(echo, '{a}:', Buffer.from('x'))), 'x');
    stop();
  });

  it('says that memory is full, and goes on when it is not', async () => {
    const link = await openLink();
    const write = script("redis.call('SET', KEYS[1] .. 'x', ARGV[1]) return 'ok'");
    await server.command('CONFIG', 'SET', 'maxmemory', '1');
    await assert.rejects(link.run(write, '{a}:', Buffer.from('x')), (error) => isError(error, 'BACKEND_FULL'));
    assert.equal(await server.command('EXISTS', '{a}:x'), 0);
    await server.command('CONFIG', 'SET', 'maxmemory', '0');
    assert.equal(String(await link.run(write, '{a}:', Buffer.from('x'))), 'ok');
  });

  it('warns of a server that may throw jobs away', async () => {
    await server.command('CONFIG', 'SET', 'maxmemory', '1gb');
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    const warned = once(process, 'warning');
    await openLink();
    const [warning] = (await warned) as [Error & { code: string }];
    assert.equal(warning.code, 'MILLRACE_REDIS_EVICTION');
    assert.match(warning.message, /throws jobs away/);
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await server.command('CONFIG', 'SET', 'maxmemory', '0');
  });

  it('answers when the disk has it, or says why it cannot', async (test) => {
    const wait = `${server.url}?waitForDisk=1`;
    if ((await server.command('COMMAND', 'INFO', 'WAITAOF'))?.toString() === '') {
      const link = makeLink(wait);
      await assert.rejects(
        link.open(),
        (error) => isError(error, 'NOT_SUPPORTED') && /has no WAITAOF/.test(error.message),
      );
      await link.close();
      // This one can only be tested to refuse; what it asks for is in confirm.test.ts.
      test.diagnostic(`the server has no WAITAOF, waiting for it is not tested: ${findRedisServer()}`);
      return;
    }
    const link = await openLink(wait);
    await server.command('CONFIG', 'RESETSTAT');
    await Promise.all(Array.from({ length: 20 }, () => link.run(publish, '{a}:', Buffer.from('x'))));
    await link.run(script("redis.call('SET', KEYS[1] .. 'x', '1') return 'ok'"), '{a}:', Buffer.from(''));
    const waits = await statOf('commandstats', 'waitaof');
    assert.ok(waits >= 2 && waits <= 6, `${waits} questions`);
    await server.command('CONFIG', 'SET', 'appendonly', 'no');
    const late = makeLink(wait);
    await assert.rejects(
      late.open(),
      (error) => isError(error, 'NOT_SUPPORTED') && /appendonly no/.test(error.message),
    );
    await late.close();
    await server.command('CONFIG', 'SET', 'appendonly', 'yes');
  });

  it('says that nobody is there, at once, and may be opened later', async () => {
    const other = await startRedis();
    await other.kill();
    const link = makeLink(other.url);
    await assert.rejects(
      link.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /ECONNREFUSED/.test(error.message),
    );
    await other.restart();
    await link.open();
    await link.close();
    await other.stop();
  });

  it('keeps no connection that comes after it was given up', async (t) => {
    const greeted = Promise.withResolvers<Socket>();
    const slow = createServer((socket) => socket.once('data', () => greeted.resolve(socket)));
    slow.listen(0, '127.0.0.1');
    await once(slow, 'listening');
    t.after(() => slow.close());
    const link = makeLink(`redis://127.0.0.1:${(slow.address() as AddressInfo).port}?timeout=50`);
    await assert.rejects(link.open(), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    const socket = await greeted.promise;
    t.after(() => socket.destroy());
    const ended = once(socket, 'close');
    socket.resume().write('%0\r\n'); // the answer to its greeting
    await ended;
    await link.close();
  });

  it('waits when it is closed for what is under way, and refuses what comes later', async () => {
    const link = await openLink();
    const slow = script("for n = 1, 300000 do redis.call('PING') end return ARGV[1]");
    const answer = link.run(slow, '{a}:', Buffer.from('x'));
    const closed = link.close();
    assert.equal(closed, link.close());
    await assert.rejects(link.run(echo, '{a}:', Buffer.from('')), (error) => isError(error, 'BACKEND_CLOSED'));
    await assert.rejects(link.command(undefined, ['PING']), (error) => isError(error, 'BACKEND_CLOSED'));
    await closed;
    assert.equal(String(await answer), 'x');
    await assert.rejects(link.open(), (error) => isError(error, 'BACKEND_CLOSED'));
    assert.equal(link.subscribe('{a}:', 'x', () => undefined)(), undefined);
  });

  it('may be closed before it was opened, and while it is', async () => {
    const never = makeLink(server.url);
    await assert.rejects(never.run(echo, '{a}:', Buffer.from('')), (error) => isError(error, 'BACKEND_CLOSED'));
    await never.close();
    const half = makeLink(server.url);
    const opening = assert.rejects(half.open(), (error) => isError(error, 'BACKEND_CLOSED'));
    await half.close();
    await opening;
    const clients = String(await server.command('CLIENT', 'LIST'));
    assert.equal(clients.trim().split('\n').length, 1);
  });

  it('keeps a process alive while somebody listens or it is held, and not while it is only open', async () => {
    const outcome = await runProgram(`
      link.ref();
      const stop = link.subscribe('x', 'x', (message) => {
        if (message.length === 0) return link.unref(), void link.command('x', ['PUBLISH', 'x', 'now']);
        console.log(String(message));
        stop();
      });
      process.on('exit', () => console.log('ended'));`);
    assert.equal(outcome, 'now\nended\n');
  });
});
