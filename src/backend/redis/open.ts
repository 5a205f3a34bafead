/** From a URL to a backend on Redis. Query options besides those of address.ts: `namespace`. */
import { type Clock, systemClock } from '../../clock.ts';
import type { Backend } from '../backend.ts';
import { parseAddress } from './address.ts';
import { RedisBackend } from './backend.ts';
import { makeLink } from './link.ts';

/** @param clock Redis's own decides unless this is another one than the system's */
export function openRedis(url: string, clock: Clock): Backend {
  const address = parseAddress(url, ['namespace']);
  const namespace = address.others.get('namespace');
  return new RedisBackend(makeLink(address), {
    ...(namespace !== undefined && { namespace }),
    ...(clock !== systemClock && { clock }),
  });
}
