/**
 * From a URL to an open backend. Only the backend that is asked for is loaded.
 *
 *   memory:            in this process; lost when it ends
 *   sqlite:./jobs.db   a file, made with its folder when it is not there; relative to the working directory
 */
import { type Clock, systemClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import type { Backend } from './backend.ts';

export interface OpenBackendOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
}

/**
 * Resolves to the backend, open; the caller closes it. Rejects with BACKEND_UNKNOWN, or with the reason why it cannot be
 * opened, and then nothing is left to close.
 */
export async function openBackend(url: string, options: OpenBackendOptions = {}): Promise<Backend> {
  const { clock = systemClock } = options;
  const backend = await make(url, clock);
  await backend.open();
  return backend;
}

async function make(url: string, clock: Clock): Promise<Backend> {
  const [, scheme, rest = ''] = /^([a-z]+):(.*)$/s.exec(url) ?? [];
  if (scheme === 'memory' && rest === '') {
    const { MemoryBackend } = await import('./memory/memory.ts');
    return new MemoryBackend({ clock });
  }
  if (scheme === 'sqlite' && rest !== '') {
    const { SqliteBackend } = await import('./sqlite/backend.ts');
    return new SqliteBackend(rest, { clock });
  }
  throw new MillraceError('BACKEND_UNKNOWN', { url });
}
