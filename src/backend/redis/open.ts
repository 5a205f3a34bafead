/** From a URL to a backend on Redis. Query options besides those of address.ts: `namespace`; of a cluster, `shards`. */
import { type Clock, systemClock } from '../../clock.ts';
import { MillraceError } from '../../errors.ts';
import type { Backend } from '../backend.ts';
import { RedisBackend } from './backend.ts';
import { ClusterBackend } from './cluster/cluster.ts';
import { parseAddress } from './link/address.ts';
import { makeLink } from './link/link.ts';

/** @param clock Redis's own decides unless this is another one than the system's */
export function openRedis(url: string, clock: Clock): Backend {
  const address = parseAddress(url, ['namespace', 'shards']);
  const namespace = address.others.get('namespace');
  const shards = address.others.get('shards');
  const options = {
    ...(namespace !== undefined && { namespace }),
    ...(clock !== systemClock && { clock }),
  };
  if (address.kind === 'cluster') {
    return new ClusterBackend(makeLink(address), {
      ...options,
      ...(shards !== undefined && { shards: Number(shards) }),
    });
  }
  if (shards !== undefined) throw new MillraceError('OPTION_UNKNOWN', { option: 'shards' });
  return new RedisBackend(makeLink(address), options);
}
