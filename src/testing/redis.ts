/** Redis servers for tests: one, a cluster, or a master with its sentinels. Whoever starts one stops it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { RedisServer, type RedisServerOptions } from './redis-server.ts';

export { findRedisServer, RedisServer, type RedisServerOptions } from './redis-server.ts';

const slots = 16_384;

/** One server; a test file shares it and calls `command('FLUSHALL')` between its tests. About 20 ms. */
export function startRedis(options?: RedisServerOptions): Promise<RedisServer> {
  return RedisServer.start(options);
}

export class RedisCluster {
  readonly masters: readonly RedisServer[];
  readonly replicas: readonly RedisServer[];

  constructor(masters: readonly RedisServer[], replicas: readonly RedisServer[]) {
    this.masters = masters;
    this.replicas = replicas;
  }

  get url(): string {
    return `redis+cluster://${this.masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  /** The master that has the slot of `key`, as the first one knows it. */
  async ownerOf(key: string): Promise<RedisServer> {
    const slot = await this.slotOf(key);
    const ranges = (await found(this.masters[0]).command('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
    return found([...this.masters, ...this.replicas].find((server) => server.port === port));
  }

  async slotOf(key: string): Promise<number> {
    return (await found(this.masters[0]).command('CLUSTER', 'KEYSLOT', key)) as number;
  }

  /** Begins to move the slot of `key`; from now on keys that are not there are asked for elsewhere (ASK). */
  async beginMove(key: string, to: RedisServer): Promise<() => Promise<void>> {
    const slot = await this.slotOf(key);
    const from = await this.ownerOf(key);
    const [fromId, toId] = await Promise.all([idOf(from), idOf(to)]);
    await to.command('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId);
    await from.command('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId);
    return async () => {
      for (;;) {
        const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')) as string[];
        if (keys.length === 0) break;
        await from.command('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys);
      }
      for (const server of [to, from, ...this.masters]) {
        await server.command('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId).catch(() => undefined); // it may be dead
      }
    };
  }

  /** Moves the slot of `key` with its keys. */
  async move(key: string, to: RedisServer): Promise<void> {
    await (await this.beginMove(key, to))();
  }

  async stop(): Promise<void> {
    await stopAll([...this.masters, ...this.replicas]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** @param replicas of each master */
export async function startCluster(masters = 3, replicas = 0, options: RedisServerOptions = {}): Promise<RedisCluster> {
  const config = {
    'cluster-enabled': 'yes',
    'cluster-node-timeout': '1000',
    'cluster-replica-validity-factor': '0',
    ...options.config,
  };
  const servers = await startAll(masters * (1 + replicas), { ...options, config });
  const cluster = new RedisCluster(servers.slice(0, masters), servers.slice(masters));
  try {
    const first = found(servers[0]);
    for (const [index, server] of servers.entries()) {
      await server.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
      if (index > 0) await first.command('CLUSTER', 'MEET', '127.0.0.1', String(server.port));
    }
    for (const [index, server] of cluster.masters.entries()) {
      const [from, to] = [index, index + 1].map((n) => Math.floor((n * slots) / masters)) as [number, number];
      const share = Array.from({ length: to - from }, (_, n) => String(from + n));
      await server.command('CLUSTER', 'ADDSLOTS', ...share);
    }
    await until('every node knows all others', async () => {
      const infos = await Promise.all(servers.map((server) => server.command('CLUSTER', 'INFO')));
      return infos.every((info) => String(info).includes(`cluster_known_nodes:${servers.length}\r`));
    });
    for (const [index, replica] of cluster.replicas.entries()) {
      const id = await idOf(found(cluster.masters[index % masters]));
      await until('the master is known', () =>
        replica.command('CLUSTER', 'REPLICATE', id).then(
          () => true,
          () => false,
        ),
      );
    }
    await until('the cluster is whole', async () => {
      const infos = await Promise.all(servers.map((server) => server.command('CLUSTER', 'INFO')));
      return infos.every((info) => String(info).includes('cluster_state:ok'));
    });
    await Promise.all(cluster.replicas.map(untilSynced));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** A master called `main`, its replicas and sentinels; the servers change their roles. */
export class SentinelSet {
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];

  constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  get url(): string {
    return `redis+sentinel://${this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`;
  }

