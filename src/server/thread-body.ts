/**
 * The module that the threads of a job run: imports the job's own module and gives its body a context like that in the
 * main thread. What the body reports goes back as messages, in order, before its result.
 */
import { workerData } from 'node:worker_threads';
import { assertOption, isError } from '../errors.ts';
import type { ThreadBody, ThreadJobContext } from '../job/job.ts';
import type { ThreadContext } from '../pool/threads/context.ts';
import { progressText } from './reporter.ts';

/** What is known of a job when it starts. */
type Facts = Omit<ThreadJobContext, 'signal' | 'aborted' | 'progress' | 'log'>;

export interface ToBody {
  readonly payload: unknown;
  readonly facts: Facts;
}

export type FromBody =
  | { readonly kind: 'began'; readonly value?: undefined }
  | { readonly kind: 'progress'; readonly value: unknown }
  | { readonly kind: 'log'; readonly value: string };

const body = await load((workerData as { readonly module: string }).module);

export default async function run({ payload, facts }: ToBody, thread: ThreadContext): Promise<unknown> {
  const send = (message: FromBody) => thread.send(message);
  send({ kind: 'began' });
  const value = await body(payload, {
    ...facts,
    get signal() {
      return thread.signal;
    },
    get aborted() {
      return thread.aborted;
    },
    progress(value) {
      // By way of its text, so that what is not JSON is refused here, where it was said.
      send({ kind: 'progress', value: JSON.parse(progressText(value)) });
    },
    log(text) {
      send({ kind: 'log', value: String(text) });
    },
  });
  // Errors of ours keep their code on the way only when they are thrown; for a body both mean the same.
  if (isError(value, 'JOB_SNOOZED') || isError(value, 'JOB_DISCARDED') || isError(value, 'JOB_CANCELLED')) throw value;
  return value;
}

/** Its default export; of CommonJS compiled from ESM, the default export inside it. */
async function load(module: string): Promise<ThreadBody<unknown>> {
  const { default: given } = (await import(module)) as { default?: unknown };
  const found = typeof given === 'object' && given !== null && 'default' in given ? given.default : given;
  assertOption('thread', found, typeof found === 'function', 'a module with a function as its default export');
  return found as ThreadBody<unknown>;
}
