/** Runs as text: medians per contender, and their ratio to one of them. */
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

/** The middle of the values; of two middles the lower. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

const columns: readonly (readonly [title: string, cell: (run: Run, reference: Run | undefined) => string])[] = [
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

/** A Markdown table, aligned to be read as text too. A column that nobody fills is left out. */
export function formatTable(summaries: readonly Summary[], reference?: string): string {
  const against = summaries.find(({ name }) => name === reference)?.median;
  const filled = columns
    .map(([title, cell]) => [title, ...summaries.map(({ median }) => cell(median, against))])
    .filter(([, ...cells]) => cells.some((cell) => cell !== ''));
  const names = ['', ...summaries.map(({ name }) => name)];
  const width = (cells: readonly string[]) => Math.max(...cells.map((cell) => cell.length));
  const lines = names.map((name, row) => {
    const cells = filled.map((column) => (column[row] as string).padStart(width(column)));
    return `| ${[name.padEnd(width(names)), ...cells].join(' | ')} |`;
  });
  const rule = `|${[width(names), ...filled.map(width)].map((n) => '-'.repeat(n + 2)).join('|')}|`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

export function whole(value: number | undefined): string {
  return value === undefined ? '' : Math.round(value).toLocaleString('en');
}
