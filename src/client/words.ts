/**
 * Which jobs, in words: what a person types becomes a JobFilter, and back.
 *
 *   state:discarded,retryable queue:mail tag:vip args.user.id:42 error:"timed out" added:>=-2h
 *
 *   words     every one narrows
 *   id        one or more, with commas between           state   the same
 *   queue name key tag                                   one each
 *   error     text in the message of the latest error
 *   added     >= > < <= and a moment: 2026-01-31, 2026-01-31T12:00, 2026-01-31T12:00+02:00, ms since the epoch, or -2h
 *             for two hours ago (ms s m h d w); without a zone it is UTC; a day alone means all of it
 *   args      a place in the payload (args.user.id, args.items.0.sku, args."odd name"), then = (or nothing) != < <= > >=
 *             or ~ for "contains", then true, false, null, a number, or text
 *
 * Text with spaces or signs stands in double quotes, written as in JSON; so does text that would be a number or a word of
 * JSON. Whatever is wrong is told as FILTER_INVALID with the place and what was expected there.
 */
import type { Comparison, Condition, JobFilter } from '../backend/filter.ts';
import { systemClock } from '../clock.ts';
import { type JobState, jobStates } from '../job/state.ts';
import { parseMoment, Words } from './scanner.ts';

type Draft = { -readonly [K in keyof JobFilter]: JobFilter[K] } & { where?: Condition[] };

const singles = ['queue', 'name', 'key', 'tag', 'error'] as const;
const fields = ['id', 'state', ...singles, 'added', 'args'];

const signs: Readonly<Record<string, Comparison>> = {
  '': '=',
  '=': '=',
  '!=': '!=',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
  '~': 'contains',
};

const EMPTY = '[]';

/**
 * The filter that the words mean; no words match every job.
 *
 * @param now what relative times count from
 * @throws FILTER_INVALID
 */
export function parseFilter(text: string, now: () => number = systemClock.now): JobFilter {
  const words = new Words(text);
  const filter: Draft = {};
  for (words.skipSpace(); !words.atEnd; words.endTerm()) {
    const start = words.at;
    const field = words.take(/[a-z]+/iy);
    if (!fields.includes(field)) words.fail(`one of ${fields.join(': ')}:`, start);
    if (field === 'args') {
      parseCondition(words, filter);
    } else {
      words.colon();
      if (field === 'id') filter.ids = once(words, start, 'id:', filter.ids, parseList(words));
      else if (field === 'state') filter.states = once(words, start, 'state:', filter.states, parseStates(words));
      else if (field === 'added') parseAdded(words, filter, now());
      else parseSingle(words, start, field as (typeof singles)[number], filter);
    }
  }
  return filter;
}

function once<T>(words: Words, start: number, word: string, before: unknown, value: T): T {
  return before === undefined ? value : words.fail(`only one \`${word}\``, start);
}

function parseSingle(words: Words, start: number, field: (typeof singles)[number], filter: Draft): void {
  const at = words.at;
  const { text, quoted } = words.value();
  const isList = field !== 'error' && !quoted && text.includes(',');
  if (isList) words.fail(`one ${field} (in quotes if the comma is part of it)`, at);
  filter[field] = once(words, start, `${field}:`, filter[field], text);
}

function parseList(words: Words): string[] {
  if (words.take(/\[\](?=\s|$)/y) === EMPTY) return [];
  const items: string[] = [];
  do items.push(words.item());
  while (words.take(/,/y) === ',');
  return items;
}

function parseStates(words: Words): JobState[] {
  const at = words.at;
  const states = parseList(words);
  const isState = (state: string): state is JobState => (jobStates as readonly string[]).includes(state);
  return states.every(isState) ? states : words.fail(`states, of ${jobStates.join(', ')}`, at);
}

const DAY = 86_400_000;

function parseAdded(words: Words, filter: Draft, now: number): void {
  const start = words.at;
  const sign = words.take(/[<>]=?/y);
  const at = words.at;
  const { text } = words.value();
  const moment = parseMoment(text, now) ?? words.fail('a moment, such as 2026-01-31, 2026-01-31T12:00Z or -2h', at);
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text);
  if (sign === '' && !isDay) words.fail('>=, >, < or <= before a moment, or a day such as 2026-01-31', start);
  // Jobs are added at whole milliseconds.
  const from = sign === '>' ? Math.floor(moment) + 1 : moment;
  const before = sign === '' ? moment + DAY : sign === '<=' ? Math.floor(moment) + 1 : moment;
  if (!sign.startsWith('<')) filter.addedFrom = once(words, start, 'added:>=', filter.addedFrom, from);
  if (!sign.startsWith('>')) filter.addedBefore = once(words, start, 'added:<', filter.addedBefore, before);
}

function parseCondition(words: Words, filter: Draft): void {
  const path: (string | number)[] = [];
  while (words.take(/\./y) === '.') path.push(words.step());
  words.colon();
  const is = signs[words.take(/!=|<=|>=|[=<>~]|/y)] as Comparison;
  filter.where ??= [];
  filter.where.push({ path, is, value: words.literal() });
}

/** The words that mean the filter: `parseFilter` makes the same of them. An empty `where` says nothing and is left out. */
export function formatFilter(filter: JobFilter): string {
  const { ids, states, addedFrom, addedBefore, where = [] } = filter;
  const list = (items: readonly string[]) => (items.length === 0 ? EMPTY : items.map(formatText).join(','));
  return [
    ids && `id:${list(ids)}`,
    states && `state:${list(states)}`,
    ...singles.map((field) => {
      const value = filter[field];
      return value !== undefined && `${field}:${formatText(value)}`;
    }),
    addedFrom !== undefined && `added:>=${formatMoment(addedFrom)}`,
    addedBefore !== undefined && `added:<${formatMoment(addedBefore)}`,
    ...where.map(formatCondition),
  ]
    .filter((word) => typeof word === 'string')
    .join(' ');
}

function formatCondition({ path, is, value }: Condition): string {
  const steps = path.map((step) => {
    if (typeof step === 'number') return `.${step}`;
    return `.${/^[a-z_$][\w$-]*$/i.test(step) ? step : JSON.stringify(step)}`;
  });
  const sign = is === '=' ? '' : is === 'contains' ? '~' : is;
  return `args${steps.join('')}:${sign}${typeof value === 'string' ? formatText(value) : formatPlain(value)}`;
}

function formatText(text: string): string {
  return /^[a-z_][\w@./-]*$/i.test(text) && !/^(true|false|null)$/.test(text) ? text : JSON.stringify(text);
}

function formatPlain(value: number | boolean | null): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

function formatMoment(at: number): string {
  return Number.isInteger(at) ? new Date(at).toISOString() : String(at);
}
