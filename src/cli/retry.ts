/** `millrace retry`: makes ended jobs available again. */
import { openBackend } from '../backend/open.ts';
import { choice, describeFlags, list, optionalText, readFlags } from './flags.ts';
import { backendFlag } from './serve-options.ts';

const flags = {
  backend: backendFlag,
  state: choice({
    value: 'STATE',
    help: 'which jobs',
    choices: ['discarded', 'cancelled', 'retryable', 'scheduled'],
    default: 'discarded',
  }),
  queue: optionalText({ value: 'QUEUE', help: 'only jobs of this queue' }),
  name: optionalText({ value: 'NAME', help: 'only jobs of this name' }),
  id: list({ value: 'ID,…', help: 'only these jobs' }),
};

export const help = `Usage: millrace retry [OPTIONS]

Makes jobs available again, from their first attempt on, and says how many they were.

${describeFlags(flags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const { backend: url, state, queue, name, id } = readFlags(flags, args, process.env);
  const backend = await openBackend(url);
  try {
    const filter = {
      states: [state],
      ...(queue && { queue }),
      ...(name && { name }),
      ...(id.length > 0 && { ids: id }),
    };
    console.log(`${await backend.retry(filter)} ${state} jobs are available again`);
  } finally {
    await backend.close();
  }
}
