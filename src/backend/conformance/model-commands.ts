/**
 * What can be asked of a backend, as data: drawn from a seed, so that a run is the same on every machine, and printed as
 * code when it has found something. Ids, keys, queues and moments come from small spaces, so that they meet.
 */
import { inspect } from 'node:util';
import type { JobState } from '../../job/state.ts';
import type { Ending, JobChange, NewJob } from '../backend.ts';
import type { Action, JobFilter } from '../filter.ts';
import { probation, type SettingsChange } from '../settings.ts';

/** `in`: milliseconds from now, for the moment that the real thing has. `text`: the payload. */
export type JobDraft = Omit<NewJob, 'payload' | 'runAt'> & { text: string; in?: number };
export type GroupDraft = {
  jobs: JobDraft[];
  maxWaiting?: number;
  once?: { key: string; fingerprint: string; ttl: number };
};
export type EndingDraft = { kind: Ending['kind']; in?: number };
/** `pick` counts through the jobs that could be meant, over and over. `ever`: among all that were ever handed out. */
export type Pick = { pick: number; ever?: true };
export type FilterDraft = Omit<JobFilter, 'ids'> & { picks?: number[] };
export type ChangeDraft = Omit<JobChange, 'id' | 'payload' | 'runAt'> & { pick: number; text?: string; in?: number };

export type Command =
  | { do: 'add'; groups: GroupDraft[] }
  | { do: 'claim'; server: string; queues: string[]; limit: number }
  | { do: 'settle'; server: string; picks: (Pick & { ending: EndingDraft })[] }
  | { do: 'report'; server: string; picks: (Pick & { progress?: string; lines: string[] })[] }
  | { do: 'beat' | 'leave'; server: string }
  | { do: 'rescue'; lease: number }
  | { do: 'act'; action: Action; in?: number; filter: FilterDraft; limit?: number }
  | { do: 'update'; changes: ChangeDraft[] }
  | { do: 'configure'; queue: string; change: SettingsChange }
  | { do: 'advance' | 'jump'; ms: number }
  | { do: 'schedule'; key: string; rule: string; in?: number; job: JobDraft }
  | { do: 'unschedule'; key: string }
  | { do: 'fire'; limit: number; jobs: JobDraft[]; every?: number; twice: boolean }
  /** `switch`: go on through the other view of the same jobs, where the harness has one. */
  | { do: 'tidy' | 'look' | 'switch' };

const all = { depth: null, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, compact: true };

/** The commands as code that `replay` takes. */
export function asCode(commands: readonly Command[]): string {
  const lines = commands.map((command) => `  ${inspect(command, all)},`);
  return `await replay(harness, [\n${lines.join('\n')}\n]);`;
}

/** What a command means something without. */
const optional = new Set(
  'in id key tags headers unique keepFor maxWaiting once limit progress ever text priority period rate weights retention keys'
    .concat(' paused concurrency maxCrashes onFailure events queue name states tag error')
    .split(' '),
);
const required: Readonly<Record<string, readonly string[]>> = {
  job: ['text', 'priority', 'queue', 'name'],
  claim: ['limit'],
  fire: ['limit'],
  configure: ['queue'],
  schedule: ['key'],
  unschedule: ['key'],
};

/** The command with one thing less: an element of a list that has others, or something that it can do without. */
export function* lesser(command: Command): Generator<Command> {
  yield* lighter(command, new Set(required[command.do]));
}

function* lighter<T extends object>(value: T, needed: ReadonlySet<string>): Generator<T> {
  for (const [name, part] of Object.entries(value)) {
    if (optional.has(name) && !needed.has(name)) {
      const { [name as keyof T]: _, ...rest } = value;
      yield rest as T;
    }
    if (typeof part !== 'object' || part === null || name === 'unique' || name === 'rate') continue;
    if (Array.isArray(part) && part.length > 1) {
      for (let i = 0; i < part.length; i++) yield { ...value, [name]: part.toSpliced(i, 1) };
    }
    const inner = new Set(/^jobs?$/.test(name) ? required.job : []);
    if (!Array.isArray(part)) for (const each of lighter(part, inner)) yield { ...value, [name]: each };
    else {
      for (const [i, item] of part.entries()) {
        if (typeof item !== 'object') continue;
        for (const each of lighter(item, inner)) yield { ...value, [name]: part.with(i, each) };
      }
    }
  }
}

/** Numbers that look random and are the same for the same seed: Marsaglia's 32-bit xorshift. */
export class Dice {
  #x: number;

