/** Reads filter words from left to right, and knows where it is when something is wrong. */
import { MillraceError } from '../errors.ts';

/** Text as it stood: a quoted one is never a number. */
export interface Value {
  readonly text: string;
  readonly quoted: boolean;
}

const QUOTED = /"(?:[^"\\]|\\.)*"/sy;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?$/i;

export class Words {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The position of the next character. */
  get at(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  fail(expected: string, at = this.#at): never {
    throw new MillraceError('FILTER_INVALID', { text: this.#text, at, expected });
  }

  /** What `pattern` (sticky) matches here, possibly nothing. */
  take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ''] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }

  skipSpace(): void {
    this.take(/\s+/y);
  }

  /** After a term: a space, or nothing more. */
  endTerm(): void {
    const at = this.#at;
    this.skipSpace();
    if (at === this.#at && !this.atEnd) this.fail('a space before the next word');
  }

  colon(): void {
    if (this.take(/:/y) === '') this.fail('a colon');
  }

  value(): Value {
    return this.#quoted() ?? this.#bare(/[^\s"]+/y);
  }

  /** One of a list with commas. */
  item(): string {
    return (this.#quoted() ?? this.#bare(/[^\s",]+/y)).text;
  }

  /** A member's name, or a position in an array. */
  step(): string | number {
    const quoted = this.#quoted();
    if (quoted) return quoted.text;
    const at = this.#at;
    const name = this.take(/[^\s.:"]+/y);
    if (name === '') this.fail('the name of a member, or a position');
    if (!/^\d+$/.test(name)) return name;
    const position = Number(name);
    return Number.isSafeInteger(position) ? position : this.fail('a position that can be one', at);
  }

  literal(): string | number | boolean | null {
    const at = this.#at;
    const { text, quoted } = this.value();
    if (quoted) return text;
    if (text === 'null') return null;
    if (text === 'true' || text === 'false') return text === 'true';
    if (!NUMBER.test(text)) return text;
    const number = Number(text);
    return Number.isFinite(number) ? number : this.fail('a number below 1.8e308, or text in quotes', at);
  }

  #quoted(): Value | undefined {
    if (this.#text[this.#at] !== '"') return undefined;
    const at = this.#at;
    try {
      return { text: JSON.parse(this.take(QUOTED)), quoted: true };
    } catch {
      return this.fail('text in double quotes, written as in JSON', at);
    }
  }

  #bare(pattern: RegExp): Value {
    const at = this.#at;
    const text = this.take(pattern);
    if (text === '') this.fail('a value');
    if (/^[<>=!~]/.test(text)) this.fail('a value, in quotes if it begins with one of < > = ! ~', at);
    return { text, quoted: false };
  }
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const ISO =
  /^(?<year>[+-]\d{6}|\d{4})(?:-(?<month>\d\d)(?:-(?<day>\d\d)(?<time>T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)?(?<zone>Z|[+-]\d\d:\d\d)?)?)?$/;

/** What a Date can hold. */
const MAX_TIME = 8.64e15;

/** Ms since the epoch; undefined for what is no moment. */
export function parseMoment(text: string, now: number): number | undefined {
  const moment = relative(text, now) ?? calendar(text) ?? (NUMBER.test(text) ? Number(text) : Number.NaN);
  return Math.abs(moment) <= MAX_TIME ? moment : undefined;
}

function relative(text: string, now: number): number | undefined {
  const [, amount, unit] = /^-(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(text) ?? [];
  return amount === undefined ? undefined : now - Number(amount) * units[unit as keyof typeof units];
}

function calendar(text: string): number | undefined {
  const { year, month = '01', day = '01', time, zone } = ISO.exec(text)?.groups ?? {};
  if (year === undefined || (zone !== undefined && time === undefined)) return undefined;
  // Date.parse would take the 31st of April for the 1st of May.
  const last = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  return Number(day) > last ? Number.NaN : Date.parse(time !== undefined && zone === undefined ? `${text}Z` : text);
}
