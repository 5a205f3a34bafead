/** `millrace limit`: changes the settings of a queue, for all servers at once. */
import type { QueueSettings, SettingsChange } from '../backend/settings.ts';
import type { Inspector } from '../client/inspector.ts';
import { assertOption, MillraceError } from '../errors.ts';
import { inspect } from './acting.ts';
import { describeFlags, parseDuration, parseRate, readCommand } from './flags.ts';
import { backendFlag } from './serve-options.ts';
import { settingsText } from './settings-text.ts';

const flags = { backend: backendFlag };

export const help = `Usage: millrace limit QUEUE SETTING=VALUE… [OPTIONS]

Changes settings of a queue; they hold on every server from its next claim on. What is not named stays.

  concurrency=N             jobs of the queue that run at once, over all servers; none: no bound
  rate=N/TIME[/BURST]       starts in that time, such as 100/1m; none: no bound
  keys.concurrency=N        jobs of one key that run at once; none: no bound
  keys.rate=N/TIME[/BURST]  starts per key; none: no bound
  keys.onFailure=HOW        block, park or skip
  keys.weights.KEY=N        turns that the key gets where others get one
  maxCrashes=N              servers that may die with a job before it is quarantined
  retention.STATE.count=N   jobs of that state that are kept: completed, discarded, cancelled or quarantined
  retention.STATE.age=TIME  how long they are kept, such as 7d
  events=N                  latest events that are kept for readers
  paused=true, paused=false

${describeFlags(flags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const [queue = '', ...pairs] = words;
  assertOption('QUEUE', undefined, queue !== '' && !queue.includes('='), 'given before the settings');
  assertOption('SETTING=VALUE', undefined, pairs.length > 0, 'given: one at least');
  const settings = await inspect(values.backend, async (inspector) =>
    inspector.configure(queue, await changeOf(inspector, queue, pairs)),
  );
  const text = [settings.paused && 'paused=true', settingsText(settings)].filter(Boolean).join(' ');
  console.log(`queue "${queue}": ${text || 'as any other'}`);
}

type Tree = { [name: string]: Tree | unknown };

/** Throws OPTION_INVALID and OPTION_UNKNOWN. */
async function changeOf(inspector: Inspector, queue: string, pairs: readonly string[]): Promise<SettingsChange> {
  const change: Tree = {};
  for (const pair of pairs) {
    const [, path = '', text = ''] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    assertOption('SETTING=VALUE', pair, path !== '', 'a setting, =, and its value');
    const kind = kinds.find(({ paths }) => paths.test(path));
    if (!kind) throw new MillraceError('OPTION_UNKNOWN', { option: path });
    const value = kind.read(text);
    assertOption(path, text, value !== undefined, kind.expected);
    put(change, stepsOf(path), value);
  }
  const { weights } = (change.keys ?? {}) as { weights?: QueueSettings['keys']['weights'] };
  if (!weights) return change;
  // Weights are told all at once, and here only those that change are named.
  const known = (await inspector.queues()).find((counts) => counts.queue === queue)?.settings.keys.weights;
  return { ...change, keys: { ...(change.keys as Tree), weights: { ...known, ...weights } } };
}

const WEIGHT = /^keys\.weights\.(.+)$/s;

/** A key may have dots in its name. */
function stepsOf(path: string): readonly string[] {
  const [, key] = WEIGHT.exec(path) ?? [];
  return key === undefined ? path.split('.') : ['keys', 'weights', key];
}

function put(tree: Tree, [step = '', ...rest]: readonly string[], value: unknown): void {
  // Defined, not assigned: a key may be called `__proto__`.
  const child = Object.hasOwn(tree, step) ? (tree[step] as Tree) : {};
  if (rest.length > 0) put(child, rest, value);
  const made = rest.length > 0 ? child : value;
  Object.defineProperty(tree, step, { value: made, enumerable: true, configurable: true, writable: true });
}

interface Kind {
  readonly paths: RegExp;
  readonly expected: string;
  /** Undefined for what is not acceptable; the backend has the last word. */
  read(text: string): unknown;
}

const number = (text: string) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined);

const kinds: readonly Kind[] = [
  {
    paths: /^(keys\.)?concurrency$/,
    expected: 'an integer from 1, or none',
    read: (text) => (text === 'none' ? null : number(text)),
  },
  {
    paths: /^(keys\.)?rate$/,
    expected: 'a rate such as 100/1m, or none',
    read: (text) => (text === 'none' ? null : parseRate(text)),
  },
  { paths: /^keys\.onFailure$/, expected: 'block, park or skip', read: (text) => text },
  { paths: /^retention\.\w+\.age$/, expected: 'a duration such as 7d', read: parseDuration },
  { paths: /^paused$/, expected: 'true or false', read: (text) => ({ true: true, false: false })[text] },
  { paths: /^(maxCrashes|events|retention\.\w+\.count)$/, expected: 'an integer', read: number },
  { paths: WEIGHT, expected: 'a number above 0', read: number },
];
