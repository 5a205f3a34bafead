/** `millrace serve`: the ingest program. */
import cluster from 'node:cluster';
import { withoutSecrets } from '../backend/open.ts';
import { systemClock } from '../clock.ts';
import { stopOnSignals } from '../server/signals.ts';
import { describeFlags } from './flags.ts';
import { Ingest } from './ingest.ts';
import { liveLine, type Totals } from './live.ts';
import { jsonLog, type Log, plainLog } from './log.ts';
import { Herd, reportTo } from './processes.ts';
import { readServeOptions, type ServeOptions, serveFlags } from './serve-options.ts';

export const help = `Usage: millrace serve [OPTIONS]

Takes collections of payloads at POST /payloads, answers when they are durable, and carries each to the sink.
Every option can be set by the environment variable in brackets; the flag wins.

${describeFlags(serveFlags)}`;

export async function run(args: readonly string[]): Promise<void> {
  const options = readServeOptions(args, process.env);
  const live = Boolean(process.stdout.isTTY) && !cluster.isWorker;
  const write = (text: string) => void process.stderr.write(text);
  const log = live ? plainLog((line) => write(`\r\x1b[K${line}`)) : jsonLog(write, systemClock.now);

  if (options.processes > 1 && cluster.isPrimary) {
    const herd = new Herd({ processes: options.processes, args: ['serve', ...args], log });
    await herd.start();
    await attend(herd, herd.url, () => herd.totals(), options, log, live);
    return;
  }
  const ingest = new Ingest(options, log);
  try {
    await ingest.start();
  } catch (error) {
    cluster.worker?.disconnect(); // which would keep a copy alive that has nothing to do
    throw error;
  }
  if (!cluster.isWorker) {
    await attend(ingest, ingest.url, () => ingest.totals(), options, log, live);
    return;
  }
  const stopReporting = reportTo(process, ingest);
  // Ctrl-C reaches the whole terminal; the primary decides what it means and passes SIGTERM on.
  process.on('SIGINT', () => undefined);
  await stopOnSignals([ingest], { signals: ['SIGTERM'] });
  stopReporting();
  cluster.worker?.disconnect();
}

/** Shows that it runs, until a signal ends it. */
async function attend(
  service: { stop(): Promise<void> },
  url: string | undefined,
  totals: () => Totals,
  options: ServeOptions,
  log: Log,
  live: boolean,
): Promise<void> {
  process.stdout.write(banner(url, options));
  const stopLive = live ? liveLine(systemClock, totals, (text) => void process.stdout.write(text)) : () => undefined;
  await stopOnSignals([{ stop: async () => stopLive() }, service], {
    onSignal: (signal) => log('info', 'stopping; once more to end at once', { signal }),
  });
  log('info', 'stopped');
}

function banner(url: string | undefined, options: ServeOptions): string {
  const { sink, token, processes } = options;
  const backend = withoutSecrets(options.backend);
  const workers = options['no-workers'] ? 'no workers here' : `at most ${options['max-workers']} uploads at once`;
  const flow = options['no-workers'] ? `${backend} (${workers})` : `${backend} → ${sink} (${workers})`;
  const herd = processes > 1 ? `, ${processes} processes` : '';
  if (!url) return `Millrace carries payloads: ${flow}${herd}\n`;
  const authorization = token.length > 0 ? " -H 'authorization: Bearer TOKEN'" : '';
  return `Millrace listens on ${url}${herd}
  ${flow}
  try: curl -X POST ${url}/payloads -H 'content-type: application/json'${authorization} -d '{"data":[{"hello":"world"}]}'
`;
}
