/** The part of a filter that Redis does not decide: text in errors, and what is in payloads. */
import type { JobFilter } from '../filter.ts';
import { holds, parsed } from '../memory/payload.ts';
import type { JobRecord } from '../records.ts';
import type { Sendable } from './msgpack.ts';

/** Undefined: whatever Redis finds matches. */
export function restOf({ error, where = [] }: JobFilter): ((job: JobRecord) => boolean) | undefined {
  if (error === undefined && where.length === 0) return undefined;
  const text = error?.toLowerCase();
  return (job) => {
    if (text !== undefined && !(job.errors.at(-1)?.message.toLowerCase().includes(text) ?? false)) return false;
    if (where.length === 0) return true;
    const value = parsed(job.payload);
    return value !== undefined && where.every((condition) => holds(condition, value.json));
  };
}

/** The part that it does. */
export function sentOf({ queue, name, states, key, tag, addedFrom, addedBefore }: JobFilter): Sendable {
  return { queue, name, states, key, tag, addedFrom, addedBefore };
}
