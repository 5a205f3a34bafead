/**
 * When the jobs of a schedule come: by the clock on the wall (`cron`), or every so many milliseconds (`every`).
 *
 *   { cron: '0 9 * * MON-FRI', timeZone: 'Europe/Berlin' }
 *   { every: 60_000 }
 *
 * A tick is a moment; a rule is a pure function from a moment to the next tick, the same on every server. `cron` follows
 * the time zone's clock when that one is moved:
 *
 *   forward   a tick in the time that is left out comes at the moment of the jump (02:30 comes at 03:00, once)
 *   back      a tick at fixed hours comes once, the first time its hour is shown; one at `*` hours goes on at its pace
 *             through both, as the clock on the wall shows them
 *
 * `every` counts real milliseconds and knows nothing of clocks that are moved.
 *
 * Cron expressions are read by `croner`, an optional peer that is loaded with the first such rule.
 */
import { MillraceError, show } from '../errors.ts';

export type ScheduleRule = (CronRule | IntervalRule) & RuleBounds;

export interface CronRule {
  /**
   * Minute, hour, day of month, month, day of week; with a second before them, or a year behind, when there are six or seven
   * fields. Or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
   */
  readonly cron: string;
  /** An IANA name. Default `'UTC'`: a schedule must not depend on where a server happens to stand. */
  readonly timeZone?: string;
}

export interface IntervalRule {
  /** Milliseconds from tick to tick. Integer from 1. */
  readonly every: number;
  /** A moment at which there would be a tick, past or future. Default `start`, or else the epoch: full hours are in UTC. */
  readonly anchor?: number | Date;
}

export interface RuleBounds {
  /** No tick before this moment. Date or ms since the epoch. */
  readonly start?: number | Date;
  /** No tick after this moment. Date or ms since the epoch. */
  readonly end?: number | Date;
  /** Ticks that make a job, after which the schedule has ended. Integer from 1. Default: no bound. */
  readonly limit?: number;
  /**
   * What becomes of ticks at which no server was there. Default `'one'`.
   *
   *   skip  nothing, if the tick is found more than `lateness` ms late
   *   one   all that are due make one job, that of the latest
   *   all   each makes its job
   */
  readonly catchUp?: 'skip' | 'one' | 'all';
  /** Milliseconds, from 0, only with `skip`. Default 60,000, about what a restart takes. */
  readonly lateness?: number;
}

/** The headers of a tick's job: the schedule's key, and the tick as ISO time. */
export const scheduleHeader = 'schedule';
export const tickHeader = 'tick';

/** A rule that was checked. */
export interface ParsedRule {
  /** Its canonical text: equal rules have equal texts. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly limit: number;
  readonly catchUp: 'skip' | 'one' | 'all';
  readonly lateness: number;
  /** The first tick after the moment, bounds aside. */
  next(after: number): number | undefined;
}

/**
 * Checks a rule, or reads one back from its text.
 *
 * @param key the schedule's, for messages
 * @throws SCHEDULE_INVALID, or PEER_MISSING for a cron rule without `croner`
 */
export async function parseRule(rule: ScheduleRule | string, key: string): Promise<ParsedRule> {
  const parts = normalized(typeof rule === 'string' ? fromText(rule, key) : rule, key);
  const { start, end, limit, catchUp, lateness } = parts;
  const next = 'cron' in parts ? await cronTicks(parts.cron, parts.timeZone, key) : intervalTicks(parts);
  return {
    text: JSON.stringify(parts),
    start: start ?? Number.NEGATIVE_INFINITY,
    end: end ?? Number.POSITIVE_INFINITY,
    limit: limit ?? Number.POSITIVE_INFINITY,
    catchUp,
    lateness: lateness ?? Number.POSITIVE_INFINITY,
    next,
  };
}

/** The text that a backend keeps: see `Schedule.rule`. */
export function serializeRule(rule: ParsedRule): string {
  return rule.text;
}

/**
 * The first tick after the moment `after`, ms since the epoch; undefined when there is none.
 *
 * @param fired ticks that have made a job, for `limit`
 */
export function nextTick(rule: ParsedRule, after: number, fired = 0): number | undefined {
  if (fired >= rule.limit) return undefined;
  const tick = rule.next(Math.max(after, rule.start - 1));
  return tick === undefined || tick > rule.end ? undefined : tick;
}

/** The ticks from `from` (itself a tick) to `now`, both included, the first `max` of them. */
export function ticksUpTo(rule: ParsedRule, from: number, now: number, max: number): number[] {
  const ticks: number[] = [];
  let tick: number | undefined = from;
  while (tick !== undefined && tick <= now && ticks.length < max) {
    ticks.push(tick);
    tick = nextTick(rule, tick);
  }
  return ticks;
}

/** The latest tick up to `now`, looked for from `from`, itself a tick. By halves: years of seconds cost some 40 looks. */
export function latestTick(rule: ParsedRule, from: number, now: number): number {
  let latest = from;
  let beyond = now;
  for (let tick = nextTick(rule, latest); tick !== undefined && tick <= now; tick = nextTick(rule, latest)) {
    latest = tick;
    while (latest < beyond) {
      const middle = Math.floor((latest + beyond) / 2);
      const later = middle > latest ? nextTick(rule, middle) : undefined;
      if (later === undefined || later > now) beyond = middle;
      else latest = later;
    }
    beyond = now;
  }
  return latest;
}

type Parts = ({ cron: string; timeZone: string } | { every: number; anchor: number }) & {
  start: number | undefined;
  end: number | undefined;
  limit: number | undefined;
  catchUp: 'skip' | 'one' | 'all';
  lateness: number | undefined;
};

