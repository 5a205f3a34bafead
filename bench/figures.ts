/** What children measure and what a table makes of it. */
import { type Column, figure, median, whole } from './table.ts';

/** By name; a figure that a contender does not have is absent. Times in seconds unless the name says otherwise. */
export type Figures = Readonly<Record<string, number>>;

/** The median of each figure by itself. */
export function summarise(runs: readonly Figures[]): Figures {
  const names = new Set(runs.flatMap((run) => Object.keys(run)));
  return Object.fromEntries(
    Array.from(names, (name) => [name, median(runs.map((run) => run[name]).filter((value) => value !== undefined))]),
  );
}

/** The share `q` of the values lies at or below it. The array is sorted in place. */
export function quantile(values: Float64Array, q: number): number {
  return values.sort()[Math.max(0, Math.ceil(q * values.length) - 1)] ?? Number.NaN;
}

/** The highest of a figure among these rows; undefined when none of them has it. */
export function best(medians: ReadonlyMap<string, Figures>, rows: Iterable<string>, name: string): number | undefined {
  const values = Array.from(rows, (row) => medians.get(row)?.[name]).filter((value) => value !== undefined);
  return values.length > 0 ? Math.max(...values) : undefined;
}

export function ratio(value: number | undefined, reference: number | undefined): number | undefined {
  return value === undefined || reference === undefined ? undefined : value / reference;
}

export function column(title: string, name: string, format: (value: number) => string = whole): Column<Figures> {
  return [title, (row) => (row[name] === undefined ? '' : format(row[name]))];
}

/** How many times the reference's figure. */
export function ratioColumn(name: string): Column<Figures> {
  return [
    'ratio',
    (row, reference) => {
      const value = ratio(row[name], reference?.[name]);
      return value === undefined ? '' : figure(value);
    },
  ];
}

/** A run in a line. */
export function tellFigures(run: Figures | Error): string {
  if (run instanceof Error) return `FAILED: ${run.message}`;
  return Object.entries(run)
    .filter(([name]) => name !== 'jobs')
    .map(([name, value]) => `${name} ${value < 1000 ? value.toPrecision(3) : whole(value)}`)
    .join(', ');
}
