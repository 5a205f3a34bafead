/**
 * What is measured, of any system. Every run ends with the question whether each job was run once; what was only added is
 * run for that, outside of the time that counts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Delivery } from '../delivery.ts';
import { type Figures, quantile } from '../figures.ts';
import { type Letter, letterOf, lettersOf } from '../letters.ts';
import type { Task } from './spec.ts';
import type { Handler, Open, System } from './system.ts';

/** Calls of `add` under way at any time. */
export const IN_FLIGHT = 200;
/** Jobs in one call of `addMany`. */
export const BULK = 1_000;

/** Of `pick-up`, ms between the start of a job and the next add. */
const GAP = 4;
const IDLE_SECONDS = 5;

const PATIENCE = 5_000;
/** ms between two looks at what is left. */
const LOOK = 1;

/** Jobs that make code hot before the clock runs. More would only take time. */
export const warmUp = (jobs: number) => Math.min(5_000, Math.ceil(jobs / 10));

/** `IN_FLIGHT` callers that each wait for their add before the next. */
export async function add(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await addSingly(run, 0, run.warm);
  const began = performance.now();
  await addSingly(run, run.warm, run.total);
  const figures = { ...rateOf(task, began, performance.now()), rss: peak() };
  await runAll(run);
  return figures;
}

/** One call with `BULK` jobs after the other. */
export async function bulk(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await addInBulk(run, 0, run.warm);
  const began = performance.now();
  await addInBulk(run, run.warm, run.total);
  const figures = { ...rateOf(task, began, performance.now()), rss: peak() };
  await runAll(run);
  return figures;
}

/** A backlog, from the end of the warm-up until nothing is left in the store. */
export async function drain(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await fill(run);
  const [began, over] = await Promise.all([run.delivery.when(run.warm), runAll(run)]);
  return { ...rateOf(task, began, over), rss: peak() };
}

/** Adds and workers in one process at the same time, from the first add until nothing is left in the store. */
export async function endToEnd(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await run.system.work(handlerOf(run));
  await addSingly(run, 0, run.warm);
  await settled(run, run.warm);
  const began = performance.now();
  await addSingly(run, run.warm, run.total);
  const over = await settled(run, run.total);
  run.delivery.verify();
  return { ...rateOf(task, began, over), rss: peak() };
}

/** The first jobs of a backlog with `behind` more behind them: does the length of the line cost anything? */
export async function waiting(open: Open, task: Task): Promise<Figures> {
  const { jobs, behind = 0 } = task;
  const run = await begin(open, task, jobs + behind);
  const { system, delivery, total } = run;
  const warm = warmUp(jobs);
  if (!system.stop) throw new Error(`${task.system} cannot be stopped, so nobody can tell what it lost`);
  await fill(run);
  const marks = Promise.all([delivery.when(warm), delivery.when(warm + jobs)]);
  await system.work(handlerOf(run));
  const [began, over] = await unlessStuck(run, marks);
  const rss = peak();
  await system.stop();
  // Some of those behind were run too. What was run is gone, what is left was not run.
  const left = await system.left();
  if (delivery.runs + left !== total) throw new Error(`${delivery.runs} runs, and ${left} of ${total} jobs left`);
  delivery.verify(left);
  return { ...rateOf(task, began, over), behind, rss };
}

/** From before the add to the handler's entry, one job at a time; then the CPU of doing nothing. */
export async function pickUp(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs, 50);
  const { system, delivery, warm, total } = run;
  const times = new Float64Array(total);
  await system.work(async (letter) => {
    const number = Number(letter.number);
    times[number] = performance.now() - (times[number] ?? 0);
    delivery.arrive(letter);
  });
  const oneByOne = async () => {
    for (let number = 0; number < total; number++) {
      const letter = letterOf(number);
      const arrived = delivery.when(number + 1);
      times[number] = performance.now();
      await system.add(letter);
      await arrived;
      await pause(GAP);
    }
  };
  await unlessStuck(run, oneByOne());
  await settled(run, total);
  const idle = task.idle ?? IDLE_SECONDS;
  const before = process.cpuUsage();
  await pause(idle * 1000);
  const { user, system: kernel } = process.cpuUsage(before);
  delivery.verify();
  const ms = times.subarray(warm);
  return { jobs: task.jobs, p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), idle: (user + kernel) / 1e4 / idle };
}

export const measures: Readonly<Record<string, (open: Open, task: Task) => Promise<Figures>>> = {
  add,
  bulk,
  process: drain,
  'end-to-end': endToEnd,
  waiting,
  'pick-up': pickUp,
};

interface Run {
  readonly system: System;
  readonly delivery: Delivery;
  /** The first so many jobs do not count. */
  readonly warm: number;
  readonly total: number;
  readonly patience: number;
}

async function begin(open: Open, task: Task, jobs: number, most = Number.POSITIVE_INFINITY): Promise<Run> {
  const warm = Math.min(most, warmUp(task.jobs));
  const total = warm + jobs;
  const { patience = PATIENCE } = task;
  return { system: await open(task), delivery: new Delivery(total), warm, total, patience };
}

/** The numbers `from` to `to`, the latter excluded. */
async function addSingly({ system }: Run, from: number, to: number): Promise<void> {
  let next = from;
  const caller = async () => {
    while (next < to) await system.add(letterOf(next++));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

async function addInBulk({ system }: Run, from: number, to: number): Promise<void> {
  if (!system.addMany) throw new Error('this system has no call for many jobs');
  for (let next = from; next < to; next += BULK) await system.addMany(lettersOf(next, Math.min(to, next + BULK)));
}

/** Adds all jobs, in the faster way the system has. */
function fill(run: Run): Promise<void> {
  return run.system.addMany ? addInBulk(run, 0, run.total) : addSingly(run, 0, run.total);
}

/** Counts each run, and does nothing else. */
function handlerOf({ delivery }: Run): Handler {
  return async (letter: Letter) => delivery.arrive(letter);
}

/** Runs everything that waits; resolves to the moment at which nothing was left. Throws for what is lost or doubled. */
async function runAll(run: Run): Promise<number> {
  const left = await run.system.left();
  if (left !== run.total) throw new Error(`${left} jobs wait where ${run.total} were added`);
  await run.system.work(handlerOf(run));
  const over = await settled(run, run.total);
  run.delivery.verify();
  return over;
}

/** Resolves to the moment at which so many were run and nothing was left in the store. */
async function settled(run: Run, runs: number): Promise<number> {
  await unlessStuck(run, run.delivery.when(runs));
  while ((await run.system.left()) > 0) await pause(LOOK);
  return performance.now();
}

/** Rejects when nothing is left to run and yet not everything came: waiting longer would be of no use. */
async function unlessStuck<T>({ system, delivery, patience }: Run, awaited: Promise<T>): Promise<T> {
  const over = new AbortController();
  const watch = async (): Promise<never> => {
    for (;;) {
      const { runs } = delivery;
      await pause(patience, undefined, { signal: over.signal });
      if (delivery.runs > runs || (await system.left()) > 0) continue;
      delivery.verify();
      throw new Error(`stuck after ${runs} runs with nothing left to run`);
    }
  };
  try {
    return await Promise.race([awaited, watch()]);
  } finally {
    over.abort();
  }
}

/** Of the jobs that count. */
const rateOf = ({ jobs }: Task, began: number, over: number) => ({ jobs, perSecond: (jobs * 1000) / (over - began) });

/** The most memory that this process ever had, MB. */
const peak = () => process.resourceUsage().maxRSS / 1024;
