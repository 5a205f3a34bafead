/** `millrace jobs`: jobs as a table. */
import type { JobView } from '../client/view.ts';
import { codecHeader } from '../job/codec.ts';
import { filterHelp, inspect } from './acting.ts';
import { describeFlags, integer, readCommand } from './flags.ts';
import { backendFlag } from './serve-options.ts';

const flags = {
  backend: backendFlag,
  limit: integer({ value: 'N', help: 'at most this many', min: 1, max: 10_000, default: 50 }),
};

export const help = `Usage: millrace jobs [FILTER…] [OPTIONS]

Shows jobs, the oldest first.

${describeFlags(flags)}

${filterHelp}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const { limit } = values;
  const { jobs, next } = await inspect(values.backend, (inspector) => inspector.find(words.join(' '), { limit }));
  if (jobs.length > 0) console.table(Object.fromEntries(jobs.map((job) => [job.id, row(job)])));
  const more = next === undefined ? '' : '; there are more';
  console.log(`${jobs.length} jobs${more}`);
}

function row(job: JobView): object {
  const { queue, name, state, attempt, maxAttempts, addedAt, runAt, key, tags, errors } = job;
  const waits = state === 'scheduled' || state === 'retryable';
  return {
    queue,
    name,
    state,
    attempt: `${attempt}/${maxAttempts}`,
    added: new Date(addedAt).toISOString(),
    due: waits ? new Date(runAt).toISOString() : '',
    key: key ?? '',
    tags: tags.join(' '),
    payload: payloadOf(job),
    error: short(errors.at(-1)?.message ?? ''),
  };
}

/** As it was stored: a command line does not know the codecs of jobs. */
function payloadOf({ record, headers }: JobView): string {
  const codec = headers[codecHeader];
  if (codec !== undefined) return `${record.payload.length} bytes of ${codec}`;
  return short(Buffer.from(record.payload.subarray(0, 200)).toString());
}

function short(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
