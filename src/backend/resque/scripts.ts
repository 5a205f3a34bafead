/** The scripts of the Resque backend: see ../redis/scripts.ts. KEYS[1] is the namespace with its colon. */
import { scriptsOf } from '../redis/scripts.ts';

const jobs = ['base', 'notes', 'jobs'] as const;
const workers = [...jobs, 'workers'] as const;

/** What each command is made of, besides itself. */
const commands = {
  add: jobs,
  claim: workers,
  settle: [...workers, 'goworker'],
  beat: workers,
  leave: workers,
  rescue: workers,
  tidy: jobs,
  act: workers,
  report: workers,
  orders: workers,
  counts: ['base'],
  servers: workers,
  settings: ['base'],
  configure: ['base'],
  notes: ['base', 'notes'],
} as const;

export type Command = keyof typeof commands;

export const scriptOf = scriptsOf<Command>({
  folder: new URL('./lua/', import.meta.url),
  commands,
  growing: new Set(['add', 'configure']),
  reading: new Set(['report', 'orders', 'counts', 'servers', 'settings', 'notes']),
});
