/** What every backend asks of its input, before anything of a call is stored. All throw OPTION_INVALID. */
import { assertKnown, assertOption } from '../errors.ts';
import { jobStates } from '../job/state.ts';
import {
  type AddGroup,
  type Ending,
  type HeartOptions,
  type JobChange,
  maxProgress,
  type NewJob,
  type Report,
} from './backend.ts';
import type { Action, Comparison, Condition, JobFilter, Page } from './filter.ts';
import type { Ids } from './ids.ts';
import type { Firing, Schedule } from './schedule.ts';

/** Throws unless the conditions of the group make sense; its jobs are looked at one by one. */
export function assertGroup({ maxWaiting, once }: AddGroup): void {
  const isLimit = maxWaiting === undefined || maxWaiting >= 0;
  assertOption('maxWaiting', maxWaiting, isLimit, 'a number from 0');
  if (!once) return;
  const { key, fingerprint, ttl } = once;
  assertOption('once.key', key, isName(key), 'a non-empty, well-formed string');
  assertOption('once.fingerprint', fingerprint, typeof fingerprint === 'string', 'a string');
  assertOption('once.ttl', ttl, ttl >= 0 && ttl <= MAX_TIME, 'a number of milliseconds from 0');
}

/** Throws unless `limit` can be a number of jobs. */
export function assertLimit(limit: number): void {
  assertOption('limit', limit, Number.isSafeInteger(limit) && limit >= 0, 'an integer from 0');
}

/** Throws unless the job is one that any backend can store. */
export function assertJob(job: NewJob): void {
  const { queue, name, priority, maxAttempts } = job;
  assertOption('queue', queue, isName(queue), 'a non-empty, well-formed string');
  assertOption('name', name, isName(name), 'a non-empty, well-formed string');
  assertPriority(priority);
  assertMaxAttempts(maxAttempts);
  assertPayload(job);
}

/** The part that differs from job to job. */
export function assertPayload(job: NewJob): void {
  const { payload, runAt, id, key, tags, headers, unique, keepFor } = job;
  assertBytes(payload);
  if (runAt !== undefined) assertTime('runAt', runAt);
  if (id !== undefined) assertLabel('id', id);
  if (key !== undefined) assertLabel('key', key);
  if (tags !== undefined) assertTags(tags);
  if (headers !== undefined) assertHeaders(headers);
  if (unique !== undefined) assertUnique(unique);
  if (keepFor !== undefined) {
    assertOption('keepFor', keepFor, keepFor > 0 && keepFor <= MAX_TIME, 'a number of milliseconds above 0');
  }
}

/** Throws when a caller's own id could be one that this store gives. */
export function assertOwnId(id: string, ids: Ids): void {
  if (ids.parse(id) >= 0) assertOption('id', id, false, 'unlike the ids that the backend gives');
}

/** Throws when the ending names a moment that is none. */
export function assertEnding(ending: Ending): void {
  if (ending.kind === 'snoozed') assertTime('runAt', ending.runAt);
  if (ending.kind === 'failed' && ending.retryAt !== undefined) assertTime('retryAt', ending.retryAt);
}

export function assertReport({ progress, log }: Report): void {
  if (progress !== undefined) {
    const fits = typeof progress === 'string' && Buffer.byteLength(progress) <= maxProgress;
    assertOption('progress', progress, fits, `JSON of at most ${maxProgress} bytes`);
  }
  if (log === undefined) return;
  assertOption('log', log, Array.isArray(log), 'an array of lines');
  for (const { at, text } of log) {
    assertTime('log.at', at);
    assertOption('log.text', text, typeof text === 'string', 'a string');
  }
}

export function assertHeart({ every, stallTimeout, pulse }: HeartOptions): void {
  assertOption('every', every, every >= 1, 'a number of milliseconds from 1');
  assertOption('stallTimeout', stallTimeout, stallTimeout > 0, 'a number of milliseconds above 0');
  assertOption('pulse', pulse, pulse.buffer instanceof SharedArrayBuffer, 'an Int32Array on a SharedArrayBuffer');
}

export function assertChange({ id, payload, priority, maxAttempts, runAt, tags }: JobChange): void {
  assertOption('id', id, typeof id === 'string', 'a string');
  if (payload !== undefined) assertBytes(payload);
  if (priority !== undefined) assertPriority(priority);
  if (maxAttempts !== undefined) assertMaxAttempts(maxAttempts);
  if (runAt !== undefined) assertTime('runAt', runAt);
  if (tags !== undefined) assertTags(tags);
}

/** What `after` may be is the backend's to say. */
export function assertPage({ after, limit }: Page): void {
  assertOption('after', after, after === undefined || typeof after === 'string', 'the `next` of a page');
  const isLimit = limit === undefined || (Number.isSafeInteger(limit) && limit >= 1);
  assertOption('limit', limit, isLimit, 'an integer from 1');
}

export function assertFilter(filter: JobFilter): void {
  assertKnown(filter, knownFilter);
  const { ids, states, addedFrom, addedBefore, where } = filter;
  assertOption('ids', ids, ids === undefined || isStrings(ids), 'an array of strings');
  const areStates = states === undefined || (isStrings(states) && states.every((state) => jobStates.includes(state)));
  assertOption('states', states, areStates, `an array of ${jobStates.join(', ')}`);
  for (const field of ['queue', 'name', 'key', 'tag', 'error'] as const) {
    const value = filter[field];
    assertOption(field, value, value === undefined || typeof value === 'string', 'a string');
  }
  if (addedFrom !== undefined) assertTime('addedFrom', addedFrom);
  if (addedBefore !== undefined) assertTime('addedBefore', addedBefore);
  if (where === undefined) return;
  assertOption('where', where, Array.isArray(where) && where.length <= MAX_CONDITIONS, 'an array of at most 64');
  where.forEach(assertCondition);
}