  constructor(seed: number) {
    this.#x = Math.imul(seed + 1, 0x9e3779b1) | 0 || 1;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  /** An integer from 0 to `n` - 1. */
  below(n: number): number {
    this.#x ^= this.#x << 13;
    this.#x ^= this.#x >>> 17;
    this.#x ^= this.#x << 5;
    return Math.floor(((this.#x >>> 0) / 2 ** 32) * n);
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  some<T>(list: readonly T[]): T[] {
    return list.filter(() => this.oneIn(2));
  }
}

const waiting: readonly JobState[] = ['scheduled', 'available', 'retryable'];
const notEnded: readonly JobState[] = [...waiting, 'running'];
const ended: readonly JobState[] = ['completed', 'discarded', 'cancelled', 'quarantined'];
const queues = ['q', 'q', 'r'];
const servers = ['a', 'b'];
const keys = ['ann', 'bob', 'cat'];
const tags = ['red', 'blue'];

/** A run: servers and settings first, then whatever comes. */
export function commandsOf(seed: number, steps: number): Command[] {
  const dice = new Dice(seed);
  const commands: Command[] = servers.map((server) => ({ do: 'beat', server }));
  commands.push({ do: 'configure', queue: 'q', change: changeOf(dice) });
  // Half of the runs keep to strict keys, which pile up behind what has failed; the others change their minds.
  const isStrict = dice.oneIn(2);
  const onFailure = dice.of(['block', 'park', 'park'] as const);
  const rate = dice.of([null, { limit: 1, per: 20, burst: 2 }]);
  const strict = { paused: false, maxCrashes: 1, keys: { concurrency: 1, rate, onFailure } };
  if (isStrict) commands.push({ do: 'configure', queue: 'q', change: strict });
  const bag = (Object.keys(weights) as (keyof typeof weights)[])
    .filter((name) => !isStrict || name !== 'configure')
    .flatMap((name) => Array<typeof name>(weights[name]).fill(name));
  while (commands.length < steps) commands.push(...draw(dice, dice.of(bag)));
  return commands;
}

const weights = {
  add: 12,
  claim: 12,
  settle: 16,
  report: 2,
  beat: 3,
  leave: 1,
  rescue: 4,
  act: 6,
  update: 3,
  configure: 2,
  advance: 10,
  jump: 1,
  schedule: 2,
  unschedule: 1,
  fire: 2,
  tidy: 2,
  look: 3,
  switch: 2,
} as const satisfies Record<Command['do'], number>;

function draw(dice: Dice, name: Command['do']): Command[] {
  const server = dice.of(servers);
  const several = <T>(most: number, make: () => T): T[] => Array.from({ length: dice.between(1, most) }, make);
  const pick = (): Pick => ({ pick: dice.below(100), ...(dice.oneIn(6) && { ever: true }) });
  const soon = () => ({ in: dice.between(-3, 25) });
  switch (name) {
    case 'add':
      return [{ do: name, groups: several(2, () => groupOf(dice)) }];
    case 'claim': {
      const some = dice.oneIn(3) ? ['r', 'q'] : [dice.of(queues)];
      const claim: Command = { do: name, server, queues: some, limit: dice.of([0, 1, 1, 2, 3, 5, 20]) };
      return dice.oneIn(8) ? [claim] : [{ do: 'beat', server }, claim];
    }
    case 'settle':
      return [{ do: name, server, picks: several(3, () => ({ ...pick(), ending: endingOf(dice) })) }];
    case 'report': {
      const lines = () => dice.some(['one', 'two']);
      const progress = () => ({ progress: String(dice.below(100)) });
      return [
        {
          do: name,
          server,
          picks: several(2, () => ({ ...pick(), ...(dice.oneIn(2) && progress()), lines: lines() })),
        },
      ];
    }
    case 'beat':
    case 'leave':
      return [{ do: name, server }];
    case 'rescue':
      return [{ do: name, lease: dice.of([0, 5, 10, 20, 40]) }];
    case 'act':
      return [actOf(dice)];
    case 'update': {
      const change = (): ChangeDraft => ({
        pick: dice.below(100),
        ...(dice.oneIn(2) && { text: textOf(dice) }),
        ...(dice.oneIn(2) && { priority: dice.below(3) }),
        ...(dice.oneIn(4) && { maxAttempts: dice.between(1, 9) }),
        ...(dice.oneIn(2) && soon()),
        ...(dice.oneIn(4) && { tags: dice.some(tags) }),
      });
      return [{ do: name, changes: several(2, change) }];
    }
    case 'configure':
      return [{ do: name, queue: dice.of(queues), change: changeOf(dice) }];
    case 'advance':
      if (dice.oneIn(50)) return [{ do: name, ms: probation }];
      return [{ do: name, ms: dice.oneIn(10) ? dice.below(200) : dice.below(12) }];
    case 'jump':
      return [{ do: name, ms: dice.between(-30, 30) }];
    case 'schedule': {
      const rule = dice.of(['hourly', 'daily']);
      return [{ do: name, key: dice.of(['s', 't']), rule, ...(!dice.oneIn(8) && soon()), job: jobOf(dice, false) }];
    }
    case 'unschedule':
      return [{ do: name, key: dice.of(['s', 't']) }];
    case 'fire': {
      const jobs = Array.from({ length: dice.below(3) }, () => jobOf(dice));
      const every = !dice.oneIn(4) && { every: dice.between(1, 20) };
      return [{ do: name, limit: dice.between(1, 3), jobs, ...every, twice: dice.oneIn(2) }];
    }
    default:
      return [{ do: name } as Command];
  }
}

const textOf = (dice: Dice) => String(dice.below(1000));

function groupOf(dice: Dice): GroupDraft {
  const fingerprint = dice.of(['f', 'f', 'g']);
  return {
    jobs: Array.from({ length: dice.below(5) }, () => jobOf(dice)),
    ...(dice.oneIn(4) && { maxWaiting: dice.between(0, 15) }),
    ...(dice.oneIn(5) && { once: { key: dice.of(['k', 'l']), fingerprint, ttl: dice.between(0, 40) } }),
  };
}

/** `whole` false: what a schedule makes, without an id and a moment of its own. */
function jobOf(dice: Dice, whole = true): JobDraft {
  return {
    queue: dice.of(queues),
    name: dice.of(['x', 'y']),
    text: textOf(dice),
    priority: dice.oneIn(3) ? dice.below(3) : 1,
    maxAttempts: dice.between(1, 4),
    ...(whole && dice.oneIn(3) && { in: dice.between(-3, 25) }),
    ...(whole && dice.oneIn(8) && { id: `id ${dice.below(6)}` }),
    ...(dice.oneIn(2) && { key: dice.of(keys) }),
    ...(dice.oneIn(4) && { tags: [dice.of(tags)] }),
    ...(dice.oneIn(8) && { headers: { trace: textOf(dice) } }),
    ...(dice.oneIn(4) && { unique: uniqueOf(dice) }),
    ...(dice.oneIn(4) && { keepFor: dice.between(1, 60) }),
  };
}

function uniqueOf(dice: Dice) {
  const key = dice.of(['u', 'period', 'period']);
  const mode = dice.of(['keep', 'replace', 'debounce'] as const);
  const states = dice.of([notEnded, notEnded, waiting, ['running'] as const, [...notEnded, ...dice.some(ended)]]);
  return { key, mode, states, ...(key === 'period' && { period: 40 }) };
}

function endingOf(dice: Dice): EndingDraft {
  const moment = { in: dice.between(-3, 25) };
  const kinds = [
    'completed',
    'completed',
    'completed',
    'failed',
    'failed',
    'discarded',
    'cancelled',
    'returned',
  ] as const;
  const kind = dice.oneIn(8) ? 'snoozed' : dice.of(kinds);
  if (kind === 'snoozed') return { kind, ...moment };
  return kind === 'failed' && !dice.oneIn(3) ? { kind, ...moment } : { kind };
}

function actOf(dice: Dice): Command {
  const kind = dice.of(['retry', 'retry', 'cancel', 'cancel', 'discard', 'remove'] as const);
  const filter: FilterDraft = {
    ...(!dice.oneIn(3) && { picks: Array.from({ length: dice.between(1, 3) }, () => dice.below(100)) }),
    ...(dice.oneIn(3) && { queue: dice.of(queues) }),
    ...(dice.oneIn(5) && { name: dice.of(['x', 'y']) }),
    ...(dice.oneIn(4) && { states: dice.some([...notEnded, ...ended]) }),
    ...(dice.oneIn(6) && { key: dice.of(keys) }),
    ...(dice.oneIn(8) && { tag: dice.of(tags) }),
    ...(dice.oneIn(12) && { error: 'BROKE' }),
  };
  const limit = dice.oneIn(4) && { limit: dice.between(1, 3) };
  if (kind === 'remove') return { do: 'act', action: { kind }, filter, ...limit };
  if (kind !== 'retry') return { do: 'act', action: { kind, reason: `because ${dice.below(10)}` }, filter, ...limit };
  // Pages would each begin anew with the first moment.
  if (dice.oneIn(4)) return { do: 'act', action: { kind, every: dice.below(5) }, in: dice.below(20), filter };
  return { do: 'act', action: { kind }, filter, ...(dice.oneIn(3) && { in: dice.between(-3, 20) }), ...limit };
}

function changeOf(dice: Dice): SettingsChange {
  const rate = () =>
    dice.oneIn(3) ? null : { limit: dice.of([1, 2]), per: dice.of([10, 50]), burst: dice.between(1, 3) };
  const bound = () => (dice.oneIn(3) ? null : dice.between(1, 4));
  return {
    ...(dice.oneIn(4) && { paused: dice.oneIn(4) }),
    ...(dice.oneIn(4) && { concurrency: bound() }),
    ...(dice.oneIn(4) && { rate: rate() }),
    ...(dice.oneIn(3) && { maxCrashes: dice.between(1, 3) }),
    keys: {
      ...(dice.oneIn(2) && { concurrency: bound() }),
      ...(dice.oneIn(3) && { rate: rate() }),
      ...(dice.oneIn(2) && { onFailure: dice.of(['block', 'park', 'skip'] as const) }),
      ...(dice.oneIn(3) && { weights: { ann: dice.between(1, 4), '': dice.between(1, 4) } }),
    },
    ...(dice.oneIn(3) && {
      retention: { [dice.of(ended)]: { count: dice.of([0, 1, 3, 10]), age: dice.between(0, 60) } },
    }),
    ...(dice.oneIn(8) && { events: dice.below(50) }),
  };
}
