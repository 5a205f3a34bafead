/**
 * Where `millrace work` finds its jobs, from flags and variables that are goworker's and ours.
 *
 *   --uri=redis://host/0        jobs as Resque and goworker write them; rediss:// and unix:///path too
 *   --uri=sqlite:jobs.db        any other backend
 *   --backend=redis://host/0    Millrace's own jobs, as with every other command
 *
 * The first that is there counts: --uri, --backend or MILLRACE_BACKEND, the variable that REDIS_PROVIDER names, REDIS_URL,
 * redis://localhost:6379/.
 */
import { assertOption } from '../errors.ts';
import type { Queues } from '../server/queues.ts';

export interface WorkPlace {
  readonly queues: Queues;
  readonly uri: string | undefined;
  readonly backend: string | undefined;
  readonly namespace: string | undefined;
  readonly 'tls-cert': string | undefined;
  readonly 'insecure-tls': boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const plainRedis = /^(?:unix|rediss?(?:\+(?:unix|sentinel|cluster))?):\/\//;

/** A URL for `openBackend`. Throws OPTION_INVALID, without showing what may hold a password. */
export function workUrl(place: WorkPlace, env: Environment): string {
  const { uri, backend } = place;
  const isOne = uri === undefined || backend === undefined || backend === env.MILLRACE_BACKEND;
  assertOption('--backend', 'a URL', isOne, 'absent when `--uri` is given');
  const own = uri === undefined ? backend : undefined;
  if (own !== undefined) return withWire(own, place, false);
  const url = uri ?? fromEnvironment(env) ?? 'redis://localhost:6379/';
  return withWire(url, place, plainRedis.test(url));
}

/** As a variable it may be empty, which is the same as none. */
function fromEnvironment(env: Environment): string | undefined {
  const { REDIS_PROVIDER: provider, REDIS_URL: url } = env;
  if (!provider) return url || undefined;
  // goworker goes to localhost then, and nobody sees why nothing is done.
  assertOption('REDIS_PROVIDER', provider, Boolean(env[provider]), 'the name of a variable that is set');
  return env[provider];
}

/** @param isForeign a plain Redis URL that means the jobs of others */
function withWire(given: string, place: WorkPlace, isForeign: boolean): string {
  const { namespace, 'tls-cert': ca, 'insecure-tls': insecure } = place;
  const url = isForeign ? `resque:${given.replace(/^unix:/, 'redis+unix:')}` : given;
  const [isResque, isTls] = [url.startsWith('resque:'), url.startsWith('resque:rediss')];
  assertOption('--namespace', namespace, namespace === undefined || isResque, 'given only with jobs of Resque');
  // There it is a prefix and its colon is a part of it; here it is a name, and the colon comes of itself.
  const isPrefix = namespace === undefined || namespace === '' || namespace.endsWith(':');
  assertOption('--namespace', namespace, isPrefix, 'a prefix that ends in a colon');
  assertOption('--tls-cert', ca, ca === undefined || isTls, 'given only with a rediss:// URI');
  assertOption('--insecure-tls', insecure, !insecure || isTls, 'given only with a rediss:// URI');
  const query = new URLSearchParams();
  if (namespace !== undefined) query.set('namespace', namespace.replace(/:$/, ''));
  if (ca !== undefined) query.set('ca', ca);
  if (insecure) query.set('rejectUnauthorized', 'false');
  const asked = new URLSearchParams(url.slice(url.indexOf('?') + 1));
  if (isResque && asked.get('manner') === 'goworker' && !asked.has('queues')) {
    query.set('queues', repeated(place.queues).join());
  }
  return query.size === 0 ? url : `${url}${url.includes('?') ? '&' : '?'}${query}`;
}

/** As goworker has the queues in the names of its workers, `high,high,low`; no longer than anybody would read. */
function repeated(queues: Queues): readonly string[] {
  if (Array.isArray(queues)) return queues;
  return Object.entries(queues).flatMap(([name, weight]) => Array<string>(Math.min(100, weight)).fill(name));
}
