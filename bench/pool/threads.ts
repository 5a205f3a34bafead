/**
 * Pools of threads, as the bench sees them: a task of tasks/, a number of threads, and a `run` that promises the answer.
 *
 * `settings` are the pool's own options and override what stands here. None is left with a queue that refuses.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Pool } from '../../src/pool/pool.ts';
import { load } from './peers.ts';

export interface ThreadPool {
  run(payload: unknown, signal?: AbortSignal): Promise<unknown>;
  /** Posts many and gives all answers, where that is not `Promise.all`. */
  backlog?(payloads: readonly unknown[]): Promise<readonly unknown[]>;
  close?(): unknown;
}

type Settings = Readonly<Record<string, unknown>>;
type Open = (task: string, threads: number, settings: Settings) => Promise<ThreadPool>;

/** More than any run makes wait. */
const ROOM = 1_000_000;
/** Batches that a bare thread has before it has answered the first: enough to be never without. */
const WINDOW = 8;

interface BareSettings {
  readonly batch?: number;
  /** Default 8 batches, or 128 single jobs. */
  readonly window?: number;
  /** Answers a batch with the number of its jobs. */
  readonly acknowledge?: boolean;
}

const urlOf = (task: string) => new URL(`./tasks/${task}.ts`, import.meta.url);
const pathOf = (task: string) => fileURLToPath(urlOf(task));

export const threadPools: Readonly<Record<string, Open>> = {
  /** No pool: posts and answers, `batch` jobs in each message, `window` messages under way. No promise per job. */
  bare: async (task, threads, settings) => {
    const { batch, window = batch ? WINDOW : 16 * WINDOW, acknowledge } = settings as BareSettings;
    const data = { task: urlOf(task).href, batched: batch !== undefined, acknowledge };
    const workers = Array.from({ length: threads }, () => new Worker(urlOf('bare'), { workerData: data }));
    const [first] = workers as [Worker];
    let answered: ((answer: unknown) => void) | undefined;
    return {
      run: (payload) => {
        // One listener for all, made when first needed: adding one per message would be part of every round trip.
        if (!answered) first.on('message', (answer) => answered?.(answer));
        return new Promise((resolve) => {
          answered = resolve;
          first.postMessage(payload);
        });
      },
      backlog: (payloads) => postAll(workers, payloads, window, batch),
      close: () => Promise.all(workers.map((worker) => worker.terminate())),
    };
  },

  millrace: async (task, threads, settings) => {
    const worker = urlOf(task);
    const pool = new Pool<(payload: unknown) => unknown>({
      worker,
      workers: threads,
      queue: { size: ROOM },
      ...settings,
    });
    await pool.warm();
    return { run: (payload, signal) => pool.submit(payload, signal && { signal }).done };
  },

  piscina: async (task, threads, settings) => {
    const { Piscina } = await load('piscina');
    return runner(new Piscina({ filename: pathOf(task), minThreads: threads, maxThreads: threads, ...settings }));
  },

  tinypool: async (task, threads, settings) => {
    const { default: Tinypool } = await load('tinypool');
    return runner(new Tinypool({ filename: pathOf(task), minThreads: threads, maxThreads: threads, ...settings }));
  },

  workerpool: async (task, threads, settings) => {
    const { default: workerpool } = await load('workerpool');
    const size = { minWorkers: threads, maxWorkers: threads };
    const pool = workerpool.pool(pathOf('workerpool'), { ...size, workerType: 'thread', ...settings });
    return {
      run: (payload, signal) => {
        const answer = pool.exec(task, [payload]);
        // In braces: an event target rethrows what a promise that its listener returns rejects with.
        const cancel = () => {
          answer.cancel();
        };
        signal?.addEventListener('abort', cancel, { once: true });
        return answer;
      },
    };
  },

  poolifier: async (task, threads, settings) => {
    const { FixedThreadPool } = await load('poolifier');
    const pool = new FixedThreadPool(threads, pathOf('poolifier'), settings);
    return { run: (payload) => pool.execute(payload, task) };
  },
};

/** Throws for a name that sections.ts should not have. */
export function openThreads(name: string, task: string, threads: number, settings: Settings): Promise<ThreadPool> {
  const open = threadPools[name];
  if (!open) throw new Error(`no pool of threads is called "${name}"`);
  return open(task, threads, settings);
}

function runner(pool: { run(payload: unknown, options?: { signal: AbortSignal }): Promise<unknown> }): ThreadPool {
  return { run: (payload, signal) => (signal ? pool.run(payload, { signal }) : pool.run(payload)) };
}

/** Each thread has `window` messages under way, and gets one more per answer. */
function postAll(workers: readonly Worker[], payloads: readonly unknown[], window: number, batch?: number) {
  const answers: unknown[] = [];
  let next = 0;
  let left = payloads.length;
  const { promise, resolve } = Promise.withResolvers<readonly unknown[]>();
  const post = (worker: Worker) => {
    if (next >= payloads.length) return;
    worker.postMessage(batch ? payloads.slice(next, next + batch) : payloads[next]);
    next += batch ?? 1;
  };
  const listeners = workers.map((worker) => {
    const listener = (message: unknown) => {
      if (!batch) answers.push(message);
      else if (Array.isArray(message)) for (const answer of message) answers.push(answer);
      left -= !batch ? 1 : Array.isArray(message) ? message.length : (message as number);
      if (left === 0) resolve(answers);
      else post(worker);
    };
    worker.on('message', listener);
    return listener;
  });
  for (let i = 0; i < window; i++) for (const worker of workers) post(worker);
  return promise.finally(() => {
    workers.forEach((worker, i) => {
      worker.off('message', listeners[i] as () => void);
    });
  });
}
