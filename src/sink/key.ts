/**
 * Object keys: made from a template, the same for every attempt of a job, and unable to leave their folder.
 *
 *   {queue}/{yyyy}/{MM}/{dd}/{HH}/{id}.json  →  uploads/2026/11/21/09/01JD….json
 *
 * The time is the UTC time at which the job was added, not the time of the upload: a repeated upload has the same key
 * and overwrites itself. Values are percent-encoded, so a queue named `../../etc` is one odd segment and not a path.
 * The template is taken apart once; a key costs one concatenation.
 */
import { MillraceError } from '../errors.ts';

/** What a key is made from. */
export interface KeySource {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly addedAt: number;
}

/** The key of a job's object. */
export type KeyOf = (job: KeySource) => string;

export const DEFAULT_KEY_TEMPLATE = '{queue}/{yyyy}/{MM}/{dd}/{HH}/{id}.json';

/** S3's own bound, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;

const two = (value: number) => String(value).padStart(2, '0');

const placeholders: Readonly<Record<string, (job: KeySource, added: Date) => string>> = {
  queue: (job) => segment(job.queue),
  name: (job) => segment(job.name),
  id: (job) => segment(job.id),
  yyyy: (_, added) => String(added.getUTCFullYear()).padStart(4, '0'),
  MM: (_, added) => two(added.getUTCMonth() + 1),
  dd: (_, added) => two(added.getUTCDate()),
  HH: (_, added) => two(added.getUTCHours()),
  mm: (_, added) => two(added.getUTCMinutes()),
  ss: (_, added) => two(added.getUTCSeconds()),
};

/**
 * Compiles a key template. Throws OPTION_INVALID when it names an unknown placeholder, lacks `{id}` (two jobs would
 * share a key, and one payload would be lost), or could never make a safe key.
 */
export function compileKeyTemplate(template: string = DEFAULT_KEY_TEMPLATE): KeyOf {
  const known = Object.keys(placeholders)
    .map((name) => `{${name}}`)
    .join(', ');
  const refuse = (expected: string) => new MillraceError('OPTION_INVALID', { option: 'key', expected, got: template });

  const parts = template.split(/(\{[^{}]*\})/).map((part) => {
    if (!part.startsWith('{')) {
      if (/[{}]/.test(part)) throw refuse(`a template with each { closed by a }, made of ${known}`);
      return part;
    }
    const make = Object.hasOwn(placeholders, part.slice(1, -1)) ? placeholders[part.slice(1, -1)] : undefined;
    if (!make) throw refuse(`a template made of text and ${known} (${part} is none of them)`);
    return make;
  });
  if (!template.includes('{id}')) throw refuse('a template with {id}, or jobs would overwrite each other');

  const compiled: KeyOf = (job) => {
    const added = new Date(job.addedAt);
    let key = '';
    for (const part of parts) key += typeof part === 'string' ? part : part(job, added);
    return key;
  };
  try {
    assertSafeKey(compiled({ id: 'id', queue: 'queue', name: 'name', addedAt: 0 }));
  } catch (cause) {
    throw new MillraceError('OPTION_INVALID', { option: 'key', expected: 'a relative path', got: template }, { cause });
  }
  return compiled;
}

/**
 * Throws SINK_KEY_INVALID unless `key` is a relative path of plain segments: not empty, not absolute, without empty
 * segments, `.`, `..`, backslashes or control characters, at most 1024 bytes. Such a key means the same on every
 * store and every operating system.
 */
export function assertSafeKey(key: string): void {
  const reason = troubleWith(key);
  if (reason) throw new MillraceError('SINK_KEY_INVALID', { key, reason });
}

function troubleWith(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (!key.isWellFormed()) return 'is not well-formed Unicode';
  if (key.length > MAX_KEY_BYTES || Buffer.byteLength(key) > MAX_KEY_BYTES) return `exceeds ${MAX_KEY_BYTES} bytes`;
  if (key.includes('\\')) return 'contains a backslash';
  if (/\p{Cc}/u.test(key)) return 'contains a control character';
  for (const part of key.split('/')) {
    if (part === '') return 'is absolute, or has an empty segment';
    if (part === '.' || part === '..') return `has a segment "${part}"`;
  }
  return undefined;
}

/** A value as part of one segment: no slash, no backslash, no control character, never only dots, never empty. */
function segment(value: string): string {
  if (/^[\w-]+$/.test(value)) return value;
  if (value === '') return '_';
  const encoded = encodeURIComponent(value.toWellFormed());
  return /^\.+$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}