export function assertAction(action: Action): void {
  assertOption('kind', action.kind, Object.hasOwn(actions, action.kind), 'retry, cancel, discard or remove');
  if (action.kind === 'retry') {
    const { at, every } = action;
    if (at !== undefined) assertTime('at', at);
    const isStep = every === undefined || (every >= 0 && every <= MAX_TIME);
    assertOption('every', every, isStep, 'a number of milliseconds from 0');
  } else if (action.kind !== 'remove') {
    const { reason } = action;
    assertOption('reason', reason, typeof reason === 'string' && reason.isWellFormed(), 'a well-formed string');
  }
}

export function assertSchedule({ key, rule, job, nextAt }: Schedule): void {
  assertLabel('key', key);
  assertOption('rule', rule, typeof rule === 'string' && rule.isWellFormed(), 'a well-formed string');
  assertJob(job);
  if (nextAt !== undefined) assertTime('nextAt', nextAt);
}

/** Its jobs are looked at too. */
export function assertFiring({ key, tick, jobs, nextAt }: Firing): void {
  assertOption('key', key, typeof key === 'string', 'a string');
  assertTime('tick', tick);
  jobs.forEach(assertJob);
  if (nextAt !== undefined) assertTime('nextAt', nextAt);
}

const knownFilter = {
  ids: true,
  queue: true,
  name: true,
  states: true,
  key: true,
  tag: true,
  addedFrom: true,
  addedBefore: true,
  error: true,
  where: true,
} as const satisfies Record<keyof JobFilter, true>;
const comparisons = {
  '=': true,
  '!=': true,
  '<': true,
  '<=': true,
  '>': true,
  '>=': true,
  contains: true,
} as const satisfies Record<Comparison, true>;
const actions = { retry: true, cancel: true, discard: true, remove: true } as const satisfies Record<
  Action['kind'],
  true
>;
const modes = ['keep', 'replace', 'debounce'];

function assertCondition({ path, is, value }: Condition): void {
  const isStep = (step: unknown) => typeof step === 'string' || (Number.isSafeInteger(step) && (step as number) >= 0);
  assertOption('where.path', path, Array.isArray(path) && path.every(isStep), 'an array of names and positions');
  assertOption('where.is', is, Object.hasOwn(comparisons, is), Object.keys(comparisons).join(' '));
  const isPlain = value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
  assertOption('where.value', value, isPlain, 'a string, a finite number, true, false or null');
}

function assertPriority(priority: number): void {
  const ok = Number.isInteger(priority) && priority >= 0 && priority <= 9;
  assertOption('priority', priority, ok, 'an integer from 0 to 9');
}

function assertMaxAttempts(maxAttempts: number): void {
  const ok = Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= MAX_ATTEMPTS;
  assertOption('maxAttempts', maxAttempts, ok, 'an integer from 1 to 2147483647');
}

function assertBytes(payload: Uint8Array): void {
  if (!(payload instanceof Uint8Array)) assertOption('payload', payload, false, 'a Uint8Array');
}

/** Throws unless `at` is a moment, ms since the epoch. */
function assertTime(option: string, at: number): void {
  assertOption(option, at, Number.isFinite(at) && Math.abs(at) <= MAX_TIME, 'milliseconds since the epoch');
}

function assertLabel(option: string, value: string): void {
  const ok = isName(value) && value.length <= MAX_LABEL;
  assertOption(option, value, ok, 'a non-empty, well-formed string of at most 255 characters');
}

function assertTags(tags: readonly string[]): void {
  assertOption('tags', tags, Array.isArray(tags) && tags.length <= MAX_TAGS, 'an array of at most 64 strings');
  for (const tag of tags) assertLabel('tags', tag);
}

function assertHeaders(headers: Readonly<Record<string, string>>): void {
  const entries = typeof headers === 'object' && headers !== null ? Object.entries(headers) : undefined;
  const areTexts = entries?.every(([name, value]) => isName(name) && typeof value === 'string' && value.isWellFormed());
  assertOption('headers', headers, areTexts === true, 'an object of well-formed strings');
  const bytes = (entries ?? []).reduce((sum, pair) => sum + Buffer.byteLength(pair[0]) + Buffer.byteLength(pair[1]), 0);
  const fits = (entries ?? []).length <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES;
  assertOption('headers', headers, fits, 'at most 64 entries of 16 KiB in all');
}

function assertUnique({ key, mode, states, period }: NonNullable<NewJob['unique']>): void {
  assertLabel('unique.key', key);
  assertOption('unique.mode', mode, modes.includes(mode), "'keep', 'replace' or 'debounce'");
  const areStates = isStrings(states) && states.every((state) => jobStates.some((known) => known === state));
  assertOption('unique.states', states, areStates, `an array of ${jobStates.join(', ')}`);
  const isPeriod = period === undefined || (period > 0 && period <= MAX_TIME);
  assertOption('unique.period', period, isPeriod, 'a number of milliseconds above 0');
}

const MAX_ATTEMPTS = 2 ** 31 - 1;
const MAX_CONDITIONS = 64;
const MAX_HEADERS = 64;
const MAX_HEADER_BYTES = 16_384;
const MAX_LABEL = 255;
const MAX_TAGS = 64;

/** What a Date can hold. */
const MAX_TIME = 8.64e15;

/** Half a surrogate pair cannot be written as UTF-8, so it would come back as another name. */
function isName(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.isWellFormed();
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
