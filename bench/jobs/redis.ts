/**
 * A Redis server for one run: on a free port of the loopback, with nothing in it, its files in the run's folder.
 *
 * `appendfsync everysec`: what was acknowledged within the last second can be lost with the machine, not with the process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface RedisServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** ms until a server that does not answer is given up. */
const PATIENCE = 10_000;

/** Like `7.0.15`; undefined: there is no redis-server on the PATH. */
export function redisVersion(): string | undefined {
  const { status, stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /v=(\S+)/.exec(stdout)?.[1] : undefined;
}

export async function startRedis(folder: string): Promise<RedisServer> {
  const port = await freePort();
  const settings = { port, bind: '127.0.0.1', dir: folder, save: '', appendonly: 'yes', appendfsync: 'everysec' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  const ended = once(server, 'exit');
  const stop = async () => {
    server.kill();
    await ended;
  };
  for (const deadline = performance.now() + PATIENCE; ; ) {
    if (await answers(port)) return { port, stop };
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`);
    if (performance.now() > deadline) {
      await stop();
      throw new Error(`redis-server did not answer within ${PATIENCE} ms`);
    }
    await pause(10);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.on('data', (answer) => end(answer.toString().startsWith('+PONG')));
    socket.on('error', () => end(false));
  });
}
