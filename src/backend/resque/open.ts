/**
 * From a URL to a backend in the format of Resque: `resque:` and the URL of a Redis server, whose query may have the options of
 * ResqueOptions besides those of ../redis/link/address.ts.
 *
 *   resque:redis://localhost:6379/0?namespace=resque&attempts=5&delivery=at-most-once&manner=goworker
 */
import { type Clock, systemClock } from '../../clock.ts';
import type { Backend } from '../backend.ts';
import { parseAddress } from '../redis/link/address.ts';
import { makeLink } from '../redis/link/link.ts';
import { ResqueBackend } from './backend.ts';
import type { ResqueOptions } from './options.ts';

const texts = ['namespace', 'delivery', 'manner', 'queues'] as const;

/** @param url of Redis. @param clock Redis's own decides unless this is another one than the system's */
export function openResque(url: string, clock: Clock): Backend {
  const address = parseAddress(url, [...texts, 'attempts']);
  const given = Object.fromEntries(
    texts.flatMap((name) => (address.others.has(name) ? [[name, address.others.get(name)]] : [])),
  );
  const attempts = address.others.get('attempts');
  return new ResqueBackend(makeLink(address), {
    ...(given as ResqueOptions), // the constructor looks at each
    ...(attempts !== undefined && { attempts: /^\d+$/.test(attempts) ? Number(attempts) : Number.NaN }),
    ...(clock !== systemClock && { clock }),
  });
}
