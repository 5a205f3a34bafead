/** What the commands that look at jobs or do something to them share: the filter's words, and asking twice. */
import { existsSync } from 'node:fs';
import type { Backend } from '../backend/backend.ts';
import { openBackend } from '../backend/open.ts';
import { Inspector } from '../client/inspector.ts';
import { parseFilter } from '../client/words.ts';
import { assertOption, MillraceError } from '../errors.ts';
import { integer, toggle } from './flags.ts';
import { backendFlag } from './serve-options.ts';

export const actFlags = {
  backend: backendFlag,
  limit: integer({
    value: 'N',
    help: 'at most this many jobs, the oldest',
    min: 1,
    default: undefined,
    defaultText: 'all',
  }),
  yes: toggle({ help: 'do it; without this, only say how many jobs it would be' }),
};

/** Ends the help of every command with a filter. */
export const filterHelp = `FILTER is one or more of these words; every one narrows:
  id:ID,…  state:STATE,…  queue:QUEUE  name:NAME  key:KEY  tag:TAG
  error:TEXT                       in the message of the latest error
  added:>=MOMENT  added:<MOMENT    2026-01-31, 2026-01-31T12:00Z, or -2h for two hours ago
  args.PLACE:VALUE                 in the payload; also :!= :< :<= :> :>= and :~ for "contains"
Text with spaces stands in double quotes, which the shell must be kept from taking: 'error:"timed out"'.`;

/** Opens a backend that is there: whoever looks at a file has not asked for a new one. Throws BACKEND_UNAVAILABLE if not. */
export async function openExisting(url: string): Promise<Backend> {
  const path = url.startsWith('sqlite:') && url.slice('sqlite:'.length).replace(/\?[^?]*$/, '');
  if (path && !existsSync(path)) {
    throw new MillraceError('BACKEND_UNAVAILABLE', { backend: url, reason: 'there is no such file' });
  }
  return openBackend(url);
}

/** Calls `use` with an inspector of the backend, and closes that whatever happens. */
export async function inspect<T>(url: string, use: (inspector: Inspector) => Promise<T>): Promise<T> {
  const backend = await openExisting(url);
  try {
    return await use(new Inspector({ backend }));
  } finally {
    await backend.close();
  }
}

/** How many jobs are counted before it is called "more than". */
const COUNTED = 1_000;

/** Throws OPTION_INVALID, saying how many jobs are meant, unless `yes`; FILTER_INVALID; OPTION_INVALID for no words at all. */
export async function confirm(inspector: Inspector, verb: string, text: string, yes: boolean): Promise<void> {
  assertOption('FILTER', undefined, text !== '', 'given: one word at least');
  parseFilter(text);
  if (yes) return;
  const { jobs, next } = await inspector.find(text, { limit: COUNTED });
  const count = next === undefined ? jobs.length : `more than ${COUNTED}`;
  assertOption('--yes', undefined, false, `given to ${verb} ${count} jobs`);
}
