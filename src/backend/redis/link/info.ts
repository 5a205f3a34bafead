/** What a server says of itself, and what of that Millrace cannot work with. */
import { MillraceError } from '../../../errors.ts';
import type { Address } from './address.ts';

export interface ServerFacts {
  readonly product: 'redis' | 'valkey';
  /** `7.2.4`. Of Valkey its own, `8.0.1`. */
  readonly version: string;
  /** The version of Redis whose commands it has. */
  readonly redisVersion: string;
  readonly isCluster: boolean;
  readonly role: string;
  /** Bytes; 0: no limit. */
  readonly maxmemory: number;
  readonly maxmemoryPolicy: string;
  readonly appendonly: boolean;
  /** `always`, `everysec` or `no`. Absent: the server does not let this program see it. */
  readonly appendfsync?: string;
}

const oldest = [6, 2];
/** The first with WAITAOF. */
const waitsForDisk = [7, 2];

/** @param text of INFO */
export function readInfo(text: string): ServerFacts {
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const field = (name: string) => fields.get(name) ?? '';
  const redisVersion = field('redis_version');
  return {
    product: fields.has('valkey_version') ? 'valkey' : 'redis',
    version: fields.get('valkey_version') ?? redisVersion,
    redisVersion,
    isCluster: field('cluster_enabled') === '1',
    role: field('role'),
    maxmemory: Number(field('maxmemory')) || 0,
    maxmemoryPolicy: field('maxmemory_policy'),
    appendonly: field('aof_enabled') === '1',
  };
}

/** Throws when this server cannot be the backend at `address`. */
export function assertFit(facts: ServerFacts, address: Address): void {
  const backend = address.name;
  if (isOlder(facts.redisVersion, oldest)) {
    const reason = `${facts.product} ${facts.version} is too old, 6.2 is the first that will do`;
    throw new MillraceError('NOT_SUPPORTED', { backend, what: 'being a backend', reason });
  }
  if (facts.isCluster !== (address.kind === 'cluster')) throw wrongScheme(facts.isCluster, backend);
  if (address.kind === 'single' && facts.role !== 'master') {
    throw new MillraceError('BACKEND_READ_ONLY', { path: `${backend} (it is a ${facts.role || 'replica'})` });
  }
  if (address.waitForDisk && isOlder(facts.redisVersion, waitsForDisk)) {
    const reason = `${facts.product} ${facts.version} has no WAITAOF, 7.2 is the first that has`;
    throw new MillraceError('NOT_SUPPORTED', { backend, what: 'waitForDisk', reason });
  }
  if (address.waitForDisk && !facts.appendonly) {
    const reason = 'the server keeps no append-only file (`appendonly no`)';
    throw new MillraceError('NOT_SUPPORTED', { backend, what: 'waitForDisk', reason });
  }
}

export function wrongScheme(isCluster: boolean, url: string): MillraceError {
  const expected = isCluster
    ? 'redis+cluster://… or rediss+cluster://…: this server is a node of a cluster'
    : 'redis://… or rediss://…: this server is not part of a cluster';
  return new MillraceError('OPTION_INVALID', { option: 'url', expected, got: url });
}

/** What `maxmemory-policy` may cost, as a sentence; undefined when it costs nothing. */
export function evictionOf({ maxmemory, maxmemoryPolicy }: ServerFacts): string | undefined {
  if (maxmemory === 0 || !/^(allkeys|volatile)-/.test(maxmemoryPolicy)) return undefined;
  return maxmemoryPolicy.startsWith('allkeys')
    ? 'when memory runs out the server throws jobs away'
    : 'when memory runs out the server throws away keys that expire: jobs are safe, but repeats may not be recognised';
}

function isOlder(version: string, than: readonly number[]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = than;
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}
