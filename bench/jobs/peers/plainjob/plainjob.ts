/**
 * plainjob on better-sqlite3: WAL with `synchronous=NORMAL`, its own choice. Its `add` is a call without a promise, its
 * worker runs jobs one by one, and it keeps what is done.
 */
import { join } from 'node:path';
import type { Letter } from '../../../letters.ts';
import type { Open } from '../../system.ts';

interface Plainjob {
  better(database: object): object;
  defineQueue(options: object): {
    add(type: string, data: Letter): unknown;
    addMany(type: string, data: readonly Letter[]): unknown;
    countJobs(filter: { status: number }): number;
  };
  defineWorker(
    type: string,
    run: (job: { readonly data: string }) => Promise<void>,
    options: object,
  ): { start(): Promise<void>; stop(): Promise<void> };
}

const PENDING = 0;
const PROCESSING = 1;

export const open: Open = async ({ folder, settings }) => {
  const { better, defineQueue, defineWorker }: Plainjob = await import('plainjob' as string);
  const { default: Database } = await import('better-sqlite3' as string);
  const silent = { error: console.error, warn: console.error, info() {}, debug() {} };
  const queue = defineQueue({ connection: better(new Database(join(folder, 'jobs.db'))), logger: silent });
  return {
    add: (letter) => queue.add('letter', letter),
    addMany: (letters) => queue.addMany('letter', letters),
    async work(handler) {
      const run = (job: { readonly data: string }) => handler(JSON.parse(job.data));
      void defineWorker('letter', run, { queue, logger: silent, ...settings }).start();
    },
    left: () => queue.countJobs({ status: PENDING }) + queue.countJobs({ status: PROCESSING }),
  };
};
