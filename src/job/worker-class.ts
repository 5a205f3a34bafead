/**
 * A worker class: a job that is a name and a list of arguments, as goworker, Resque and Sidekiq have it.
 *
 *   const mail = workerClass('mail', (queue, to: string, subject: string) => send(to, subject));
 *   await client.enqueue(mail, ['ada@example.org', 'Hello'], { queue: 'high' });
 *
 * Nothing but a job definition whose payload is the array of the arguments, so whatever takes a job takes a worker class. On
 * the wires of other languages its name is the class and its payload is `args`, byte for byte.
 *
 * Costs next to `defineJob`: one look whether the payload is an array, when it goes in and when it runs.
 */
import { assertKnown, assertOption, MillraceError, show } from '../errors.ts';
import { type Codec, encode, json } from './codec.ts';
import type { Control } from './control.ts';
import { defineJob, type JobContext, type JobDefinition, type JobOptions } from './job.ts';
import { losslessJson } from './lossless-json.ts';
import { rawJson } from './raw-json.ts';
import { accepted, type StandardSchema } from './schema.ts';

/** `queue` is where the job waited. A `function` has the rest of what a job knows as its `this`; an arrow has no `this`. */
export type WorkerBody<Args extends readonly unknown[] = readonly unknown[], Result = unknown> = (
  this: JobContext,
  queue: string,
  ...args: Args
) => Result | Promise<Result>;

export interface WorkerClassOptions<Args extends readonly unknown[] = readonly unknown[]>
  extends Omit<JobOptions<Readonly<Args>>, 'codec'> {
  /**
   * Integers beyond ±(2⁵³ − 1) come as bigints, digit for digit. Without it they come as the nearest number, as JSON is read
   * everywhere in JavaScript. Bigints are written as integers either way. Default false.
   */
  readonly bigints?: boolean;
}

/**
 * The bytes are JSON whatever is done about large integers, and peers know no codec names: so both go by the name of JSON.
 * Unlike `losslessJson`, a number is written as everybody writes it.
 */
const rounded: Codec = {
  name: json.name,
  encode: (value, job) => encode(job, value, (_, each) => (typeof each === 'bigint' ? rawJson(String(each)) : each)),
  decode: json.decode,
};
const exact: Codec = { ...rounded, decode: losslessJson.decode };

const list: StandardSchema<unknown, readonly unknown[]> = {
  '~standard': {
    version: 1,
    vendor: 'millrace',
    validate: (value) =>
      Array.isArray(value)
        ? { value }
        : { issues: [{ message: `expected an array of arguments, got ${show(value)}` }] },
  },
};

/** A worker class that runs here. Throws OPTION_INVALID and OPTION_UNKNOWN, as `defineJob` does. */
export function workerClass<const Name extends string, Args extends readonly unknown[], Result>(
  name: Name,
  perform: WorkerBody<Args, Result>,
  options?: WorkerClassOptions<Args>,
): JobDefinition<Name, Readonly<Args>, Exclude<Result, Control>>;
/** One that runs elsewhere, in another program or another language: only for enqueueing. */
export function workerClass<Args extends readonly unknown[] = readonly unknown[]>(
  name: string,
  options?: WorkerClassOptions<Args>,
): JobDefinition<string, Readonly<Args>, unknown>;
export function workerClass(
  name: string,
  perform: WorkerBody | WorkerClassOptions = {},
  options: WorkerClassOptions = {},
): JobDefinition<string, readonly unknown[], unknown> {
  const isHere = typeof perform === 'function';
  const given = isHere ? options : perform;
  assertKnown(given, known);
  const { bigints = false, ...rest } = given;
  assertOption('bigints', bigints, typeof bigints === 'boolean', 'true or false');
  return defineJob({
    ...rest,
    name,
    codec: bigints ? exact : rounded,
    schema: list,
    run(payload: readonly unknown[], job: JobContext): unknown {
      if (!isHere) throw new MillraceError('JOB_UNKNOWN', { name, known: [] });
      // Whoever wrote it need not have asked the schema.
      const args = accepted(name, list['~standard'].validate(payload) as { value: readonly unknown[] });
      return perform.call(job, job.queue, ...args);
    },
  });
}

const known = {
  queue: true,
  maxAttempts: true,
  priority: true,
  backoff: true,
  retryIf: true,
  timeout: true,
  grace: true,
  keepFor: true,
  key: true,
  tags: true,
  unique: true,
  bigints: true,
} as const satisfies Record<keyof WorkerClassOptions, true>;
