/**
 * What is compared with what, and what we want of it: the table of targets, as code.
 *
 *   add         200 callers that await each add
 *   bulk        a thousand jobs in a call
 *   process     a backlog, 100 handlers at once
 *   end-to-end  adds and workers in one process at the same time
 *   waiting     the first jobs of backlogs of every length, and the memory that takes
 *   pick-up     from an add to its handler on an idle system, and the CPU of an idle one
 */
import { best, column, type Figures, ratio, ratioColumn } from '../figures.ts';
import { atLeast, atMost, type Column, figure, whole } from '../table.ts';
import type { Spec } from './spec.ts';

type Medians = ReadonlyMap<string, Figures>;

export interface Contender {
  readonly name: string;
  /** The folder under peers/ it needs, when it is not ours or Node's. */
  readonly peer?: string;
  readonly spec: Spec;
}

export interface Section {
  readonly title: string;
  readonly contenders: readonly Contender[];
  readonly columns: readonly Column<Figures>[];
  /** The row that ratios refer to. */
  readonly reference: string;
  /** Sentences about the targets, from the medians. */
  verdicts(medians: Medians): string[];
}

const OURS = 'millrace';
const BARE = 'bare';

const of = (medians: Medians, row: string, name = 'perSecond') => best(medians, [row], name);
const against = (medians: Medians, row: string) => ratio(of(medians, OURS), of(medians, row));

/** Who takes part, and with how many jobs: so many that a run takes some seconds, its check included. */
function contenders(measure: string, jobs: Readonly<Record<string, number>>): Contender[] {
  return Object.entries(jobs).map(([name, count]) => {
    const { peer, system, settings } = systems[name] as (typeof systems)[string];
    const spec = { measure, system, jobs: count, ...(settings && { settings }) };
    return { name, ...(peer && { peer }), spec };
  });
}

/** Rows by the names they have in the tables. */
const systems: Readonly<Record<string, Pick<Spec, 'system' | 'settings'> & { readonly peer?: string }>> = {
  [BARE]: { system: 'bare' },
  [OURS]: { system: 'millrace' },
  plainjob: { system: 'plainjob', peer: 'plainjob' },
  'plainjob, polling each ms': { system: 'plainjob', peer: 'plainjob', settings: { pollIntervall: 1 } },
  'bunqueue, durable': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'durable' } },
  'bunqueue, buffered': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'buffered' } },
  'bunqueue, in memory': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'memory' } },
  liteque: { system: 'liteque', peer: 'liteque' },
  sidequest: { system: 'sidequest', peer: 'sidequest' },
  bullmq: { system: 'bullmq', peer: 'redis' },
  'bee-queue': { system: 'bee-queue', peer: 'redis' },
};

const jobs = column('jobs', 'jobs');
const rate = column('jobs/s', 'perSecond');
const memory = column('peak MB', 'rss');
const rates = [jobs, rate, ratioColumn('perSecond'), memory];

const adds: Section = {
  title: 'Add: 200 callers that await each add',
  contenders: contenders('add', {
    [BARE]: 200_000,
    [OURS]: 200_000,
    plainjob: 30_000,
    'bunqueue, durable': 5_000,
    'bunqueue, buffered': 5_000,
    'bunqueue, in memory': 50_000,
    liteque: 3_000,
    sidequest: 500,
    bullmq: 30_000,
    'bee-queue': 50_000,
  }),
  columns: rates,
  reference: BARE,
  verdicts: (medians) => [
    atLeast('millrace ÷ bare', against(medians, BARE), 0.7),
    atLeast('millrace ÷ plainjob', against(medians, 'plainjob'), 4),
    atLeast('millrace ÷ bunqueue, durable', against(medians, 'bunqueue, durable'), 20),
  ],
};

const bulks: Section = {
  title: 'Bulk: a thousand jobs in a call, one call after the other',
  contenders: contenders('bulk', {
    [BARE]: 200_000,
    [OURS]: 200_000,
    plainjob: 30_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    bullmq: 30_000,
    'bee-queue': 50_000,
  }),
  columns: rates,
  reference: BARE,
  verdicts: (medians) => [atLeast('millrace ÷ bare', against(medians, BARE), 0.7)],
};

