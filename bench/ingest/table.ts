/** The columns of this bench's tables, and how the runs of a contender become a row. */
import { type Column, median, whole } from '../table.ts';
import type { Run } from './measure.ts';

export interface Summary {
  readonly name: string;
  readonly runs: number;
  /** Each figure is the median of its own; of the promises, the worst of all rounds. */
  readonly median: Run;
}

export function summarise(name: string, runs: readonly Run[]): Summary {
  const of = (pick: (run: Run) => number | undefined) => runs.map(pick).filter((value) => value !== undefined);
  const middle = (pick: (run: Run) => number | undefined) => median(of(pick));
  const worst = (pick: (run: Run) => number | undefined) => Math.max(...of(pick));
  const some = (pick: (run: Run) => number | undefined) => of(pick).length > 0;
  return {
    name,
    runs: runs.length,
    median: {
      acceptedPerSecond: middle((run) => run.acceptedPerSecond),
      refusedPerSecond: middle((run) => run.refusedPerSecond),
      p50: middle((run) => run.p50),
      p99: middle((run) => run.p99),
      peak: middle((run) => run.peak),
      cpu: middle((run) => run.cpu),
      ...(some((run) => run.uploadedPerSecond) && {
        uploadedPerSecond: middle((run) => run.uploadedPerSecond),
      }),
      ...(some((run) => run.slowDowns) && { slowDowns: middle((run) => run.slowDowns) }),
      ...(some((run) => run.backlog?.end) && {
        backlog: { middle: middle((run) => run.backlog?.middle), end: middle((run) => run.backlog?.end) },
      }),
      ...(some((run) => run.missing) && { missing: worst((run) => run.missing) }),
      ...(some((run) => run.twice) && { twice: worst((run) => run.twice), stray: worst((run) => run.stray) }),
    },
  };
}

export const columns: readonly Column<Run>[] = [
  ['accepted/s', (run) => whole(run.acceptedPerSecond)],
  ['ratio', (run, reference) => (reference ? (run.acceptedPerSecond / reference.acceptedPerSecond).toFixed(2) : '')],
  ['refused/s', (run) => whole(run.refusedPerSecond)],
  ['p50 ms', (run) => run.p50.toFixed(1)],
  ['p99 ms', (run) => run.p99.toFixed(1)],
  ['uploaded/s', (run) => whole(run.uploadedPerSecond)],
  ['waiting', (run) => whole(run.backlog?.end)],
  ['peak MB', (run) => whole(run.peak / 1e6)],
  ['CPU µs/req', (run) => run.cpu.toFixed(1)],
  ['lost', (run) => whole(run.missing)],
  ['twice', (run) => whole(run.twice)],
];
