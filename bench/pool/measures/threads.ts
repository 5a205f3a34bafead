/** Pools of threads: tasks a second, the round trip of one, and how soon an aborted one makes room. */
import { type Figures, quantile, type Spec } from '../figures.ts';
import { exchanges } from '../payloads.ts';
import { openThreads, type ThreadPool } from '../threads.ts';
import { collectGarbage, expect, timed } from './common.ts';

/** Tasks before the clock runs; enough for both sides to be compiled. */
const WARM_UP = 4_000;

/** Submits all tasks, then waits for all. CPU is that of the whole process, all threads. */
export async function threads(spec: Spec): Promise<Figures> {
  const { jobs, task = 'add' } = spec;
  const pool = await open(spec);
  await answersTo(pool, task, Math.min(WARM_UP, jobs));
  collectGarbage();
  const before = process.cpuUsage();
  const seconds = await answersTo(pool, task, jobs);
  const { user, system } = process.cpuUsage(before);
  return { jobs, perSecond: jobs / seconds, cpu: (user + system) / jobs };
}

/** The same with tasks of some ms, where warming up takes few. */
export async function cpu(spec: Spec): Promise<Figures> {
  const { jobs, threads: count = 1 } = spec;
  const pool = await open(spec);
  await answersTo(pool, 'spin', Math.min(20, jobs));
  const seconds = await answersTo(pool, 'spin', jobs);
  return { jobs, perSecond: jobs / seconds, msPerTask: (seconds * 1000 * count) / jobs };
}

/** One task at a time, the next when the answer is there; µs. */
export async function roundTrip(spec: Spec): Promise<Figures> {
  const { jobs, task = 'add' } = spec;
  const pool = await open(spec);
  const { payload } = exchangeOf(task);
  for (let i = 0; i < Math.min(WARM_UP, jobs); i++) await pool.run(payload(i));
  const times = new Float64Array(jobs);
  for (let i = 0; i < jobs; i++) {
    const job = payload(i);
    const began = performance.now();
    const answer = await pool.run(job);
    times[i] = (performance.now() - began) * 1000;
    check(task, [answer], i);
  }
  return { jobs, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** From the abort of a task that runs on the only thread to the answer of the one that waits behind it; ms. */
export async function abort(spec: Spec): Promise<Figures> {
  const { jobs } = spec;
  const pool = await open(spec);
  await pool.run({});
  const times = new Float64Array(jobs);
  for (let i = 0; i < jobs; i++) {
    const started = new SharedArrayBuffer(4);
    const controller = new AbortController();
    const running = pool.run({ started }, controller.signal).then(
      () => 'ended',
      () => 'aborted',
    );
    await Atomics.waitAsync(new Int32Array(started), 0, 0).value;
    const next = pool.run({});
    const began = performance.now();
    controller.abort(new Error('aborted by the bench'));
    await next;
    times[i] = performance.now() - began;
    await running;
  }
  return { jobs, ms: quantile(times, 0.5), msWorst: quantile(times, 1) };
}

function open({ pool, task = 'add', threads: count = 1, settings = {} }: Spec): Promise<ThreadPool> {
  return openThreads(pool, task, count, settings);
}

/** Seconds from the first submit to the last answer. Payloads are made before. */
async function answersTo(pool: ThreadPool, task: string, jobs: number): Promise<number> {
  const { payload } = exchangeOf(task);
  const payloads = Array.from({ length: jobs }, (_, i) => payload(i));
  let answers: readonly unknown[] = [];
  const seconds = await timed(async () => {
    answers = pool.backlog ? await pool.backlog(payloads) : await Promise.all(payloads.map((each) => pool.run(each)));
  });
  // Threads that acknowledge by number have no answers to check; that all were counted is what ended the wait.
  if (answers.length > 0) check(task, answers, 0);
  return seconds;
}

/** Answers in any order: their sum tells whether each is there once. */
function check(task: string, answers: readonly unknown[], first: number): void {
  const { check: numberOf } = exchangeOf(task);
  if (!numberOf) return;
  const sum = answers.reduce((total: number, answer) => total + numberOf(answer), 0);
  const n = answers.length;
  expect('sum of the answers', sum, n * (first + 1) + (n * (n - 1)) / 2);
}

function exchangeOf(task: string) {
  const exchange = exchanges[task];
  if (!exchange) throw new Error(`no payload for the task "${task}"`);
  return exchange;
}
