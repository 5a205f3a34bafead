/** What a bench of job systems is made of: tables of contenders, and what we want of them. */
import { best, column, type Figures, ratio, ratioColumn } from '../figures.ts';
import { atLeast, atMost, type Column, figure } from '../table.ts';
import type { Spec } from './spec.ts';

/** The row of Millrace in every table. */
export const OURS = 'millrace';

export type Medians = ReadonlyMap<string, Figures>;

export interface Contender {
  readonly name: string;
  /** The folder under peers/ it needs, when it is not ours or Node's. */
  readonly peer?: string;
  readonly spec: Spec;
}

/** A row of a table, as far as it is the same in every section. */
export type Row = Pick<Spec, 'system' | 'server' | 'settings'> & { readonly peer?: string };

export interface Section {
  readonly title: string;
  readonly contenders: readonly Contender[];
  readonly columns: readonly Column<Figures>[];
  /** The row that ratios refer to. */
  readonly reference: string;
  /** What is wanted, beside what the medians say. */
  targets(medians: Medians): Target[];
}

export interface Target {
  readonly what: string;
  /** Undefined when what it needs was not run. */
  readonly value: number | undefined;
  readonly bound: '≥' | '≤';
  readonly target: number;
}

export const floor = (what: string, value: number | undefined, target: number): Target => ({
  what,
  value,
  bound: '≥',
  target,
});

export const ceiling = (what: string, value: number | undefined, target: number): Target => ({
  what,
  value,
  bound: '≤',
  target,
});

export function sentence({ what, value, bound, target }: Target): string {
  return bound === '≥' ? atLeast(what, value, target) : atMost(what, value, target);
}

const isMet = ({ value = Number.NaN, bound, target }: Target) => (bound === '≥' ? value >= target : value <= target);

/** For a table of all targets at the end. */
export const targetColumns: readonly Column<Target>[] = [
  ['target', ({ bound, target }) => `${bound} ${figure(target)}`],
  ['figure', ({ value }) => (value === undefined ? '–' : figure(value))],
  ['', (row) => (row.value === undefined ? 'not run' : isMet(row) ? 'met' : '**missed**')],
];

type Rows = Readonly<Record<string, Row>>;

/** What a row's system is asked to do. */
export function contenderOf(
  rows: Rows,
  row: string,
  asked: Pick<Spec, 'measure' | 'jobs'> & Partial<Spec>,
  name = row,
): Contender {
  const { peer, ...its } = rows[row] as Row;
  return { name, ...(peer && { peer }), spec: { ...its, ...asked } };
}

/** The contenders of a measure, by their rows' names, each with so many jobs. */
export function contendersOf(rows: Rows, measure: string, jobs: Readonly<Record<string, number>>): Contender[] {
  return Object.entries(jobs).map(([row, count]) => contenderOf(rows, row, { measure, jobs: count }));
}

/** The columns of a race on Redis. */
export const redisRates: readonly Column<Figures>[] = [
  column('jobs', 'jobs'),
  column('jobs/s', 'perSecond'),
  ratioColumn('perSecond'),
  column('Redis CPU µs/job', 'redis', figure),
  column('own CPU µs/job', 'cpu', figure),
  column('peak MB', 'rss'),
  column('foreign CPU %', 'foreign', figure),
];

export interface Race extends Omit<Section, 'contenders' | 'targets'> {
  readonly measure: string;
  /** How many each row has to do. */
  readonly jobs: Readonly<Record<string, number>>;
  readonly rows: Rows;
  /** How many times the rate of which row ours shall be. */
  readonly wanted: Readonly<Record<string, number>>;
}

/** A section about jobs per second. */
export function raceOf({ measure, jobs, rows, wanted, ...rest }: Race): Section {
  return {
    ...rest,
    contenders: contendersOf(rows, measure, jobs),
    targets: (medians) =>
      Object.entries(wanted).map(([row, target]) => floor(`${OURS} ÷ ${row}`, times(medians, OURS, row), target)),
  };
}

/** A figure of a row; by default how many jobs a second. */
export const of = (medians: Medians, row: string, name = 'perSecond') => best(medians, [row], name);

/** A figure of one row as so many times that of another. */
export const times = (medians: Medians, row: string, other: string, name = 'perSecond') =>
  ratio(of(medians, row, name), of(medians, other, name));

/** The spec for a quick look. The names of rows stay, so a row may be called a million and be a hundredth of it. */
export function shrink(spec: Spec, by: number): Spec {
  const less = (count: number) => Math.max(Math.min(count, 5), Math.round(count / by));
  return { ...spec, jobs: less(spec.jobs), ...(spec.behind && { behind: less(spec.behind) }), idle: 0.2 };
}
