/** What is measured of a system on a Redis server and of nothing else: what the server pays, and several processes on it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Figures } from '../figures.ts';
import { type Letter, letterOf } from '../letters.ts';
import type { Meter } from './meter.ts';
import type { Task } from './spec.ts';
import { addSingly, begin, between, CALM, fill, handlerOf, mark, type Run, runAll, settled } from './stages.ts';
import type { Open } from './system.ts';

const IDLE_SECONDS = 10;

/** Letters that a worker of a fleet counts before it says so, and ms after which it says so anyway. */
const REPORT = 500;
const REPORT_AFTER = 5;

function meterOf({ meter }: Run): Meter {
  if (!meter) throw new Error('this is measured on a Redis server only');
  return meter;
}

/** What a job costs the server: CPU to add it and to run it, memory while it waits. */
export async function cost(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  const meter = meterOf(run);
  const empty = await meter.usage();
  await addSingly(run, 0, run.warm);
  const began = await mark(run);
  await addSingly(run, run.warm, run.total);
  const added = between(began, await mark(run, performance.now()), task.jobs);
  const full = await meter.usage();
  const warm = run.delivery.when(run.warm).then((at) => mark(run, at));
  const [from, to] = await Promise.all([warm, runAll(run).then((at) => mark(run, at))]);
  const { redis: process = 0 } = between(from, to, task.jobs);
  const { redis: add = 0 } = added;
  return { jobs: task.jobs, add, process, redis: add + process, bytes: (full.memory - empty.memory) / run.total };
}

/** A process whose workers wait, with nothing to do: what it costs the server and itself, per second. */
export async function idle(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, 1, 0);
  const meter = meterOf(run);
  const { idle: seconds = IDLE_SECONDS } = task;
  await run.system.work(handlerOf(run));
  await run.system.add(letterOf(0));
  await settled(run, run.total);
  await pause(Math.min(CALM, seconds) * 1000);
  const began = await meter.usage();
  const before = process.cpuUsage();
  await pause(seconds * 1000);
  const { user, system } = process.cpuUsage(before);
  const over = await meter.usage();
  run.delivery.verify();
  return {
    jobs: task.jobs,
    // One command, and one request, was the first of the two questions.
    commands: Math.max(0, over.commands - began.commands - 1) / seconds,
    requests: Math.max(0, over.requests - began.requests - 1) / seconds,
    redis: (over.cpu - began.cpu) / 1e4 / seconds,
    idle: (user + system) / 1e4 / seconds,
  };
}

/**
 * A backlog, worked on by processes that do nothing else. This one adds it, counts, and looks whether something is left. The
 * clock runs from the end of the warm-up, as far as it was told of by then, until nothing is left in the store.
 */
export async function fleet(open: Open, task: Task): Promise<Figures> {
  const { jobs, processes = 1, busy = 0 } = task;
  const run = await begin(open, task, jobs);
  await fill(run);
  const work = JSON.stringify({ ...task, measure: 'worker' });
  const child = fileURLToPath(
    new URL(`./child${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url),
  );
  const workers = Array.from({ length: processes }, () =>
    fork(child, [work], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
  );
  const ends = workers.map((worker) => once(worker, 'exit'));
  const lost = Promise.race(ends).then(([code, signal]) => {
    throw new Error(`a worker ended with ${signal ?? code}`);
  });
  lost.catch(() => {});
  try {
    const ready = workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          worker.on('message', (message: 'ready' | readonly number[]) => {
            if (message === 'ready') return resolve();
            for (const number of message) run.delivery.arrive(letterOf(number));
          });
        }),
    );
    await Promise.race([Promise.all(ready), lost]);
    const warm = run.delivery.when(run.warm).then((at) => mark(run, at));
    const start = async () => {
      for (const worker of workers) worker.send('go');
    };
    const all = runAll(run, start).then((at) => mark(run, at));
    const [began, over] = await Promise.race([Promise.all([warm, all]), lost]);
    const figures = between(began, over, jobs);
    const { redis = 0, perSecond = 0 } = figures;
    return { jobs, perSecond, redis, load: (redis * perSecond) / 1e4, processes, busy };
  } finally {
    for (const worker of workers) worker.kill('SIGKILL');
    // Only then what they used counts as this run's.
    await Promise.all(ends);
  }
}

/** One process of a fleet. It never ends by itself, but with the process that started it. */
export async function worker(open: Open, { busy = 0, ...task }: Task): Promise<Figures> {
  process.once('disconnect', () => process.exit(0));
  const system = await open(task);
  let numbers: number[] = [];
  const report = () => {
    // Nobody listens any more: this process ends as well.
    if (numbers.length > 0) process.send?.(numbers, undefined, undefined, (error) => error && process.exit(0));
    numbers = [];
  };
  const go = new Promise((resolve) => process.once('message', resolve));
  process.send?.('ready');
  await go;
  await system.work(async (letter: Letter) => {
    work(busy);
    if (numbers.push(Number(letter.number)) === REPORT) report();
    else if (numbers.length === 1) setTimeout(report, REPORT_AFTER);
  });
  return new Promise(() => {});
}

let kept = 1;

/** The same work however long the process is kept from it. */
function work(turns: number): void {
  for (let i = 0; i < turns; i++) kept = Math.imul(kept, 48_271) ^ i;
}
