/** A job server as a program: `node square-server.ts URL`. Says that it is ready, and stops on SIGTERM. */
import { defineJob, JobServer, openBackend, stopOnSignals } from '../../src/index.ts';

export const square = defineJob({ name: 'square', run: (n: number) => n * n });

/** Goes on until it is stopped. */
export const stuck = defineJob({
  name: 'stuck',
  queue: 'stuck',
  run(_: null, job): Promise<void> {
    job.progress('begun');
    const { promise, reject } = Promise.withResolvers<void>();
    const timer = setInterval(() => undefined, 1_000);
    job.signal.addEventListener('abort', () => {
      clearInterval(timer);
      reject(job.signal.reason);
    });
    return promise;
  },
});

const [, program, url] = process.argv;
if (program === import.meta.filename && url !== undefined) {
  const backend = await openBackend(url);
  const server = new JobServer({ backend, jobs: [square, stuck] });
  await server.start();
  process.send?.('ready');
  await stopOnSignals([server, { stop: () => backend.close() }], { signals: ['SIGTERM'] });
  process.disconnect?.();
}