/** Every rule in one form, its members in one order, with what was left to defaults written out. */
function normalized(rule: ScheduleRule, key: string): Parts {
  const invalid = (reason: string) => new MillraceError('SCHEDULE_INVALID', { key, reason });
  if (typeof rule !== 'object' || rule === null) throw invalid(`a rule is an object, got ${show(rule)}`);
  const given = rule as Partial<CronRule & IntervalRule> & RuleBounds;
  for (const name of Object.keys(given)) if (!(name in known)) throw invalid(`\`${name}\` is not part of a rule`);
  const moment = (name: 'start' | 'end' | 'anchor') => {
    const at = given[name] === undefined ? undefined : Number(given[name]);
    if (at === undefined || Number.isSafeInteger(at)) return at;
    throw invalid(`\`${name}\` should be a Date or ms since the epoch, got ${show(given[name])}`);
  };
  const { cron, timeZone, every, limit, catchUp = 'one' } = given;
  if ((cron === undefined) === (every === undefined)) throw invalid('give either `cron` or `every`');
  const [start, end] = [moment('start'), moment('end')];
  if (start !== undefined && end !== undefined && start > end) throw invalid('`end` is before `start`');
  if (limit !== undefined && !isCount(limit))
    throw invalid(`\`limit\` should be an integer from 1, got ${show(limit)}`);
  if (catchUp !== 'skip' && catchUp !== 'one' && catchUp !== 'all') {
    throw invalid(`\`catchUp\` should be 'skip', 'one' or 'all', got ${show(catchUp)}`);
  }
  if (given.lateness !== undefined && catchUp !== 'skip') throw invalid("`lateness` has a meaning only with 'skip'");
  const lateness = catchUp === 'skip' ? (given.lateness ?? 60_000) : undefined;
  if (lateness !== undefined && !(lateness >= 0 && Number.isFinite(lateness))) {
    throw invalid(`\`lateness\` should be a number of milliseconds from 0, got ${show(lateness)}`);
  }
  const bounds = { start, end, limit, catchUp, lateness };
  if (cron !== undefined) {
    if (given.anchor !== undefined) throw invalid('`anchor` has a meaning only with `every`');
    return { cron: cronText(cron, invalid), timeZone: zone(timeZone, invalid), ...bounds };
  }
  if (timeZone !== undefined) throw invalid('`timeZone` has a meaning only with `cron`');
  if (!isCount(every)) throw invalid(`\`every\` should be an integer of milliseconds from 1, got ${show(every)}`);
  const anchor = (moment('anchor') ?? start ?? 0) % every;
  return { every, anchor: anchor < 0 ? anchor + every : anchor, ...bounds };
}

const known = {
  cron: true,
  timeZone: true,
  every: true,
  anchor: true,
  start: true,
  end: true,
  limit: true,
  catchUp: true,
  lateness: true,
} as const satisfies Record<keyof CronRule | keyof IntervalRule | keyof RuleBounds, true>;

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/** Croner would also take a date for an expression, and `@reboot`. */
function cronText(cron: unknown, invalid: (reason: string) => Error): string {
  const text = typeof cron === 'string' ? cron.trim().replace(/\s+/g, ' ').toUpperCase() : '';
  const fields = text.split(' ').length;
  if ((fields >= 5 && fields <= 7) || /^@(YEARLY|ANNUALLY|MONTHLY|WEEKLY|DAILY|MIDNIGHT|HOURLY)$/.test(text))
    return text;
  throw invalid(`\`cron\` should have 5 to 7 fields, or be @hourly, @daily and so on; got ${show(cron)}`);
}

function zone(timeZone: string | undefined, invalid: (reason: string) => Error): string {
  if (timeZone === undefined) return 'UTC';
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    if (typeof timeZone === 'string') return timeZone;
  } catch {
    // the sentence below
  }
  throw invalid(`\`timeZone\` should be an IANA name such as 'Europe/Berlin', got ${show(timeZone)}`);
}

function fromText(text: string, key: string): ScheduleRule {
  try {
    return JSON.parse(text) as ScheduleRule;
  } catch (cause) {
    const reason = 'its stored rule cannot be read; was it written by another version?';
    throw new MillraceError('SCHEDULE_INVALID', { key, reason }, { cause });
  }
}

function intervalTicks({ every, anchor }: { every: number; anchor: number }): ParsedRule['next'] {
  return (after) => {
    const tick = anchor + (Math.floor((after - anchor) / every) + 1) * every;
    return tick <= MAX_TIME ? tick : undefined;
  };
}

/** The last moment that a Date can say. */
const MAX_TIME = 8.64e15;

async function cronTicks(cron: string, timezone: string, key: string): Promise<ParsedRule['next']> {
  const { Cron } = await import('croner').catch((cause) => {
    throw new MillraceError('PEER_MISSING', { package: 'croner', purpose: 'a cron schedule' }, { cause });
  });
  const next = (expression: InstanceType<typeof Cron>, after: number) =>
    expression.nextRun(new Date(Math.max(0, after)))?.getTime();
  let reason: string;
  try {
    const expression = new Cron(cron, { timezone, paused: true });
    if (next(expression, 0) !== undefined) return (after) => next(expression, after);
    reason = 'it never comes';
  } catch (error) {
    reason = (error as Error).message;
  }
  throw new MillraceError('SCHEDULE_INVALID', { key, reason: `\`cron\` ${show(cron)}: ${reason}` });
}
