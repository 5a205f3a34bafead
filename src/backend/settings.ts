/**
 * What a queue is told to do, by anybody, at any time, for all servers at once.
 *
 * Settings live with the jobs, so they hold on every server and survive all of them. A queue that was never told anything
 * has the defaults below. A change takes effect with the next claim.
 */
import { assertKnown, assertOption } from '../errors.ts';

/** At most `limit` starts per `per` ms on average; up to `burst` at once after a quiet time. */
export interface Rate {
  /** Above 0. */
  readonly limit: number;
  /** Milliseconds, above 0. */
  readonly per: number;
  /** Minimum 1. Default `limit`, at least 1. */
  readonly burst?: number;
}

/**
 * What a failed job of a key does to those behind it:
 *
 *   block   they wait until it has succeeded or was discarded for good: strict order through all retries
 *   park    the same, and when it was discarded or quarantined they wait until somebody retries or removes it
 *   skip    they go on; its retry takes its turn when it is due
 *
 * A snoozed job counts as a failed one here, and so does one that waits for its last chance (see `maxCrashes`). Who holds a
 * slot goes by the settings of now, not by those under which it failed.
 */
export const keyFailures = ['block', 'park', 'skip'] as const;
export type KeyFailure = (typeof keyFailures)[number];

/** Jobs of a queue that share a `key` (a tenant, an account, a document). Jobs without a key know nothing of this. */
export interface KeySettings {
  /** Jobs of one key that run at once, over all servers. Minimum 1; null: no bound. Default 1, which is strict order. */
  readonly concurrency: number | null;
  /**
   * Starts per key, over all servers. Default null: no bound. When the clock is put back, a job that already stands in line
   * may stay there.
   */
  readonly rate: Rate | null;
  /** Default `'block'`. */
  readonly onFailure: KeyFailure;
  /**
   * Keys are served in turn; one of weight 2 gets two turns where others get one. Above 0; a key that is not named has 1.
   * The jobs without a key take turns as if they were one more key, named ''; a turn counts only while some key has a job
   * that may start.
   */
  readonly weights: Readonly<Record<string, number>>;
}

/** How long jobs that have ended are kept: whichever bound is reached first. */
export interface Keep {
  /** Jobs of that state in the queue. Integer from 0. */
  readonly count: number;
  /** Milliseconds since they ended. From 0. */
  readonly age: number;
}

/** States in which a job has ended but is still kept. */
export const endedStates = ['completed', 'discarded', 'cancelled', 'quarantined'] as const;
export type EndedState = (typeof endedStates)[number];

export interface QueueSettings {
  /** Gives no jobs to anybody; those that run go on. Default false. */
  readonly paused: boolean;
  /** Jobs of the queue that run at once, over all servers. Minimum 1; null: no bound. Default null. */
  readonly concurrency: number | null;
  /** Starts over all servers. Default null: no bound. */
  readonly rate: Rate | null;
  readonly keys: KeySettings;
  /**
   * A job whose server died this often while it ran is quarantined: it may be what kills them. Its last chance before that
   * comes `probation` ms after the crash. Minimum 1, which leaves no chance at all. Default 3.
   */
  readonly maxCrashes: number;
  /**
   * Default: discarded and quarantined 10,000 and 180 days; cancelled 1,000 and 7 days; completed 10,000, for as long as
   * each job asked to be kept (its `keepFor`), at most 30 days.
   */
  readonly retention: Readonly<Record<EndedState, Keep>>;
  /** How many of the queue's latest events are kept for readers. 0: none are recorded, and they cost nothing. Default 0. */
  readonly events: number;
}

/** What is left out stays as it is; `keys` and each state of `retention` may be given in part too. */
export type SettingsChange = Partial<Omit<QueueSettings, 'keys' | 'retention'>> & {
  readonly keys?: Partial<KeySettings>;
  readonly retention?: Partial<Record<EndedState, Partial<Keep>>>;
};

/**
 * How long a job waits that one more crash would quarantine, ms: whatever else kills its servers has time to pass, and the
 * jobs that crashed with it for the first time have gone ahead.
 */
