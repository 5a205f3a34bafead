/**
 * A context that travels with a job: what was true where it was enqueued is true again where it runs.
 *
 *   const tenants = new AsyncLocalStorage<string>();
 *   const tenant = carry({
 *     header: 'tenant',
 *     capture: () => tenants.getStore(),
 *     restore: (value, run) => tenants.run(value, run),
 *   });
 *   new Client({ backend, middleware: [tenant.enqueue] });
 *   new JobServer({ backend, jobs, middleware: [tenant.perform] });
 *
 * The value travels as a header of the job, so it is stored with it and seen by whoever may look at jobs. The body of a
 * batch runs in no context of its jobs: it finds the values in `item.job.headers`. Nor does a thread, which has
 * `job.headers`.
 */
import { assertKnown, assertOption } from '../errors.ts';

export interface CarryOptions {
  /** The header's name. It replaces one that the enqueue gave. */
  readonly header: string;
  /** The value where the job is enqueued; undefined: there is none, and the job gets no header. */
  readonly capture: () => string | undefined;
  /** Runs the body with the value. Not called for jobs without the header. */
  readonly restore: (value: string, run: () => Promise<unknown>) => Promise<unknown>;
}

/** What there must be of a job that is being enqueued. */
export interface Carrier {
  readonly headers: Record<string, string>;
}

/** What there must be of a job that runs. */
export interface Carried {
  readonly headers: Readonly<Record<string, string>>;
}

/** A middleware for the client, and its counterpart for the server. */
export interface Carry {
  enqueue(draft: Carrier, next: () => Promise<void>): Promise<void>;
  perform(job: Carried, next: () => Promise<unknown>): Promise<unknown>;
}

export function carry(options: CarryOptions): Carry {
  assertKnown(options, known);
  const { header, capture, restore } = options;
  assertOption('header', header, typeof header === 'string' && header.length > 0, 'a non-empty string');
  assertOption('capture', capture, typeof capture === 'function', 'a function');
  assertOption('restore', restore, typeof restore === 'function', 'a function');
  return {
    enqueue: (draft, next) => {
      const value = capture();
      if (value !== undefined) draft.headers[header] = value;
      return next();
    },
    perform: (job, next) => {
      const value = job.headers[header];
      return value === undefined ? next() : restore(value, next);
    },
  };
}

const known = { header: true, capture: true, restore: true } as const satisfies Record<keyof CarryOptions, true>;
