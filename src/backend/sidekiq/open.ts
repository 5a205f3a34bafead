/**
 * From a URL to a backend on the Redis of Sidekiq. Query options besides those of `redis/link/address.ts`:
 *
 *   version     6, 7 or 8: the Sidekiq whose form of times is written. Default 7
 *   namespace   what all keys begin with, before a colon: the `redis-namespace` of old. Default: none
 */
import { type Clock, systemClock } from '../../clock.ts';
import { assertOption } from '../../errors.ts';
import type { Backend } from '../backend.ts';
import { parseAddress } from '../redis/link/address.ts';
import { makeLink } from '../redis/link/link.ts';
import { SidekiqBackend } from './backend.ts';
import type { Version } from './wire.ts';

/**
 * @param url what follows `sidekiq:`
 * @param clock Redis's own decides unless this is another one than the system's
 */
export function openSidekiq(url: string, clock: Clock): Backend {
  const address = parseAddress(url, ['version', 'namespace']);
  assertOption('url', address.name, address.kind !== 'cluster', 'one server: Sidekiq cannot work on a cluster');
  const version = address.others.get('version') ?? '7';
  assertOption('version', version, /^[678]$/.test(version), '6, 7 or 8');
  const namespace = address.others.get('namespace');
  return new SidekiqBackend(makeLink(address), {
    version: Number(version) as Version,
    database: address.access.db,
    ...(namespace !== undefined && { namespace }),
    ...(clock !== systemClock && { clock }),
  });
}
