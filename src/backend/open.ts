/**
 * From a URL to an open backend. Only the backend that is asked for is loaded.
 *
 *   memory:            in this process; lost when it ends
 *   sqlite:./jobs.db   a file, made with its folder when it is not there; relative to the working directory
 *   sqlite:./jobs.db?synchronous=normal   faster on slow disks; a power cut may cost the last commits, a crash does not
 *   sqlite:./app.db?shared=true           in a file that is another program's, beside its tables
 *   redis://localhost:6379/0?namespace=shop   a Redis or Valkey server, shared by many machines; see docs/redis.md
 *   resque:redis://localhost:6379/0      in the format of Resque, shared with Ruby, Go and node-resque; see docs/resque.md
 *   sidekiq:redis://localhost:6379/0?version=8   in the format of Sidekiq, shared with Ruby; see docs/sidekiq.md
 */
import { type Clock, systemClock } from '../clock.ts';
import { assertOption, MillraceError } from '../errors.ts';
import type { Backend } from './backend.ts';
import type { SqliteOptions } from './sqlite/backend.ts';

export interface OpenBackendOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
}

/**
 * Resolves to the backend, open; the caller closes it. Rejects with BACKEND_UNKNOWN, OPTION_UNKNOWN, OPTION_INVALID, or with the reason why it cannot be
 * opened, and then nothing is left to close.
 */
export async function openBackend(url: string, options: OpenBackendOptions = {}): Promise<Backend> {
  const { clock = systemClock } = options;
  const backend = await make(url, clock);
  await backend.open();
  return backend;
}

async function make(url: string, clock: Clock): Promise<Backend> {
  const [, scheme, rest = ''] = /^([a-z+]+):(.*)$/s.exec(url) ?? [];
  if (scheme === 'memory' && rest === '') {
    const { MemoryBackend } = await import('./memory/memory.ts');
    return new MemoryBackend({ clock });
  }
  if (scheme === 'sqlite' && rest !== '') {
    const { SqliteBackend } = await import('./sqlite/backend.ts');
    const [path, query = ''] = rest.split(/\?(?=[^?]*$)/) as [string, string?];
    return new SqliteBackend(path, { clock, ...sqliteOptions(query) });
  }
  if (/^rediss?(\+[a-z]+)?$/.test(scheme ?? '')) {
    const { openRedis } = await import('./redis/open.ts');
    return openRedis(url, clock);
  }
  if (scheme === 'resque') {
    const { openResque } = await import('./resque/open.ts');
    return openResque(rest, clock);
  }
  if (scheme === 'sidekiq') {
    const { openSidekiq } = await import('./sidekiq/open.ts');
    return openSidekiq(rest, clock);
  }
  throw new MillraceError('BACKEND_UNKNOWN', { url: withoutSecrets(url) });
}

/** For messages: without a user and a password, and without options where one of them may be a secret. */
export function withoutSecrets(url: string): string {
  if (!/^[\w+.:-]+:\/\//.test(url)) return url;
  return url.replace(/:\/\/.*@/s, '://').replace(/\?.*$/s, '');
}

/** Throws OPTION_UNKNOWN and OPTION_INVALID: a setting that is not understood must not be dropped in silence. */
function sqliteOptions(query: string): Pick<SqliteOptions, 'synchronous' | 'shared'> {
  const settings = new URLSearchParams(query);
  for (const option of settings.keys()) {
    if (!Object.hasOwn(choices, option)) throw new MillraceError('OPTION_UNKNOWN', { option });
  }
  const choice = (option: keyof typeof choices) => {
    const value = settings.get(option);
    const allowed = choices[option];
    assertOption(option, value, value === null || allowed.includes(value), allowed.map(quoted).join(' or '));
    return value;
  };
  const synchronous = choice('synchronous') as 'full' | 'normal' | null;
  return { ...(synchronous && { synchronous }), shared: choice('shared') === 'true' };
}

const choices = { synchronous: ['full', 'normal'], shared: ['true', 'false'] };

const quoted = (value: string) => `'${value}'`;
