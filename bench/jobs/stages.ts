/** What measurements are made of: a run of one system, and what can be done with it. Nothing here looks at the clock but `mark`. */
import { setTimeout as pause } from 'node:timers/promises';
import { Delivery } from '../delivery.ts';
import type { Figures } from '../figures.ts';
import { type Letter, letterOf, lettersOf } from '../letters.ts';
import { Meter } from './meter.ts';
import type { Task } from './spec.ts';
import type { Handler, Open, System } from './system.ts';

/** Seconds until a system that was started does nothing but wait. */
export const CALM = 10;

/** Calls of `add` under way at any time. */
export const IN_FLIGHT = 200;
/** Jobs in one call of `addMany`. */
export const BULK = 1_000;

const PATIENCE = 5_000;
/** ms between two looks at what is left. */
const LOOK = 1;

export interface Run {
  readonly system: System;
  readonly delivery: Delivery;
  /** The first so many jobs do not count. */
  readonly warm: number;
  readonly total: number;
  readonly patience: number;
  /** Of the Redis server, where there is one. */
  readonly meter: Meter | undefined;
}

/** Jobs that make code hot before the clock runs. More would only take time. */
export const warmUp = (jobs: number) => Math.min(5_000, Math.ceil(jobs / 10));

export async function begin(open: Open, task: Task, jobs: number, most = Number.POSITIVE_INFINITY): Promise<Run> {
  const warm = Math.min(most, warmUp(task.jobs));
  const total = warm + jobs;
  const { patience = PATIENCE, redis } = task;
  const meter = redis === undefined ? undefined : await Meter.open(redis);
  return { system: await open(task), delivery: new Delivery(total), warm, total, patience, meter };
}

/** A moment, and what was used by then, in µs of CPU. */
export interface Mark {
  readonly at: number;
  /** By this process. */
  readonly own: number;
  /** By the Redis server, if there is one. */
  readonly redis: number | undefined;
}

/** @param at when a moment that has just passed is meant; default: when all is known */
export async function mark({ meter }: Run, at?: number): Promise<Mark> {
  const redis = (await meter?.usage())?.cpu;
  const { user, system } = process.cpuUsage();
  return { at: at ?? performance.now(), own: user + system, redis };
}

/** What `jobs` jobs took between two moments: of the clock, and CPU per job in µs. */
export function between(from: Mark, to: Mark, jobs: number): Figures {
  return {
    jobs,
    perSecond: (jobs * 1000) / (to.at - from.at),
    cpu: (to.own - from.own) / jobs,
    ...(from.redis !== undefined && to.redis !== undefined && { redis: (to.redis - from.redis) / jobs }),
  };
}

/** The numbers `from` to `to`, the latter excluded. */
export async function addSingly({ system }: Run, from: number, to: number): Promise<void> {
  let next = from;
  const caller = async () => {
    while (next < to) await system.add(letterOf(next++));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

export async function addInBulk({ system }: Run, from: number, to: number): Promise<void> {
  if (!system.addMany) throw new Error('this system has no call for many jobs');
  for (let next = from; next < to; next += BULK) await system.addMany(lettersOf(next, Math.min(to, next + BULK)));
}

/** Adds jobs in the faster way the system has. Default: all of them. */
export function fill(run: Run, from = 0, to = run.total): Promise<void> {
  return run.system.addMany ? addInBulk(run, from, to) : addSingly(run, from, to);
}

/** Counts each run, and does nothing else. */
export function handlerOf({ delivery }: Run): Handler {
  return async (letter: Letter) => delivery.arrive(letter);
}

/** Runs everything that waits; resolves to the moment at which nothing was left. Throws for what is lost or doubled. */
export async function runAll(
  run: Run,
  work: () => Promise<void> = () => run.system.work(handlerOf(run)),
): Promise<number> {
  const left = await run.system.left();
  if (left !== run.total) throw new Error(`${left} jobs wait where ${run.total} were added`);
  await work();
  const over = await settled(run, run.total);
  run.delivery.verify();
  return over;
}

/** Resolves to the moment at which so many were run and nothing was left in the store. */
export async function settled(run: Run, runs: number): Promise<number> {
  await unlessStuck(run, run.delivery.when(runs));
  while ((await run.system.left()) > 0) await pause(LOOK);
  return performance.now();
}

/** Rejects when nothing is left to run and yet not everything came: waiting longer would be of no use. */
export async function unlessStuck<T>({ system, delivery, patience }: Run, awaited: Promise<T>): Promise<T> {
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

/** The most memory that this process ever had, MB. */
export const peak = () => process.resourceUsage().maxRSS / 1024;
