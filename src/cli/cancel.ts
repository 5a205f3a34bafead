/** `millrace cancel`: ends jobs on purpose. */
import { actFlags, confirm, filterHelp, inspect } from './acting.ts';
import { describeFlags, readCommand, text } from './flags.ts';

const flags = { ...actFlags, reason: text({ value: 'TEXT', help: 'kept with the jobs', default: 'by hand' }) };

export const help = `Usage: millrace cancel FILTER… [OPTIONS]

Cancels jobs that wait, tells running ones to stop, and says how many they were.

${describeFlags(flags)}

${filterHelp}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const filter = words.join(' ');
  const options = values.limit === undefined ? {} : { limit: values.limit };
  const count = await inspect(values.backend, async (inspector) => {
    await confirm(inspector, 'cancel', filter, values.yes);
    return inspector.cancel(filter, values.reason, options);
  });
  console.log(`${count} jobs are cancelled or told to stop`);
}
