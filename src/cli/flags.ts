/**
 * Command-line flags and their environment variables, as one table per command.
 *
 * A flag wins over its variable, the variable over the default. A wrong value names the option, what was expected and
 * what was got; an unknown flag gets a suggestion. Both are OPTION_… errors, which end the program with exit code 2.
 */
import { parseArgs } from 'node:util';
import type { Rate } from '../backend/settings.ts';
import { MillraceError } from '../errors.ts';

export interface Flag<T> {
  /** The environment variable that sets it too. */
  readonly env?: string;
  /** Shown after the flag in the help, `N` in `--port N`. Absent for a switch. */
  readonly value?: string;
  readonly help: string;
  /** Shown in the help when the default is not constant. */
  readonly defaultText?: string;
  readonly default: T;
  /** Throws `Expected` when the text is not acceptable. */
  parse(text: string): T;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type Values<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** What a parser throws: the expectation in words. */
export class Expected extends Error {}

type Common<T> = Omit<Flag<T>, 'parse' | 'default'>;

export function text(flag: Common<string> & { readonly default: string }): Flag<string> {
  return { ...flag, parse: (value) => value };
}

export function optionalText(flag: Common<string | undefined>): Flag<string | undefined> {
  return { ...flag, default: undefined, parse: (value) => value };
}

/** Comma-separated; empty parts are dropped. */
export function list(flag: Common<readonly string[]>): Flag<readonly string[]> {
  const parse = (value: string) => value.split(',').map((part) => part.trim());
  return { ...flag, default: [], parse: (value) => parse(value).filter((part) => part !== '') };
}

export function integer<D extends number | undefined>(
  flag: Common<number | D> & { readonly min: number; readonly max?: number; readonly default: D },
): Flag<number | D> {
  const { min, max = Number.MAX_SAFE_INTEGER } = flag;
  return {
    ...flag,
    parse(value) {
      const number = Number(value);
      if (/^\d+$/.test(value.trim()) && number >= min && number <= max) return number;
      throw new Expected(
        max === Number.MAX_SAFE_INTEGER ? `an integer from ${min}` : `an integer from ${min} to ${max}`,
      );
    },
  };
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `500ms`, `2s`, `1.5m`, `1h`, `7d`, or plain milliseconds; undefined for what is no duration. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim()) ?? [];
  return amount === undefined ? undefined : Number(amount) * units[unit as keyof typeof units];
}

export function duration(flag: Common<number> & { readonly default: number }): Flag<number> {
  return {
    ...flag,
    parse(value) {
      const ms = parseDuration(value);
      if (ms === undefined) throw new Expected('a duration such as 500ms, 2s or 5m');
      return ms;
    },
  };
}

/** `100/1m`: so many in that time. `100/1m/20`: of which up to 20 at once. Undefined for what is no rate. */
export function parseRate(text: string): Rate | undefined {
  const [, amount, time = '', burst] = /^(\d+(?:\.\d+)?)\/([\w.]+)(?:\/(\d+))?$/.exec(text.trim()) ?? [];
  const [limit, per] = [Number(amount), parseDuration(/^\d/.test(time) ? time : `1${time}`)];
  if (!(limit > 0) || !per) return undefined;
  return { limit, per, ...(burst !== undefined && { burst: Number(burst) }) };
}

/** A pace: one after the other, so a burst has no meaning. */
export function rate(flag: Common<Rate | undefined>): Flag<Rate | undefined> {
  return {
    ...flag,
    default: undefined,
    parse(value) {
      const rate = parseRate(value);
      if (!rate || rate.burst !== undefined) throw new Expected('a rate such as 100/1m');
      return rate;
    },
  };
}

export function choice<const C extends string, D extends C | undefined>(
  flag: Common<C | D> & { readonly choices: readonly C[]; readonly default: D },
): Flag<C | D> {
  return {
    ...flag,
    parse(value) {
      if ((flag.choices as readonly string[]).includes(value)) return value as C;
      throw new Expected(`one of ${flag.choices.join(', ')}`);
    },
  };
}

/** On when given; its variable is on for `1`, `true`, `yes`, off for `0`, `false`, `no` and nothing. */
export function toggle(flag: Common<boolean>): Flag<boolean> {
  return {
    ...flag,
    default: false,
    parse(value) {
      if (/^(1|t|true|yes)$/i.test(value)) return true;
      if (/^(0|f|false|no|)$/i.test(value)) return false;
      throw new Expected('true or false');
    },
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws OPTION_INVALID and OPTION_UNKNOWN, also for a word that is no flag. */
export function readFlags<F extends Flags>(flags: F, args: readonly string[], env: Environment): Values<F> {
  const { words, values } = readCommand(flags, args, env);
  if (words[0] !== undefined) throw new MillraceError('OPTION_UNKNOWN', { option: words[0] });
  return values;
}

/** Also the words that are no flags, in their order. Throws OPTION_INVALID and OPTION_UNKNOWN. */
export function readCommand<F extends Flags>(
  flags: F,
  args: readonly string[],
  env: Environment,
): { readonly words: readonly string[]; readonly values: Values<F> } {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [name, { type: flag.value ? 'string' : 'boolean' } as const]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const given = new Map<string, string>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      words.push(token.value);
      continue;
    }
    const flag = flags[token.name];
    if (!flag) {
      const option = token.rawName;
      throw new MillraceError('OPTION_UNKNOWN', { option, suggestion: suggest(token.name, Object.keys(flags)) });
    }
    if (flag.value && token.value === undefined) {
      throw new MillraceError('OPTION_INVALID', { option: token.rawName, expected: `given a value`, got: undefined });
    }
    given.set(token.name, token.value ?? 'true');
  }

  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const fromFlag = given.get(name);
    // An empty variable counts as absent, as it does for most twelve-factor programs.
    const fromEnv = flag.env ? env[flag.env] || undefined : undefined;
    const option = fromFlag === undefined && flag.env ? flag.env : `--${name}`;
    const value = fromFlag ?? fromEnv;
    values[name] = value === undefined ? flag.default : parse(flag, option, value);
  }
  return { words, values: values as Values<F> };
}

/** One aligned line per flag. */
export function describeFlags(flags: Flags): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const left = `  --${name}${flag.value ? ` ${flag.value}` : ''}`;
    const fallback = flag.defaultText ?? (flag.value && isPlain(flag.default) ? String(flag.default) : undefined);
    const notes = [flag.env, fallback && `default ${fallback}`].filter(Boolean).join(', ');
    return { left, right: notes ? `${flag.help} [${notes}]` : flag.help };
  });
  const width = Math.max(...rows.map((row) => row.left.length)) + 2;
  return rows.map((row) => row.left.padEnd(width) + row.right).join('\n');
}

function parse<T>(flag: Flag<T>, option: string, value: string): T {
  try {
    return flag.parse(value);
  } catch (error) {
    if (!(error instanceof Expected)) throw error;
    throw new MillraceError('OPTION_INVALID', { option, expected: error.message, got: value });
  }
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number';
}

/** The nearest known name, when it is near enough to be a slip. */
function suggest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = 3;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best && `--${best}`;
}

/** Levenshtein's, by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
