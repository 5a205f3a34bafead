/**
 * From a payload to a job that a backend takes.
 *
 *   template + payload ──▶ EnqueueDraft ──(middleware)──▶ NewJob
 *
 * Without middleware there is no draft, and what is the same for all jobs of a call is looked at once.
 */
import type { NewJob } from '../backend/backend.ts';
import { assertJob } from '../backend/check.ts';
import { assertOption, MillraceError } from '../errors.ts';
import { codecHeader, json } from '../job/codec.ts';
import type { JobDefinition } from '../job/job.ts';
import { type UniqueRule, uniqueRule } from '../job/unique.ts';
import type { Template } from './enqueue-options.ts';

/** A job on its way in, as middleware sees it: what it changes is what is stored. */
export interface EnqueueDraft {
  readonly name: string;
  /** As the schema made it, before it is encoded. */
  payload: unknown;
  queue: string;
  priority: number;
  maxAttempts: number;
  /** Ms since the epoch. Undefined: at once. */
  runAt: number | undefined;
  /** The caller's own, if any. After `next()`: the job's. */
  id: string | undefined;
  key: string | undefined;
  tags: readonly string[];
  /** Yours to write into. */
  headers: Record<string, string>;
  /** Computed from the payload as it was before any middleware. */
  unique: UniqueRule | undefined;
  keepFor: number | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The job of a call without middleware. Throws what encoding throws, PAYLOAD_TOO_LARGE, OPTION_INVALID. */
export function makeJob(template: Template, payload: unknown, maxPayload: number): NewJob {
  const { definition, queue, priority, maxAttempts, runAt, id, storedHeaders, unique, keepFor } = template;
  const { name } = definition;
  const job: Mutable<NewJob> = { queue, name, payload: write(definition, payload, maxPayload), priority, maxAttempts };
  if (runAt !== undefined) job.runAt = runAt;
  if (id !== undefined) job.id = id;
  if (storedHeaders) job.headers = storedHeaders;
  if (keepFor !== undefined) job.keepFor = keepFor;
  const key = template.key ?? definition.keyOf(payload);
  const tags = tagsOf(template, payload);
  if (key === undefined && tags.length === 0 && !unique) return job; // all of it was checked with the template
  if (key !== undefined) job.key = key;
  if (tags.length > 0) job.tags = tags;
  if (unique) job.unique = uniqueRule(name, unique, payload);
  assertJob(job);
  return job;
}

/** Those of the definition, then those of the call, each once; in a list that is nobody else's. */
function tagsOf({ definition, tags }: Template, payload: unknown): readonly string[] {
  const own = definition.tagsOf(payload);
  assertOption('tags', own, Array.isArray(own), 'a function that returns an array of strings');
  return own.length + tags.length === 0 ? tags : [...new Set([...own, ...tags])];
}

export function draftOf(template: Template, payload: unknown): EnqueueDraft {
  const { definition, queue, priority, maxAttempts, runAt, id, key, headers, unique, keepFor } = template;
  return {
    name: definition.name,
    payload,
    queue,
    priority,
    maxAttempts,
    runAt,
    id,
    key: key ?? definition.keyOf(payload),
    tags: tagsOf(template, payload),
    headers: { ...headers },
    unique: unique && uniqueRule(definition.name, unique, payload),
    keepFor,
  };
}

/** The job that a draft has become. Throws like `makeJob`. */
export function jobOf(draft: EnqueueDraft, definition: JobDefinition, maxPayload: number): NewJob {
  const { name, payload, queue, priority, maxAttempts, runAt, id, key, tags, headers, unique, keepFor } = draft;
  assertOption('headers.codec', headers.codec, !Object.hasOwn(headers, codecHeader), 'absent');
  const { codec } = definition;
  if (codec.name !== json.name) headers[codecHeader] = codec.name;
  const job: NewJob = {
    queue,
    name,
    payload: write(definition, payload, maxPayload),
    priority,
    maxAttempts,
    ...(runAt !== undefined && { runAt }),
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(tags.length > 0 && { tags }),
    ...(Object.keys(headers).length > 0 && { headers }),
    ...(unique && { unique }),
    ...(keepFor !== undefined && { keepFor }),
  };
  assertJob(job);
  return job;
}

/** The payload as bytes. Throws what the codec throws, and PAYLOAD_TOO_LARGE. */
export function write({ name, codec }: JobDefinition, payload: unknown, maxPayload: number): Uint8Array {
  const bytes = codec.encode(payload, name);
  if (bytes.length <= maxPayload) return bytes;
  throw new MillraceError('PAYLOAD_TOO_LARGE', { name, bytes: bytes.length, limit: maxPayload });
}
