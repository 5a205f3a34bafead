/** `millrace work`: runs the jobs of some queues, as a goworker program does. */
import { openBackend } from '../backend/open.ts';
import { systemClock } from '../clock.ts';
import { isError } from '../errors.ts';
import type { ServerEvent } from '../server/events.ts';
import { queueNames } from '../server/queues.ts';
import { JobServer } from '../server/server.ts';
import { stopOnSignals } from '../server/signals.ts';
import { Completion } from './completion.ts';
import { describeFlags } from './flags.ts';
import { jsonLog, type Log, plainLog } from './log.ts';
import { readWorkOptions, type WorkOptions, workFlags } from './work-options.ts';
import { loadWorkerClasses } from './worker-modules.ts';

export const help = `Usage: millrace work --queues=LIST --require=FILE [OPTIONS]

Runs the jobs of these queues. The worker classes are what the modules export: a function (queue, ...args) is the class
of its name, a job made by workerClass or defineJob has its own. SIGTERM, SIGINT and SIGQUIT let what runs finish and
start nothing more; a second one ends at once. Flags may have one dash or two.

${describeFlags(workFlags)}`;

/** Looks at least this often when an empty one may be the last, ms. */
const COMPLETION_INTERVAL = 100;

export async function run(args: readonly string[]): Promise<void> {
  const options = readWorkOptions(args, process.env);
  const write = (text: string) => void process.stderr.write(text);
  const log = process.stderr.isTTY ? plainLog(write) : jsonLog(write, systemClock.now);
  if (options.connections !== undefined) log('info', '--connections has no effect: one connection carries all calls');

  const jobs = await loadWorkerClasses(options.require, { bigints: options['use-number'] });
  const { queues, concurrency: workers, interval, 'exit-on-complete': completes } = options;
  const backend = await openBackend(options.url);
  try {
    const completion = new Completion();
    const over = Promise.withResolvers<void>();
    if (completes) {
      void completion.done.then(() => {
        log('info', 'nothing is left to do');
        over.resolve();
      });
    }
    const server = new JobServer({
      backend,
      jobs,
      queues,
      workers,
      pollInterval: completes ? Math.min(interval, COMPLETION_INTERVAL) : interval,
      stopDeadline: options['stop-deadline'],
      observe(event) {
        report(event, log);
        completion.see(event);
        if (event.type === 'signal' && event.signal === 'stop') over.resolve();
      },
    });
    await server.start();
    process.stdout.write(banner(backend.name, options, jobs));
    await stopOnSignals([server], {
      signals: ['SIGINT', 'SIGTERM', 'SIGQUIT'],
      onSignal: (signal) => log('info', 'stopping; once more to end at once', { signal }),
      until: over.promise,
    });
  } finally {
    await backend.close();
  }
  log('info', 'stopped');
}

function banner(
  place: string,
  { queues, concurrency }: WorkOptions,
  jobs: readonly { readonly name: string }[],
): string {
  const isStrict = Array.isArray(queues);
  const shown = isStrict ? queueNames(queues) : Object.entries(queues).map(([name, weight]) => `${name}=${weight}`);
  return `Millrace works on ${shown.join(isStrict ? ', then ' : ', ')} with ${concurrency} workers: ${place}
  classes: ${jobs.map(({ name }) => name).join(', ')}
`;
}

function report(event: ServerEvent, log: Log): void {
  switch (event.type) {
    case 'failed': {
      const { job, error, retryAt } = event;
      const facts = { class: job.name, queue: job.queue, id: job.id, attempt: job.attempt, error };
      if (retryAt === undefined) log('error', 'a job failed', facts);
      else log('warn', 'a job failed and is tried again', { ...facts, at: new Date(retryAt).toISOString() });
      return;
    }
    case 'refused': {
      const { job, error, kept } = event;
      const what = kept ? 'a job was discarded' : 'a job cannot end; it is handed back when this server stops';
      log('error', what, { class: job.name, queue: job.queue, id: job.id, error });
      return;
    }
    case 'rescued':
      log('info', 'took over the jobs of a server that died', { count: event.count });
      return;
    case 'signal':
      log('info', event.signal === 'stop' ? 'stopping, as others wish' : 'starting nothing more, as others wish');
      return;
    case 'backend-error':
      if (isError(event.error, 'BACKEND_CLOSED')) return;
      log('warn', 'the backend does not answer; trying again', { doing: event.doing, error: event.error });
      return;
    default:
  }
}