const processes: Section = {
  title: 'Process: a backlog, 100 handlers at once that do nothing',
  contenders: contenders('process', {
    [BARE]: 200_000,
    [OURS]: 200_000,
    plainjob: 30_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    liteque: 3_000,
    sidequest: 500,
    bullmq: 50_000,
    'bee-queue': 50_000,
  }),
  columns: rates,
  reference: BARE,
  verdicts: (medians) => [
    atLeast('millrace ÷ bare', against(medians, BARE), 0.45),
    atLeast('millrace ÷ plainjob', against(medians, 'plainjob'), 7),
    atLeast('millrace ÷ bunqueue, in memory', against(medians, 'bunqueue, in memory'), 2),
  ],
};

const endToEnds: Section = {
  title: 'End to end: 200 callers that await each add, and the workers, in one process',
  contenders: contenders('end-to-end', {
    [BARE]: 200_000,
    [OURS]: 200_000,
    // Between the warm-up and the run it would sleep for a second.
    'plainjob, polling each ms': 20_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    bullmq: 20_000,
    'bee-queue': 50_000,
  }),
  columns: rates,
  reference: BARE,
  verdicts: (medians) => [
    atLeast('millrace ÷ bare', against(medians, BARE), 0.6),
    atLeast('millrace ÷ bullmq', against(medians, 'bullmq'), 10),
    atLeast('millrace ÷ bee-queue', against(medians, 'bee-queue'), 5),
  ],
};

/** Jobs that are timed, of each backlog. */
const FIRST = 50_000;
const LONG = 1_000_000;
/** Depth may cost this much, for caches. */
const FLAT = 1.2;
const MEMORY = 150;

const waitingRow = (system: string, behind: number): Contender => ({
  name: `${system}, ${whole(behind)} behind`,
  spec: { measure: 'waiting', system, jobs: FIRST, behind },
});

/** @param lengths the first is what the others are compared with */
function waitingSection(lengths: readonly number[]): Section {
  const rowsOf = (system: string) => lengths.map((behind) => waitingRow(system, behind));
  const ours = rowsOf('millrace');
  const [shortest, ...longer] = ours.map(({ name }) => name);
  const million = waitingRow('millrace', LONG);
  return {
    title: `Waiting: the first ${whole(FIRST)} jobs with more behind them`,
    contenders: [...rowsOf('bare'), ...ours],
    columns: rates,
    reference: shortest ?? OURS,
    verdicts: (medians) => [
      ...longer.map((name) =>
        atMost(
          `${name}: time per job ÷ that of the shortest`,
          ratio(of(medians, shortest ?? ''), of(medians, name)),
          FLAT,
        ),
      ),
      atMost('millrace, peak MB with a million behind', of(medians, million.name, 'rss'), MEMORY),
    ],
  };
}

const pickUps: Section = {
  title: 'Pick-up: from an add to its handler, one job at a time, 4 ms apart; then nothing to do',
  contenders: contenders('pick-up', {
    [OURS]: 500,
    // It polls once a second, so one has to suffice to see it, and it is shown at its fastest too.
    plainjob: 5,
    'plainjob, polling each ms': 500,
    'bunqueue, buffered': 50,
    bullmq: 500,
    'bee-queue': 500,
  }),
  columns: [
    jobs,
    column('p50 ms', 'p50', figure),
    column('p99 ms', 'p99', figure),
    column('idle CPU %', 'idle', figure),
  ],
  reference: OURS,
  verdicts: (medians) => [
    ...['p50', 'p99'].map((name) =>
      atMost(`millrace ${name} ÷ bee-queue ${name}`, ratio(of(medians, OURS, name), of(medians, 'bee-queue', name)), 1),
    ),
    atMost('millrace, idle, CPU in % of a core', of(medians, OURS, 'idle'), 1),
  ],
};

/** @param large with ten million waiting, which takes minutes and some gigabytes */
export function sections(large = false): Readonly<Record<string, Section>> {
  return {
    add: adds,
    bulk: bulks,
    process: processes,
    'end-to-end': endToEnds,
    waiting: waitingSection([1_000, 100_000, LONG, ...(large ? [10 * LONG] : [])]),
    'pick-up': pickUps,
  };
}

/** The spec for a quick look. The names of rows stay, so a row may be called a million and be a hundredth of it. */
export function shrink(spec: Spec, by: number): Spec {
  const less = (count: number) => Math.max(Math.min(count, 5), Math.round(count / by));
  return { ...spec, jobs: less(spec.jobs), ...(spec.behind && { behind: less(spec.behind) }), idle: 0.2 };
}
