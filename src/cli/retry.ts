/** `millrace retry`: makes jobs available again. */
import { parseFilter } from '../client/words.ts';
import { actFlags, filterHelp, inspect } from './acting.ts';
import { describeFlags, rate, readCommand } from './flags.ts';

const { backend, limit } = actFlags;
const flags = {
  backend,
  limit,
  rate: rate({ value: 'N/TIME', help: 'spread them over time, such as 100/1m', defaultText: 'all at once' }),
};

export const help = `Usage: millrace retry [FILTER…] [OPTIONS]

Makes jobs available again and says how many they were; those that have ended start over at their first attempt.
Without state: or id: these are discarded ones.

${describeFlags(flags)}

${filterHelp}`;

export async function run(args: readonly string[]): Promise<void> {
  const { words, values } = readCommand(flags, args, process.env);
  const { backend: url, limit, rate } = values;
  const given = parseFilter(words.join(' '));
  const filter = (given.states ?? given.ids) ? given : { ...given, states: ['discarded'] as const };
  const count = await inspect(url, (inspector) =>
    inspector.retry(filter, {
      ...(limit !== undefined && { limit }),
      ...(rate && { rate: { limit: rate.limit, per: rate.per } }),
    }),
  );
  const which = filter.states ? `${filter.states.join(' and ')} jobs` : 'jobs';
  console.log(`${count} ${which} ${rate ? 'will be available again, one by one' : 'are available again'}`);
}