export const probation = 60_000;

const DAY = 86_400_000;

export const defaultSettings: QueueSettings = {
  paused: false,
  concurrency: null,
  rate: null,
  keys: { concurrency: 1, rate: null, onFailure: 'block', weights: {} },
  maxCrashes: 3,
  retention: {
    completed: { count: 10_000, age: 30 * DAY },
    discarded: { count: 10_000, age: 180 * DAY },
    cancelled: { count: 1_000, age: 7 * DAY },
    quarantined: { count: 10_000, age: 180 * DAY },
  },
  events: 0,
};

/** `settings` after `change`. Throws OPTION_INVALID or OPTION_UNKNOWN, naming the setting. */
export function changed(settings: QueueSettings, change: SettingsChange): QueueSettings {
  assertKnown(change, known);
  if (change.keys !== undefined) assertKnown(change.keys, knownKeys, 'keys');
  if (change.retention !== undefined) assertKnown(change.retention, knownEnds, 'retention');
  const retention = { ...settings.retention };
  for (const state of endedStates) {
    const keep = change.retention?.[state];
    if (keep === undefined) continue;
    assertKnown(keep, knownKeep, `retention.${state}`);
    retention[state] = { ...retention[state], ...keep };
  }
  const next = { ...settings, ...change, keys: { ...settings.keys, ...change.keys }, retention };
  check(next);
  return next;
}

const known = {
  paused: true,
  concurrency: true,
  rate: true,
  keys: true,
  maxCrashes: true,
  retention: true,
  events: true,
} as const satisfies Record<keyof QueueSettings, true>;
const knownKeys = { concurrency: true, rate: true, onFailure: true, weights: true } as const satisfies Record<
  keyof KeySettings,
  true
>;
const knownEnds = { completed: true, discarded: true, cancelled: true, quarantined: true } as const;
const knownKeep = { count: true, age: true } as const;
const knownRate = { limit: true, per: true, burst: true } as const;

function check({ paused, concurrency, rate, keys, maxCrashes, retention, events }: QueueSettings): void {
  assertOption('paused', paused, typeof paused === 'boolean', 'true or false');
  assertBound('concurrency', concurrency);
  assertRate('rate', rate);
  assertBound('keys.concurrency', keys.concurrency);
  assertRate('keys.rate', keys.rate);
  assertOption('keys.onFailure', keys.onFailure, keyFailures.includes(keys.onFailure), "'block', 'park' or 'skip'");
  assertOption('keys.weights', keys.weights, typeof keys.weights === 'object' && keys.weights !== null, 'an object');
  for (const [key, weight] of Object.entries(keys.weights)) {
    assertOption(`keys.weights.${key}`, weight, weight > 0 && Number.isFinite(weight), 'a number above 0');
  }
  assertOption('maxCrashes', maxCrashes, Number.isInteger(maxCrashes) && maxCrashes >= 1, 'an integer from 1');
  for (const state of endedStates) {
    const { count, age } = retention[state];
    assertOption(`retention.${state}.count`, count, Number.isSafeInteger(count) && count >= 0, 'an integer from 0');
    assertOption(`retention.${state}.age`, age, age >= 0 && Number.isFinite(age), 'a number of milliseconds from 0');
  }
  assertOption('events', events, Number.isSafeInteger(events) && events >= 0, 'an integer from 0');
}

function assertBound(option: string, bound: number | null): void {
  assertOption(option, bound, bound === null || (Number.isInteger(bound) && bound >= 1), 'an integer from 1, or null');
}

function assertRate(option: string, rate: Rate | null): void {
  if (rate === null) return;
  assertKnown(rate, knownRate, option);
  const { limit, per, burst } = rate;
  assertOption(`${option}.limit`, limit, limit > 0 && Number.isFinite(limit), 'a number above 0');
  assertOption(`${option}.per`, per, per > 0 && Number.isFinite(per), 'a number of milliseconds above 0');
  assertOption(`${option}.burst`, burst, burst === undefined || burst >= 1, 'a number from 1 up');
}
