/**
 * Where `client.enqueueIn` puts a job: something that stores at once, in a transaction that the caller has open.
 *
 *   database.exec('BEGIN');
 *   insertOrder.run(order);
 *   client.enqueueIn(sqliteInbox(database), ship, { order });
 *   database.exec('COMMIT');                          // both, or neither
 */
import type { AddGroup, AddResult } from '../backend/backend.ts';
import { assertOption } from '../errors.ts';
import type { JobDefinition } from '../job/job.ts';
import { accepted } from '../job/schema.ts';

export interface Inbox {
  /** As `Backend.add`, at once. Throws when nothing was stored. */
  add(groups: readonly AddGroup[]): readonly AddResult[];
}

/** The value as the schema makes it. Throws PAYLOAD_INVALID, and OPTION_INVALID for a schema that answers with a promise. */
export function validateNow({ name, schema }: JobDefinition, value: unknown): unknown {
  if (!schema) return value;
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    result.catch(() => undefined);
    assertOption(
      'schema',
      result,
      false,
      'one that answers at once: enqueueIn cannot wait (validate first, or enqueue)',
    );
  }
  return accepted(name, result as Awaited<typeof result>);
}
