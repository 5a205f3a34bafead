/**
 * Pools of functions in one process, as the bench sees them: a body, a concurrency, and a `submit` that promises its end.
 *
 * Each is used as its manual shows, with nothing around it but one call. The body is given once because two of them take
 * it once; the others get the same function with every job.
 */
import { load } from './peers.ts';

export type Body = () => Promise<void>;

export interface LocalPool {
  /** Settles when the job has ended. Only some listen to a signal. */
  submit(signal?: AbortSignal): Promise<unknown>;
  /** Submits many and waits for all, where that is not `Promise.all`. */
  backlog?(jobs: number): Promise<void>;
}

/** More than any run makes wait. */
const ROOM = 1_000_000;

export const localPools: Readonly<Record<string, (body: Body, concurrency: number) => Promise<LocalPool>>> = {
  bare: async (body) => ({ submit: body }),

  millrace: async (body, concurrency) => {
    const { Pool } = await import('../../src/pool/pool.ts');
    const pool = new Pool({ workers: concurrency, queue: { size: ROOM, whenFull: 'wait' } });
    return { submit: (signal) => (signal ? pool.submit(body, { signal }) : pool.submit(body)).done };
  },

  'fastq.promise': async (body, concurrency) => {
    const { default: fastq } = await load('fastq');
    const queue = fastq.promise(body, concurrency);
    return { submit: () => queue.push(0) };
  },

  'p-limit': async (body, concurrency) => {
    const { default: pLimit } = await load('p-limit');
    const limit = pLimit(concurrency);
    return { submit: () => limit(body) };
  },

  'p-queue': async (body, concurrency) => {
    const { default: PQueue } = await load('p-queue');
    const queue = new PQueue({ concurrency });
    return { submit: (signal) => (signal ? queue.add(body, { signal }) : queue.add(body)) };
  },

  async: async (body, concurrency) => {
    const { default: async } = await load('async');
    const queue = async.queue(body, concurrency);
    return {
      submit: () => queue.push(0),
      backlog: (jobs) =>
        new Promise((resolve) => {
          let left = jobs;
          const ended = () => {
            if (--left === 0) resolve();
          };
          for (let i = 0; i < jobs; i++) queue.push(i, ended);
        }),
    };
  },

  bottleneck: async (body, concurrency) => {
    const { default: Bottleneck } = await load('bottleneck');
    const limiter = new Bottleneck({ maxConcurrent: concurrency });
    return { submit: () => limiter.schedule(body) };
  },

  cockatiel: async (body, concurrency) => {
    const { bulkhead } = await load('cockatiel');
    const policy = bulkhead(concurrency, ROOM);
    return { submit: () => policy.execute(body) };
  },
};

/** Throws for a name that sections.ts should not have. */
export function openLocal(name: string, body: Body, concurrency: number): Promise<LocalPool> {
  const open = localPools[name];
  if (!open) throw new Error(`no pool of functions is called "${name}"`);
  return open(body, concurrency);
}
