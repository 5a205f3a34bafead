/**
 * One job for many enqueues.
 *
 *   defineJob({ name: 'reindex', unique: { by: ['customer'] }, … })           one that has not ended, per customer
 *   defineJob({ name: 'digest', unique: { mode: 'debounce' }, … })            the last call counts, and starts the wait anew
 *   defineJob({ name: 'alert', unique: { mode: 'throttle', period: 60_000 } }) at most one a minute
 *
 * What the backend compares is a short text: the job's name, and a SHA-256 of what `by` picks, so that payloads of any
 * size cost the same to compare and none of their content is kept a second time.
 */
import { createHash } from 'node:crypto';
import { assertKnown, assertOption, MillraceError } from '../errors.ts';
import { isRawJson, rawJson } from './raw-json.ts';
import { type JobState, jobStates } from './state.ts';

export interface UniqueOptions<Payload = unknown> {
  /**
   * What makes two jobs the same, besides their name: some members of the payload, a function of it, or all of it.
   * Members are compared as JSON with sorted keys; give a function when a codec carries what JSON cannot (a Map is `{}`
   * in JSON, so any two would be the same). Default: all of it.
   */
  readonly by?: readonly (keyof Payload & string)[] | ((payload: Payload) => string);
  /**
   * What an enqueue does when there is such a job. Default `'keep'`.
   *
   *   keep      nothing; the handle is that of the job which is there
   *   replace   the job that waits gets the new payload and keeps its time
   *   debounce  the job that waits gets the new payload and the new time: give it a `delay`
   *   throttle  as keep, but whatever became of the job: the first of each `period` is stored, the others are not
   */
  readonly mode?: 'keep' | 'replace' | 'debounce' | 'throttle';
  /** A job in another state does not count. Default: all in which it has not ended. Not with `throttle`. */
  readonly states?: readonly JobState[];
  /** The job also counts for this long after it was enqueued, whatever became of it. ms, above 0. Default: not. */
  readonly period?: number;
}

/** What a backend is asked: these options for one payload. */
export interface UniqueRule {
  readonly key: string;
  readonly mode: 'keep' | 'replace' | 'debounce';
  readonly states: readonly JobState[];
  readonly period?: number;
}

const modes = ['keep', 'replace', 'debounce', 'throttle'] as const;
const known = { by: true, mode: true, states: true, period: true } as const satisfies Record<keyof UniqueOptions, true>;
const notEnded: readonly JobState[] = ['scheduled', 'available', 'running', 'retryable'];

/** Throws OPTION_INVALID or OPTION_UNKNOWN, naming the option below `path`. */
export function assertUnique(options: UniqueOptions, path = 'unique'): void {
  assertKnown(options, known, path);
  const { by, mode = 'keep', states, period } = options;
  const isBy =
    by === undefined ||
    typeof by === 'function' ||
    (Array.isArray(by) && by.length > 0 && by.every((member) => typeof member === 'string'));
  assertOption(`${path}.by`, by, isBy, 'at least one member of the payload, or a function of it');
  assertOption(`${path}.mode`, mode, modes.includes(mode), "'keep', 'replace', 'debounce' or 'throttle'");
  const isPeriod = period === undefined || (Number.isFinite(period) && period > 0);
  assertOption(`${path}.period`, period, isPeriod, 'a number of milliseconds above 0');
  if (mode === 'throttle') {
    assertOption(`${path}.period`, period, period !== undefined, "given with mode 'throttle'");
    assertOption(`${path}.states`, states, states === undefined, "absent with mode 'throttle'");
    return;
  }
  if (states === undefined) return;
  const areStates = Array.isArray(states) && states.every((state) => jobStates.includes(state));
  assertOption(`${path}.states`, states, areStates, `a list of ${jobStates.join(', ')}`);
  const counts = states.length > 0 || period !== undefined;
  assertOption(`${path}.states`, states, counts, 'a state at least, or a `period` beside it');
}

/** Throws PAYLOAD_NOT_JSON when what `by` picks cannot be compared. `options` were checked. */
export function uniqueRule(name: string, options: UniqueOptions, payload: unknown): UniqueRule {
  const { mode = 'keep', states = notEnded, period } = options;
  const digest = createHash('sha256')
    .update(`${name}\0${identity(name, options.by as By, payload)}`)
    .digest('base64url');
  // The name is for people who look at the store; backends take keys of 255 characters.
  const key = `${name.slice(0, 200).toWellFormed()}:${digest}`;
  if (mode === 'throttle') return { key, mode: 'keep', states: [], period: period as number };
  return { key, mode, states, ...(period !== undefined && { period }) };
}

type By = readonly string[] | ((payload: unknown) => string) | undefined;

function identity(name: string, by: By, payload: unknown): string {
  if (typeof by === 'function') {
    const text = by(payload);
    assertOption('unique.by', text, typeof text === 'string', 'a function that returns a string');
    return text;
  }
  const members = payload as Readonly<Record<string, unknown>> | null | undefined;
  const picked = by === undefined ? payload : by.map((member) => [member, members?.[member]]);
  try {
    return JSON.stringify(picked, sorted) ?? '';
  } catch (cause) {
    throw new MillraceError('PAYLOAD_NOT_JSON', { name, got: payload }, { cause });
  }
}

/** Objects that say the same in another order are the same. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return rawJson(String(value));
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isRawJson(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
