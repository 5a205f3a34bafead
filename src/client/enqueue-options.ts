/** What an enqueue may say about its jobs, and what becomes of that together with the definition: checked once per call. */
import type { NewJob } from '../backend/backend.ts';
import { assertJob } from '../backend/check.ts';
import { assertKnown, assertOption } from '../errors.ts';
import { codecHeader, json } from '../job/codec.ts';
import type { JobDefinition } from '../job/job.ts';
import { assertUnique, type UniqueOptions } from '../job/unique.ts';

export interface EnqueueOptions<Payload = unknown> {
  /** Default: the queue of the definition. */
  readonly queue?: string;
  /** 0 is served first. Integer 0–9. Default: that of the definition. */
  readonly priority?: number;
  /** Not before this much time has passed, ms. Minimum 0. Default 0. Excludes `at`. */
  readonly delay?: number;
  /** Not before this moment, ms since the epoch or a Date. Excludes `delay`. */
  readonly at?: number | Date;
  /**
   * An id of your own, up to 255 characters. While the backend knows a job of that id, the enqueue stores nothing and
   * its handle is that job's, with `isNew` false. Not with several payloads. Default: the backend makes one.
   */
  readonly id?: string;
  /** Jobs of a queue with the same key are run in order, fairly, or bounded. Up to 255 characters. Default: the definition's. */
  readonly key?: string;
  /** For finding the job, besides the tags of the definition; at most 64 in all. */
  readonly tags?: readonly string[];
  /** Small facts that travel with the job, at most 16 KiB. `codec` is Millrace's own. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** In place of the definition's rule; false: store this one whatever is there. */
  readonly unique?: UniqueOptions<Payload> | false;
  /** Keep the record and the result this long after the job completed, ms. Above 0. Default: that of the definition. */
  readonly keepFor?: number;
  /** Runs, the first included, before the job is discarded. Integer from 1. Default: that of the definition. */
  readonly maxAttempts?: number;
}

/** What the jobs of one call share. */
export interface Template {
  readonly definition: JobDefinition;
  readonly queue: string;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly runAt: number | undefined;
  readonly id: string | undefined;
  readonly key: string | undefined;
  readonly tags: readonly string[];
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** The same, and the name of the codec. */
  readonly storedHeaders: Readonly<Record<string, string>> | undefined;
  readonly unique: UniqueOptions | undefined;
  readonly keepFor: number | undefined;
}

/** Of a call that says nothing. */
export const noOptions = {} as const;

/** Their names. */
export const enqueueOptions = {
  queue: true,
  priority: true,
  delay: true,
  at: true,
  id: true,
  key: true,
  tags: true,
  headers: true,
  unique: true,
  keepFor: true,
  maxAttempts: true,
} as const satisfies Record<keyof EnqueueOptions, true>;

const NOTHING = new Uint8Array();

/**
 * Throws OPTION_UNKNOWN and OPTION_INVALID. All is checked that a backend would check: calls travel together, and a wrong
 * one must not be refused together with those of others.
 */
export function templateOf(definition: JobDefinition, options: EnqueueOptions<never>, now: () => number): Template {
  assertKnown(options, enqueueOptions);
  const { queue = definition.queue, priority = definition.priority, maxAttempts = definition.maxAttempts } = options;
  const { id, key, tags = [], headers, keepFor = definition.keepFor, unique = definition.unique } = options;
  if (options.unique) assertUnique(options.unique as UniqueOptions);
  if (headers) assertOption('headers.codec', headers.codec, !Object.hasOwn(headers, codecHeader), 'absent');
  const template: Template = {
    definition,
    queue,
    priority,
    maxAttempts,
    runAt: momentOf(options, now),
    id,
    key,
    tags,
    headers,
    storedHeaders: withCodec(headers, definition),
    unique: (unique || undefined) as UniqueOptions | undefined,
    keepFor,
  };
  assertJob(sample(template));
  return template;
}

/** The moment that `delay` or `at` means; undefined when neither is given. Throws OPTION_INVALID. */
export function momentOf(
  { delay, at }: { readonly delay?: number; readonly at?: number | Date },
  now: () => number,
): number | undefined {
  const isDelay = delay === undefined || (Number.isFinite(delay) && delay >= 0);
  assertOption('delay', delay, isDelay, 'a number of milliseconds from 0');
  assertOption('at', at, at === undefined || delay === undefined, 'absent when `delay` is given');
  if (at === undefined) return delay ? now() + delay : undefined;
  // Null, '' and true would be numbers too, long past: a job that was meant for later would run now.
  const moment = at instanceof Date ? at.getTime() : at;
  assertOption('at', at, Number.isFinite(moment), 'milliseconds since the epoch, or a valid Date');
  return moment;
}

/** A copy, or undefined for none. */
function withCodec(headers: Template['headers'], { codec }: JobDefinition): Template['headers'] {
  if (codec.name === json.name) return headers && { ...headers };
  return { ...headers, [codecHeader]: codec.name };
}

/** A job of the template as a backend would see it, its payload aside. */
function sample({
  definition,
  queue,
  priority,
  maxAttempts,
  runAt,
  id,
  key,
  tags,
  storedHeaders,
  keepFor,
}: Template): NewJob {
  return {
    queue,
    name: definition.name,
    payload: NOTHING,
    priority,
    maxAttempts,
    ...(runAt !== undefined && { runAt }),
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(tags.length > 0 && { tags }),
    ...(storedHeaders && { headers: storedHeaders }),
    ...(keepFor !== undefined && { keepFor }),
  };
}
