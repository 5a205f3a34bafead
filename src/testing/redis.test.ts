import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startCluster, startRedis, startSentinel, until } from './redis.ts';

test('a server is killed, starts again with what it had, and leaves no folder', async () => {
  const server = await startRedis({ appendfsync: 'always' });
  const { port } = server;
  await server.command('SET', 'a', '1');
  await server.kill();
  await assert.rejects(server.command('GET', 'a'), /ECONNREFUSED/);
  await server.restart();
  assert.equal(server.port, port);
  assert.equal(await server.command('GET', 'a'), '1');
  await server.stop();
  assert.equal(existsSync(server.folder), false);
});

test('a server does not outlive the process that started it, not even one that is killed', async () => {
  const source = `
    import { startRedis } from ${JSON.stringify(new URL('./redis.ts', import.meta.url).href)};
    const server = await startRedis();
    console.log(JSON.stringify({ port: server.port, folder: server.folder }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { port, folder } = JSON.parse(String(line)) as { port: number; folder: string };
  child.kill('SIGKILL');
  await once(child, 'close');
  await until('its port is free and its folder is gone', async () => !(await isOpen(port)) && !existsSync(folder));
});

test('a cluster of three with replicas has all slots, and moves one with its keys', async () => {
  await using cluster = await startCluster(3, 1);
  const from = await cluster.ownerOf('{a}');
  const to = cluster.masters.find((server) => server !== from);
  assert.ok(to);
  await from.command('SET', '{a}:x', '1');
  await cluster.move('{a}', to);
  assert.equal(await to.command('GET', '{a}:x'), '1');
  await assert.rejects(from.command('GET', '{a}:x'), /^SimpleError: MOVED|^Error: MOVED/);
});

test('sentinels make a replica the master', async () => {
  await using set = await startSentinel();
  const before = await set.master();
  await before.command('SET', 'a', '1');
  await set.failover();
  const after = await set.master();
  assert.notEqual(after, before);
  assert.equal(await after.command('GET', 'a'), '1');
});

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
