/** What a long queue costs: bytes per job that waits, time per job by length of the queue, time per cancelled job. */

import { setTimeout as pause } from 'node:timers/promises';
import { median } from '../../table.ts';
import type { Figures, Spec } from '../figures.ts';
import { type LocalPool, openLocal } from '../local.ts';
import { backlogOf, CONCURRENCY, collectGarbage, counter, expect, gate, timed } from './common.ts';

/** Bytes per waiting job, its promise included, with a tenth of `jobs` in the queue and with all. Needs `--expose-gc`. */
export async function memory({ pool: name, jobs }: Spec): Promise<Figures> {
  if (!globalThis.gc) throw new Error('bytes can only be counted with --expose-gc');
  const { body, calls } = gate();
  const pool = await openLocal(name, body, CONCURRENCY);
  // The list is made before the first look at the heap, so its own 8 bytes per job are not counted.
  const promises: (Promise<unknown> | undefined)[] = new Array(jobs).fill(undefined);
  const running = await occupy(pool, calls);
  const before = heap();
  const fill = (from: number, to: number) => {
    for (let i = from; i < to; i++) promises[i] = pool.submit();
  };
  const tenth = Math.ceil(jobs / 10);
  fill(0, tenth);
  const bytesAtTenth = (heap() - before) / tenth;
  fill(tenth, jobs);
  const bytes = (heap() - before) / jobs;
  expect('bodies started', calls(), CONCURRENCY);
  expect('promises held', promises.length + running.length, jobs + CONCURRENCY);
  return { jobs, bytes, bytesAtTenth };
}

/** Makes every worker busy, so that what comes next waits. */
async function occupy(pool: LocalPool, started: () => number): Promise<Promise<unknown>[]> {
  const running = Array.from({ length: CONCURRENCY }, () => pool.submit());
  // Some start a body some turns later, bottleneck some ms.
  while (started() < CONCURRENCY) await pause(1);
  return running;
}

function heap(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** ns per job, from the first submit to the last end. */
export function linear({ pool: name, jobs }: Spec): Promise<Figures> {
  return bySize(jobs, async (size) => {
    const { body, calls } = counter();
    const pool = await openLocal(name, body, CONCURRENCY);
    collectGarbage();
    const seconds = await timed(() => backlogOf(pool, size));
    expect('bodies run', calls(), size);
    return (seconds / size) * 1e9;
  });
}

/** ns per cancelled job, when a tenth of the queue is aborted in random order, each by a signal of its own. */
export function cancel({ pool: name, jobs }: Spec): Promise<Figures> {
  return bySize(jobs, (size) => cancelTenth(name, size));
}

/** What `one` gives for queues of a hundredth of `jobs`, a tenth, and all. Short ones are repeated. */
async function bySize(jobs: number, one: (size: number) => Promise<number>): Promise<Figures> {
  const many = async (times: number, size: number) => {
    const values: number[] = [];
    for (let i = 0; i < times; i++) values.push(await one(size));
    return median(values);
  };
  const [hundredth, tenth] = [Math.ceil(jobs / 100), Math.ceil(jobs / 10)];
  await many(5, hundredth); // warms up
  const nsAtHundredth = await many(9, hundredth);
  const nsAtTenth = await many(5, tenth);
  const ns = await one(jobs);
  return { jobs, ns, nsAtTenth, nsAtHundredth, growth: ns / nsAtHundredth };
}

async function cancelTenth(name: string, size: number): Promise<number> {
  const { body, calls, open } = gate();
  const pool = await openLocal(name, body, CONCURRENCY);
  const running = await occupy(pool, calls);
  const random = generator();
  const aborted: { readonly controller: AbortController; readonly end: Promise<unknown> }[] = [];
  const kept: Promise<unknown>[] = [];
  for (let i = 0; i < size; i++) {
    if (i % 10 !== 0) {
      kept.push(pool.submit());
      continue;
    }
    const controller = new AbortController();
    const end = pool.submit(controller.signal).then(
      () => {
        throw new Error('a cancelled job was run');
      },
      () => undefined,
    );
    aborted.push({ controller, end });
  }
  shuffle(aborted, random);
  collectGarbage();
  const seconds = await timed(async () => {
    const reason = new Error('cancelled by the bench');
    for (const { controller } of aborted) controller.abort(reason);
    for (const { end } of aborted) await end;
  });
  open();
  await Promise.all([...running, ...kept]);
  expect('bodies run', calls(), size - aborted.length + CONCURRENCY);
  return (seconds / aborted.length) * 1e9;
}

function shuffle(list: unknown[], random: () => number): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
}

/** Numbers in [0, 1) that are the same in every run. Steele and Vigna's LCG multiplier for 32 bits. */
function generator(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 0x915f77f5) + 1) >>> 0;
    return state / 2 ** 32;
  };
}
