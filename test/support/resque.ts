/** A Resque namespace on the Redis server of a test file, its backends, and its keys as a peer would see them. */
import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { ClaimedJob, NewJob, ServerInfo } from '../../src/backend/backend.ts';
import { makeLink } from '../../src/backend/redis/link/link.ts';
import { ResqueBackend } from '../../src/backend/resque/backend.ts';
import type { ResqueOptions } from '../../src/backend/resque/options.ts';
import { VirtualClock } from '../../src/clock.ts';
import type { RedisServer } from '../../src/testing/redis.ts';

export interface Resque {
  readonly namespace: string;
  readonly clock: VirtualClock;
  readonly backend: ResqueBackend;
  /** To be called at the end of the test, before the backends are closed; the last one first. */
  defer(end: () => unknown): void;
  /** Another process on the same jobs. */
  second(options?: ResqueOptions): Promise<ResqueBackend>;
  /** A command about a key of the namespace. */
  redis(command: string, key: string, ...args: string[]): Promise<unknown>;
  /** Every key that others know, without the namespace. */
  keys(): Promise<string[]>;
}

/** 2015-01-02T23:04:05Z. */
export const START = Date.UTC(2015, 0, 2, 23, 4, 5);

export interface OpenOptions extends ResqueOptions {
  /** By the clock of the Redis server, as servers of jobs need it. */
  readonly isReal?: boolean;
}

export async function openResque(
  t: TestContext,
  server: RedisServer,
  { isReal = false, ...options }: OpenOptions = {},
): Promise<Resque> {
  const namespace = `resque-${randomUUID()}`;
  const ends: (() => unknown)[] = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const clock = new VirtualClock(START);
  const second = async (more: ResqueOptions = {}) => {
    const backend = new ResqueBackend(makeLink(server.url), {
      namespace,
      ...(!isReal && { clock }),
      ...options,
      ...more,
    });
    await backend.open();
    ends.push(() => backend.close());
    return backend;
  };
  return {
    namespace,
    clock,
    backend: await second(),
    defer: (end) => ends.push(end),
    second,
    redis: (command, key, ...args) => server.command(command, `${namespace}:${key}`, ...args),
    async keys() {
      const all = (await server.command('KEYS', `${namespace}:*`)) as string[];
      const names = all.map((key) => key.slice(namespace.length + 1));
      return names.filter((name) => !name.startsWith('millrace:')).sort();
    },
  };
}

export function job(args: string, rest: Partial<NewJob> = {}): NewJob {
  return { queue: 'myqueue', name: 'MyClass', payload: Buffer.from(args), priority: 4, maxAttempts: 25, ...rest };
}

export function member(id = 'web1-123-ab12', rest: Partial<ServerInfo> = {}): ServerInfo {
  return { id, host: 'web1', pid: 123, queues: ['high', 'low'], concurrency: 1, ...rest };
}

/** A beat of the server, then a claim by it. */
export async function claim(backend: ResqueBackend, server = member(), limit = 100): Promise<readonly ClaimedJob[]> {
  await backend.beat(server);
  const { jobs } = await backend.claim({ server: server.id, queues: ['myqueue', 'high', 'low'], limit });
  return jobs;
}

export const text = ({ payload }: { readonly payload: Uint8Array }): string => Buffer.from(payload).toString();