  /** As the first sentinel knows it. */
  async master(): Promise<RedisServer> {
    const [, port] = (await found(this.sentinels[0]).command(
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      'main',
    )) as string[];
    return found(this.servers.find((server) => String(server.port) === port));
  }

  /** Makes a replica that has everything the master, and resolves when the first sentinel says so. */
  async failover(): Promise<void> {
    const before = await this.master();
    const written = await offsetOf(before, 'master_repl_offset');
    const replicas = this.servers.filter((server) => server !== before && server.pid !== undefined);
    await until('the replicas have everything', async () => {
      const offsets = await Promise.all(replicas.map((replica) => offsetOf(replica, 'slave_repl_offset')));
      return offsets.every((offset) => offset >= written);
    });
    await until('a replica can be promoted', () =>
      found(this.sentinels[0])
        .command('SENTINEL', 'FAILOVER', 'main')
        .then(
          () => true,
          () => false,
        ),
    );
    await until('another server is the master', async () => (await this.master()) !== before);
  }

  async stop(): Promise<void> {
    await stopAll([...this.sentinels, ...this.servers]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export async function startSentinel(replicas = 1, sentinels = 1): Promise<SentinelSet> {
  const servers = await startAll(1 + replicas, {});
  const set: RedisServer[] = [];
  try {
    const master = found(servers[0]);
    for (const replica of servers.slice(1)) await replica.command('REPLICAOF', '127.0.0.1', String(master.port));
    await Promise.all(servers.slice(1).map(untilSynced));
    const file = (port: number, folder: string) => {
      const path = join(folder, 'sentinel.conf');
      const quorum = Math.floor(sentinels / 2) + 1;
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${folder}`,
        `sentinel monitor main 127.0.0.1 ${master.port} ${quorum}`,
        'sentinel down-after-milliseconds main 500',
        'sentinel failover-timeout main 3000',
      ];
      writeFileSync(path, `${lines.join('\n')}\n`);
      return path;
    };
    set.push(...(await startAll(sentinels, { file, flags: ['--sentinel'] })));
    await until('the sentinels know the replicas', async () => {
      const known = await Promise.all(set.map((sentinel) => sentinel.command('SENTINEL', 'REPLICAS', 'main')));
      return known.every((list) => (list as unknown[]).length === replicas);
    });
    return new SentinelSet(servers, set);
  } catch (error) {
    await stopAll([...set, ...servers]);
    throw error;
  }
}

/** Makes `replica` one of `master`, and resolves when it has everything. */
export async function replicate(replica: RedisServer, master: RedisServer): Promise<void> {
  await replica.command('REPLICAOF', '127.0.0.1', String(master.port));
  await untilSynced(replica);
}

/** Asks until it is so; servers tell nobody. Gives up after 20 s. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await pause(20);
  }
}

async function untilSynced(replica: RedisServer): Promise<void> {
  await until('the replica has everything', async () =>
    String(await replica.command('INFO', 'replication')).includes('master_link_status:up'),
  );
}

async function offsetOf(server: RedisServer, field: string): Promise<number> {
  const info = String(await server.command('INFO', 'replication'));
  return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
}

async function startAll(count: number, options: RedisServerOptions): Promise<RedisServer[]> {
  const started = await Promise.allSettled(Array.from({ length: count }, () => startRedis(options)));
  const servers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = started.find((result) => result.status === 'rejected');
  if (!failed) return servers;
  await stopAll(servers);
  throw failed.reason;
}

async function stopAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}

async function idOf(server: RedisServer): Promise<string> {
  return (await server.command('CLUSTER', 'MYID')) as string;
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('no such server');
  return value;
}
