/**
 * The scripts that run in Redis, put together from the files in `lua/`: the modules that a command needs, in their order,
 * then the command itself. Each is one call: KEYS[1] is the hash tag in braces with a colon, ARGV[1] the request.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Script } from './link.ts';

const jobs = ['base', 'bucket', 'uniques', 'keys', 'queue', 'jobs'] as const;

/** What each command is made of, besides itself. */
const commands = {
  open: ['base'],
  template: ['base'],
  add: [...jobs, 'groups'],
  claim: ['base', 'bucket', 'keys', 'queue'],
  settle: jobs,
  report: ['base'],
  beat: ['base'],
  leave: [...jobs, 'servers'],
  rescue: [...jobs, 'servers'],
  orders: jobs,
  tidy: jobs,
  putSchedule: ['base'],
  removeSchedule: ['base'],
  schedules: ['base'],
  dueSchedules: ['base'],
  fire: [...jobs, 'groups'],
  counts: ['base'],
  servers: ['base'],
  look: ['base', 'filter'],
  act: [...jobs, 'filter'],
  update: jobs,
  settings: ['base'],
  configure: ['base', 'bucket', 'keys'],
  events: ['base'],
} as const;

export type Command = keyof typeof commands;

const read = (path: string) => readFileSync(new URL(`./lua/${path}.lua`, import.meta.url), 'utf8');

const made = new Map<Command, Script>();

export function scriptOf(command: Command): Script {
  const known = made.get(command);
  if (known) return known;
  const text = [...commands[command].map(read), read(`commands/${command}`)].join('\n');
  const script = { name: command, text, sha: createHash('sha1').update(text).digest('hex') };
  made.set(command, script);
  return script;
}
