/** `millrace pause`: lets a queue give no jobs to anybody. */
import { assertOption } from '../errors.ts';
import { inspect } from './acting.ts';
import { describeFlags, readCommand } from './flags.ts';
import { backendFlag } from './serve-options.ts';

const flags = { backend: backendFlag };

export const help = `Usage: millrace pause QUEUE [OPTIONS]

Lets a queue give no jobs to anybody, on all servers, until it is resumed. Jobs that run go on.

${describeFlags(flags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const [queue = ''] = words;
  assertOption('QUEUE', words, words.length === 1 && queue !== '', 'given: one name');
  await inspect(values.backend, (inspector) => inspector.pause(queue));
  console.log(`queue "${queue}" is paused`);
}
