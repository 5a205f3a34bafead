/**
 * The job server of the goworker study, told again: worker classes are registered by name, a client enqueues with
 * arguments, jobs run in ORDER, a class that nobody registered and a worker that panics stop nothing.
 *
 *   node examples/job-server.ts                            runs the story in about ten seconds; Ctrl-C ends it cleanly
 *   node examples/job-server.ts sqlite:jobs.db             the same with durable jobs
 *   node examples/job-server.ts resque:redis://localhost   the same where clients and workers in other languages share the queue
 *
 * To run them in PARALLEL, change `mode`.
 */
import {
  type Backend,
  Client,
  type Clock,
  isError,
  JobServer,
  openBackend,
  type ServerEvent,
  stopOnSignals,
  systemClock,
  workerClass,
} from '../src/index.ts';

/** The story's jobs are tried once: what fails is told, not repeated. */
const once = { maxAttempts: 1 };

export function jobServer(options: { backend: Backend; clock: Clock; print: (line: string) => void }) {
  const { backend, clock, print } = options;

  const observe = (event: ServerEvent) => {
    if (event.type === 'claimed' && event.count === 0) print('[JobServer] [poll] polling');
    if (event.type !== 'failed') return;
    if (isError(event.error, 'JOB_UNKNOWN')) print(`[JobServer] [poll] ${event.job.name} not found`);
    else print(`[JobServer] [run] Panicking ${event.error.message}`);
  };
  const server = new JobServer({ backend, clock, observe, mode: 'order', pollInterval: 2_000 });

  const worker =
    (title: string) =>
    (_queue: string, ...args: string[]) => {
      print(`......${title}() begin......`);
      for (const arg of args) print(` args: ${arg}`);
      print(`......${title}() end......`);
    };
  const mail = server.registerWorkerClass('mail', worker('mail'), once);
  const log = server.registerWorkerClass('log', worker('sendLog'), once);
  const exception = server.registerWorkerClass(
    'exception',
    (_queue, _text: string) => {
      print('......panic() begin......');
      throw new Error('test exception');
    },
    once,
  );
  // A client may know a class that no server here has registered.
  const unregistered = workerClass('test_notfound', once);

  const client = new Client({ backend, clock });

  const pause = (ms: number) => new Promise<void>((resolve) => clock.timer(ms, resolve));
  const story = async () => {
    await pause(2_000);
    // Calls of the same moment travel together and keep their order.
    await Promise.all([
      client.enqueue(mail, ['xcl_168@aliyun.com', 'sub', 'body']),
      client.enqueue(unregistered, ['aaaaaaaaaaaaaaaaaaa']),
      client.enqueue(log, ['x.log', 'c.log', 'l.log']),
    ]);
    await pause(1_000);
    await client.enqueue(exception, ['try{}exception{}']);
    await pause(5_000);
    await client.enqueue(mail, ['xcl_168@aliyun.com2', 'sub2', 'body2']);
    await client.close();
  };
  return { server, story };
}

if (import.meta.main) {
  const backend = await openBackend(process.argv[2] ?? 'memory:');
  const { server, story } = jobServer({ backend, clock: systemClock, print: console.log });
  await server.start();
  const ended = stopOnSignals([server], { onSignal: () => console.log('[JobServer] [poll] quit') });
  await story();
  await ended;
  await backend.close();
}
