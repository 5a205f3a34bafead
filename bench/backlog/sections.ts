/**
 * What is measured, and what we want of it: the table of targets, as code.
 *
 *   memory   cost of add, claim, settle and cancel in memory, by length of the line, a table per variant
 *   sqlite   the same in a file
 *   server   a whole server at work on the first jobs of a line
 */
import { column, type Figures, ratio } from '../figures.ts';
import type { Spec as ServerSpec } from '../jobs/spec.ts';
import { atMost, type Column, figure, whole } from '../table.ts';
import type { Spec } from './spec.ts';
import { variants } from './variants.ts';

type Medians = ReadonlyMap<string, Figures>;

/** A run is of the one or the other kind. */
export type Contender = { readonly name: string } & ({ readonly cost: Spec } | { readonly server: ServerSpec });

export interface Section {
  readonly title: string;
  readonly contenders: readonly Contender[];
  readonly columns: readonly Column<Figures>[];
  /** The row that ratios refer to. */
  readonly reference: string;
  /** Sentences about the targets, from the medians. */
  verdicts(medians: Medians): string[];
}

export interface Extent {
  /** With ten million waiting too, in files. */
  readonly large?: boolean;
  /** A hundredth of everything: does it run? */
  readonly quick?: boolean;
}

const LENGTHS = [1_000, 10_000, 100_000, 1_000_000];
const LARGE = 10_000_000;
/** Length may cost this much, for caches. */
const FLAT = 1.2;
const ROUNDS = 200;
/** Jobs that are timed through a server. */
const FIRST = 50_000;

const titles = { memory: 'Memory', sqlite: 'SQLite, every batch synced' } as const;
const operations = ['add', 'claim', 'settle', 'cancel'] as const;

/** Of the shortest line. */
function growthColumn(name: string): Column<Figures> {
  return [
    '×',
    (row, reference) => {
      const growth = ratio(row[name], reference?.[name]);
      return growth === undefined ? '' : figure(growth);
    },
  ];
}

/** The worst ratio of any longer line to the shortest; undefined when fewer than two of them were run. */
function worst(
  medians: Medians,
  rows: readonly string[],
  growth: (row: Figures, shortest: Figures) => number | undefined,
) {
  const [shortest, ...longer] = rows.map((row) => medians.get(row));
  const ratios = longer.map((row) => row && shortest && growth(row, shortest)).filter((each) => each !== undefined);
  return ratios.length > 0 ? Math.max(...ratios) : undefined;
}

function lengthsOf(backend: Spec['backend'], { large, quick }: Extent): number[] {
  const lengths = large && backend === 'sqlite' ? [...LENGTHS, LARGE] : LENGTHS;
  return quick ? lengths.map((length) => length / 100) : lengths;
}

function costSection(backend: Spec['backend'], variant: string, extent: Extent): Section {
  const rounds = extent.quick ? ROUNDS / 50 : ROUNDS;
  const contenders = lengthsOf(backend, extent).map((waiting) => ({
    name: `${whole(waiting)} waiting`,
    cost: { backend, variant, waiting, rounds },
  }));
  const rows = contenders.map(({ name }) => name);
  return {
    title: `${titles[backend]}: ${variants[variant]?.title}; µs per job in batches of 100`,
    contenders,
    columns: [
      ...operations.flatMap((name) => [column(name, name, figure), growthColumn(name)]),
      column('peak MB', 'rss'),
    ],
    reference: rows[0] as string,
    verdicts: (medians) =>
      operations.map((name) =>
        atMost(
          `${backend}, ${variant}: ${name}, the dearest line ÷ the shortest`,
          worst(medians, rows, (row, shortest) => ratio(row[name], shortest[name])),
          FLAT,
        ),
      ),
  };
}

function serverSection(backend: Spec['backend'], extent: Extent): Section {
  const jobs = extent.quick ? FIRST / 100 : FIRST;
  const settings = { backend };
  const contenders = lengthsOf(backend, extent).map((behind) => ({
    name: `${whole(behind)} behind`,
    server: { measure: 'waiting', system: 'millrace', jobs, behind, settings },
  }));
  const rows = contenders.map(({ name }) => name);
  return {
    title: `${titles[backend]}: a server with 100 workers, the first ${whole(jobs)} jobs of a line`,
    contenders,
    columns: [column('jobs/s', 'perSecond'), growthColumn('perSecond'), column('peak MB', 'rss')],
    reference: rows[0] as string,
    verdicts: (medians) => [
      atMost(
        `${backend}, server: time per job, the dearest line ÷ the shortest`,
        worst(medians, rows, (row, shortest) => ratio(shortest.perSecond, row.perSecond)),
        FLAT,
      ),
    ],
  };
}

export function sections(extent: Extent = {}): Readonly<Record<string, readonly Section[]>> {
  const tables = (backend: Spec['backend']) => Object.keys(variants).map((name) => costSection(backend, name, extent));
  return {
    memory: tables('memory'),
    sqlite: tables('sqlite'),
    server: [serverSection('memory', extent), serverSection('sqlite', extent)],
  };
}
