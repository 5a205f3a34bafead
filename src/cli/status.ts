/** `millrace status`: the queues and servers of a backend, as a table. */
import { systemClock } from '../clock.ts';
import { jobStates } from '../job/state.ts';
import { openExisting } from './acting.ts';
import { describeFlags, readFlags } from './flags.ts';
import { backendFlag } from './serve-options.ts';
import { settingsText } from './settings-text.ts';

const flags = { backend: backendFlag };

export const help = `Usage: millrace status [OPTIONS]

Shows how many jobs of each queue are in which state, the settings that are not the defaults, and which servers are at
work.

${describeFlags(flags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const options = readFlags(flags, args, process.env);
  const backend = await openExisting(options.backend);
  try {
    const queues = await backend.counts();
    const rows = queues.map(({ queue, settings, ...counts }) => {
      const byState = Object.fromEntries(jobStates.map((state) => [state, counts[state]]));
      return [queue, { paused: settings.paused, ...byState, settings: settingsText(settings) }] as const;
    });
    console.table(Object.fromEntries(rows));
    // Beats carry the time of the backend, which may be that of another machine.
    const now = (backend.clock ?? systemClock).now();
    for (const server of await backend.servers()) {
      const age = Math.max(0, Math.round((now - server.beatAt) / 1000));
      console.log(`${server.id}: ${server.running} running of ${server.concurrency}, last beat ${age} s ago`);
    }
  } finally {
    await backend.close();
  }
}
