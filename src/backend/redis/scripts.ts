/**
 * What runs in Redis, put together from the files in `lua/`: modules, which make functions, and commands, which use them. A
 * command is one call: the first key is the hash tag in braces with a colon, the only argument the request.
 *
 *   script    the modules that a command needs, in their order, then the command itself. All functions are made with each call
 *   library   all modules, and all commands as functions: a server from Redis 7 on keeps it, and its functions are made once,
 *             which halves what a small call costs
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Library, Script } from './link/link.ts';

export interface Shelf<Command extends string> {
  /** Has `<module>.lua` and `commands/<command>.lua`. */
  readonly folder: URL;
  /** What each command is made of, besides itself. */
  readonly commands: Readonly<Record<Command, readonly string[]>>;
  /** Refused as a whole by a server whose memory is full; all others go on there. */
  readonly growing: ReadonlySet<Command>;
  /** Write nothing. */
  readonly reading: ReadonlySet<Command>;
  /** Modules that are run before a command on a server that did not know it. */
  readonly preludes?: Readonly<Partial<Record<Command, string>>>;
  /** All modules in their order, if they may be a library: `receive` in the first one takes in a call. */
  readonly modules?: readonly string[];
}

/**
 * `isModern`: for Redis from 7 on, and Valkey. `key`: where it is to be run. A server knows scripts for all keys together, so
 * one with a prelude is another one for each key: else only the first key would have its prelude.
 */
export type ScriptOf<Command extends string> = (command: Command, isModern: boolean, key?: string) => Script;

/** Puts scripts together when they are first asked for. */
export function scriptsOf<Command extends string>(shelf: Shelf<Command>): ScriptOf<Command> {
  const made = new Map<string, Script>();
  const read = (path: string) => readFileSync(new URL(`${path}.lua`, shelf.folder), 'utf8');
  let library: Library | undefined;
  return (command, isModern, key = '') => {
    const prelude = shelf.preludes?.[command];
    const place = prelude === undefined ? '' : `-- ${JSON.stringify(key)}`;
    const name = `${command}${isModern}${place}`;
    const known = made.get(name);
    if (known) return known;
    const parts = [
      ...shelf.commands[command].map(read),
      shelf.modules ? started : '',
      read(`commands/${command}`),
      place,
    ];
    const text = [headOf(shelf, command, isModern), ...parts].join('\n');
    if (isModern && shelf.modules) library ??= libraryOf(shelf, shelf.modules, read);
    const script: Script = {
      name: command,
      text,
      sha: sha1(text),
      ...(prelude !== undefined && { prelude: `local call, prefix = redis.call, KEYS[1]\n${read(prelude)}` }),
      ...(isModern && library && { library }),
    };
    made.set(name, script);
    return script;
  };
}

const sha1 = (text: string) => createHash('sha1').update(text).digest('hex');

/** Redis 6 knows no flags: there a write that needs memory comes before all others, and a full server gives out no jobs. */
function headOf<Command extends string>({ growing, reading }: Shelf<Command>, command: Command, isModern: boolean) {
  const flags = growing.has(command) ? '#!lua' : '#!lua flags=allow-oom';
  const guard = reading.has(command) ? '' : "redis.call('SET', KEYS[1] .. 'guard', '')";
  return `${isModern ? flags : ''}\n${onlyKnown}\n${isModern ? '' : guard}`;
}

/** Without a key it was only to be known from now on. */
const onlyKnown = 'if #KEYS == 0 then return end';

const started = `local again = receive(KEYS[1], ARGV[1])
if again then return again end`;

/** Its name tells versions apart: those of programs old and new live side by side. */
function libraryOf<Command extends string>(
  { commands, growing, preludes }: Shelf<Command>,
  modules: readonly string[],
  read: (path: string) => string,
): Library {
  const registered = (Object.keys(commands) as Command[]).map((command) => {
    const prelude = preludes?.[command];
    const first = prelude === undefined ? '' : `prepare('${prelude}', function()\n${read(prelude)}end)\n`;
    const flags = growing.has(command) ? '' : "'allow-oom'";
    return `register('${command}', { ${flags} }, function()\n${first}${read(`commands/${command}`)}end)`;
  });
  const code = [...modules.map(read), registration, ...registered].join('\n');
  const name = `millrace_${sha1(code).slice(0, 16)}`;
  return { name, text: `#!lua name=${name}\nlocal library = '${name}'\n${code}` };
}

/** What was prepared is forgotten with the library's functions, when a server starts and when another one takes over. */
const registration = `
local prepared = {}
local function prepare(name, run)
  local mark = name .. prefix
  if not prepared[mark] then run() end
  prepared[mark] = true
end

local function register(name, flags, command)
  redis.register_function({ function_name = library .. '_' .. name, flags = flags, callback = function(all, args)
    return receive(all[1], args[1]) or command()
  end })
end
`;

const base = ['ask', 'stamps', 'pages', 'queues', 'job', 'answer'] as const;
const jobs = [...base, 'bucket', 'uniques', 'keys', 'lines', 'fates'] as const;

/** What each command is made of, besides itself. */
const commands = {
  open: base,
  template: base,
  add: [...jobs, 'once', 'groups'],
  claim: [...base, 'bucket', 'keys', 'lines'],
  settle: jobs,
  report: base,
  beat: [...base, 'roaming'],
  leave: [...jobs, 'servers'],
  rescue: [...jobs, 'servers'],
  orders: base,
  tidy: jobs,
  putSchedule: base,
  removeSchedule: base,
  schedules: base,
  dueSchedules: base,
  fire: [...jobs, 'once', 'intents', 'groups'],
  counts: base,
  servers: base,
  look: [...base, 'filter'],
  act: [...jobs, 'filter'],
  update: jobs,
  settings: base,
  configure: [...base, 'bucket', 'keys'],
  events: base,
  // What only a cluster asks.
  stamp: base,
  known: base,
  preview: [...jobs, 'once', 'groups'],
  keeper: base,
  seen: [...base, 'once'],
  intend: [...base, 'once', 'intents'],
  intent: base,
  fulfil: [...base, 'once'],
  shorten: [...base, 'once'],
  roam: [...base, 'roaming'],
  where: [...base, 'roaming'],
  told: base,
  enumerate: [...base, 'numbering'],
  runs: base,
  lock: base,
  unlock: base,
} as const;

export type Command = keyof typeof commands;

/**
 * A server that is full refuses every command that may need memory, which would end a script in its middle, when something
 * was taken from a line and is not written anywhere else yet. So these are refused as a whole, and all others may go on: they
 * are how the memory becomes free.
 */
const growing: ReadonlySet<Command> = new Set([
  'open',
  'add',
  'fire',
  'putSchedule',
  'update',
  'keeper',
  'intend',
  'lock',
]);

/** They write nothing. */
const reading: ReadonlySet<Command> = new Set([
  'template',
  'orders',
  'schedules',
  'dueSchedules',
  'counts',
  'servers',
  'look',
  'settings',
  'events',
  'known',
  'preview',
  'seen',
  'intent',
  'where',
  'told',
  'runs',
]);

/** The commands of Redis jobs. */
export const scriptOf = scriptsOf({
  folder: new URL('./lua/', import.meta.url),
  commands,
  growing,
  reading,
  preludes: { add: 'renew', fire: 'renew' },
  modules: [...jobs, 'once', 'intents', 'groups', 'servers', 'filter', 'roaming', 'numbering'],
});
