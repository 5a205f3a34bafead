/**
 * What is measured, of any system. Every run ends with the question whether each job was run once; what was only added is
 * run for that, outside of the time that counts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Figures, quantile } from '../figures.ts';
import { letterOf } from '../letters.ts';
import { cost, fleet, idle, worker } from './redis-measures.ts';
import type { Task } from './spec.ts';
import {
  addInBulk,
  addSingly,
  begin,
  between,
  CALM,
  fill,
  handlerOf,
  mark,
  peak,
  runAll,
  settled,
  unlessStuck,
  warmUp,
} from './stages.ts';
import type { Open } from './system.ts';

/** Of `pick-up`, ms between the start of a job and the next add. */
const GAP = 4;
const IDLE_SECONDS = 5;
/** Of `waiting`, seconds between the adds and the work. */
const REST_SECONDS = 3;

/** Many callers that each wait for their add before the next. */
export async function add(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await addSingly(run, 0, run.warm);
  const began = await mark(run);
  await addSingly(run, run.warm, run.total);
  const over = await mark(run, performance.now());
  const figures = { ...between(began, over, task.jobs), rss: peak() };
  await runAll(run);
  return figures;
}

/** One call with many jobs after the other. */
export async function bulk(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await addInBulk(run, 0, run.warm);
  const began = await mark(run);
  await addInBulk(run, run.warm, run.total);
  const over = await mark(run, performance.now());
  const figures = { ...between(began, over, task.jobs), rss: peak() };
  await runAll(run);
  return figures;
}

/** A backlog, from the end of the warm-up until nothing is left in the store. */
export async function drain(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await fill(run);
  const warm = run.delivery.when(run.warm).then((at) => mark(run, at));
  const [began, over] = await Promise.all([warm, runAll(run).then((at) => mark(run, at))]);
  return { ...between(began, over, task.jobs), rss: peak() };
}

/** Adds and workers in one process at the same time, from the first add until nothing is left in the store. */
export async function endToEnd(open: Open, task: Task): Promise<Figures> {
  const run = await begin(open, task, task.jobs);
  await run.system.work(handlerOf(run));
  await addSingly(run, 0, run.warm);
  await settled(run, run.warm);
  const began = await mark(run);
  await addSingly(run, run.warm, run.total);
  const over = await mark(run, await settled(run, run.total));
  run.delivery.verify();
  return { ...between(began, over, task.jobs), rss: peak() };
}

/**
 * A backlog of `behind`: adding more to its end, then running its first jobs. Does the length of the line cost anything?
 * The figures of the adds begin with `add`. In between there is a rest: what a million adds have left to be done (a log to be
 * copied, a file to be rewritten) is a cost of those adds, which the first of the jobs would be charged with.
 */
export async function waiting(open: Open, task: Task): Promise<Figures> {
  const { jobs, behind = 0 } = task;
  const run = await begin(open, task, jobs + behind);
  const { system, delivery, total } = run;
  const warm = warmUp(jobs);
  if (!system.stop) throw new Error(`${task.system} cannot be stopped, so nobody can tell what it lost`);
  await fill(run, 0, total - jobs);
  const before = await mark(run);
  await fill(run, total - jobs);
  const added = between(before, await mark(run, performance.now()), jobs);
  await pause(Math.min(REST_SECONDS, task.idle ?? REST_SECONDS) * 1000);
  const from = delivery.when(warm).then((at) => mark(run, at));
  const to = delivery.when(warm + jobs).then((at) => mark(run, at));
  await system.work(handlerOf(run));
  const [began, over] = await unlessStuck(run, Promise.all([from, to]));
  const rss = peak();
  await system.stop();
  // Some of those behind were run too. What was run is gone, what is left was not run.
  const left = await system.left();
  if (delivery.runs + left !== total) throw new Error(`${delivery.runs} runs, and ${left} of ${total} jobs left`);
  delivery.verify(left);
  return {
    ...between(began, over, jobs),
    ...Object.fromEntries(Object.entries(added).map(([name, value]) => [`add-${name}`, value])),
    behind,
    rss,
  };
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
  // What a system begins with (threads, connections, first beats) is over before anything is measured.
  const { idle: seconds = IDLE_SECONDS } = task;
  await pause(Math.min(CALM, 2 * seconds) * 1000);
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
  const before = process.cpuUsage();
  await pause(seconds * 1000);
  const { user, system: kernel } = process.cpuUsage(before);
  delivery.verify();
  const ms = times.subarray(warm);
  return { jobs: task.jobs, p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), idle: (user + kernel) / 1e4 / seconds };
}

/** What any system can be asked. */
export const measures: Readonly<Record<string, (open: Open, task: Task) => Promise<Figures>>> = {
  add,
  bulk,
  process: drain,
  'end-to-end': endToEnd,
  waiting,
  'pick-up': pickUp,
};

/** What only those with a Redis server can. `worker` is a part of `fleet`. */
export const redisMeasures: typeof measures = { cost, idle, fleet, worker };
