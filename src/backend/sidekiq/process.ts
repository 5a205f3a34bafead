/** A server as Sidekiq shows its processes: under Busy on the Web page, with buttons to quiet and to stop it. */
import { createHash } from 'node:crypto';
import type { ServerInfo } from '../backend.ts';
import type { ServerRecord } from '../records.ts';
import type { Version } from './wire.ts';

/** `host:pid:12 digits`, the same for every beat of a server. */
function identityOf({ id, host, pid }: ServerInfo): string {
  return `${host}:${pid}:${createHash('sha1').update(id).digest('hex').slice(0, 12)}`;
}

/** What the scripts show of a server. @param startedAt ms */
export function processOf(server: ServerInfo, startedAt: number, version: Version) {
  return { identity: identityOf(server), about: aboutOf(server, startedAt), works: worksOf(version) };
}

/** A server of ours as it was stored. */
export function readServer(info: string): ServerInfo {
  const { process: _, ...server } = JSON.parse(info) as ServerInfo & { readonly process: unknown };
  return server;
}

/** The name of the hash that shows what it does, behind the identity. Sidekiq up to 6.4 has another one. */
function worksOf(version: Version): readonly string[] {
  return version === 6 ? ['work', 'workers'] : ['work'];
}

/** What Sidekiq calls the info of a process. @param startedAt ms */
function aboutOf(server: ServerInfo, startedAt: number): string {
  const { host, pid, queues, concurrency } = server;
  const weights = Object.fromEntries(queues.map((queue) => [queue, 0]));
  return JSON.stringify({
    hostname: host,
    started_at: startedAt / 1_000,
    pid,
    tag: 'millrace',
    concurrency,
    capsules: { default: { concurrency, mode: 'strict', weights } },
    queues,
    weights: [weights],
    labels: ['millrace'],
    identity: identityOf(server),
    version: 'millrace',
    embedded: false,
  });
}

/** A process that is not ours. Undefined when it says nothing that can be read. */
export function readProcess(about: string, busy: string, beat: string): ServerRecord | undefined {
  try {
    const info = JSON.parse(about) as Readonly<Record<string, unknown>>;
    const { identity, hostname, pid, queues, concurrency } = info;
    return {
      id: String(identity),
      host: String(hostname),
      pid: Number(pid),
      queues: Array.isArray(queues) ? queues.map(String) : [],
      concurrency: Number(concurrency) || 0,
      beatAt: Math.round(Number(beat) * 1_000) || 0,
      running: Number(busy) || 0,
    };
  } catch {
    return undefined;
  }
}
