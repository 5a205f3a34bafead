/** `millrace remove`: removes jobs without a trace. */
import { actFlags, confirm, filterHelp, inspect } from './acting.ts';
import { describeFlags, readCommand } from './flags.ts';

const flags = actFlags;

export const help = `Usage: millrace remove FILTER… [OPTIONS]

Removes jobs that are not running, without a trace, and says how many they were.

${describeFlags(flags)}

${filterHelp}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const filter = words.join(' ');
  const options = values.limit === undefined ? {} : { limit: values.limit };
  const count = await inspect(values.backend, async (inspector) => {
    await confirm(inspector, 'remove', filter, values.yes);
    return inspector.remove(filter, options);
  });
  console.log(`${count} jobs are removed`);
}
