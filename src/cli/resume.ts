/** `millrace resume`: lets a paused queue give jobs again. */
import { assertOption } from '../errors.ts';
import { inspect } from './acting.ts';
import { describeFlags, readCommand } from './flags.ts';
import { backendFlag } from './serve-options.ts';

const flags = { backend: backendFlag };

export const help = `Usage: millrace resume QUEUE [OPTIONS]

Lets a paused queue give jobs again.

${describeFlags(flags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const [queue = ''] = words;
  assertOption('QUEUE', words, words.length === 1 && queue !== '', 'given: one name');
  await inspect(values.backend, (inspector) => inspector.resume(queue));
  console.log(`queue "${queue}" gives jobs again`);
}
