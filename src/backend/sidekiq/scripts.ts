/** The scripts of the Sidekiq backend; see `redis/scripts.ts`. KEYS[1] is `<namespace>millrace:`. */
import { scriptsOf } from '../redis/scripts.ts';

/** What each command is made of, besides itself. */
const commands = {
  add: ['base'],
  claim: ['base'],
  promote: ['base'],
  held: ['base'],
  settle: ['base'],
  report: ['base'],
  beat: ['base', 'servers'],
  leave: ['base', 'servers'],
  rescue: ['base', 'servers'],
  orders: ['base'],
  signal: ['base'],
  order: ['base'],
  peek: ['base'],
  look: ['base', 'servers'],
  move: ['base'],
  tally: ['base'],
  queues: ['base'],
  servers: ['base'],
  pause: ['base'],
  crashes: ['base'],
  tidy: ['base', 'servers'],
} as const;

export type Command = keyof typeof commands;

/** Refused as a whole by a server that is full. */
const growing: ReadonlySet<Command> = new Set(['add', 'pause']);

const reading: ReadonlySet<Command> = new Set([
  'held',
  'orders',
  'peek',
  'look',
  'tally',
  'queues',
  'servers',
  'crashes',
]);

export const scriptOf = scriptsOf({ folder: new URL('./lua/', import.meta.url), commands, growing, reading });
