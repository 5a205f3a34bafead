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
import { column, ratio, ratioColumn } from '../figures.ts';
import {
  type Contender,
  ceiling,
  contendersOf,
  floor,
  type Medians,
  of,
  type Row,
  type Section,
  times,
} from '../jobs/sections.ts';
import { figure, whole } from '../table.ts';

const OURS = 'millrace';
const BARE = 'bare';

const against = (medians: Medians, row: string) => times(medians, OURS, row);

/** Rows by the names they have in the tables. */
const systems: Readonly<Record<string, Row>> = {
  [BARE]: { system: 'bare-sqlite' },
  [OURS]: { system: 'millrace' },
  plainjob: { system: 'plainjob', peer: 'plainjob' },
  'plainjob, polling each ms': { system: 'plainjob', peer: 'plainjob', settings: { pollIntervall: 1 } },
  'bunqueue, durable': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'durable' } },
  'bunqueue, buffered': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'buffered' } },
  'bunqueue, in memory': { system: 'bunqueue', peer: 'bunqueue', settings: { store: 'memory' } },
  liteque: { system: 'liteque', peer: 'liteque' },
  sidequest: { system: 'sidequest', peer: 'sidequest' },
  bullmq: { system: 'bullmq', server: 'redis', peer: 'redis' },
  'bee-queue': { system: 'bee-queue', server: 'redis', peer: 'redis' },
};

const jobs = column('jobs', 'jobs');
const rate = column('jobs/s', 'perSecond');
const memory = column('peak MB', 'rss');
const rates = [jobs, rate, ratioColumn('perSecond'), memory];

const adds: Section = {
  title: 'Add: 200 callers that await each add',
  contenders: contendersOf(systems, 'add', {
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
  targets: (medians) => [
    floor('millrace ÷ bare', against(medians, BARE), 0.7),
    floor('millrace ÷ plainjob', against(medians, 'plainjob'), 4),
    floor('millrace ÷ bunqueue, durable', against(medians, 'bunqueue, durable'), 20),
  ],
};

const bulks: Section = {
  title: 'Bulk: a thousand jobs in a call, one call after the other',
  contenders: contendersOf(systems, 'bulk', {
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
  targets: (medians) => [floor('millrace ÷ bare', against(medians, BARE), 0.7)],
};

const processes: Section = {
  title: 'Process: a backlog, 100 handlers at once that do nothing',
  contenders: contendersOf(systems, 'process', {
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
  targets: (medians) => [
    floor('millrace ÷ bare', against(medians, BARE), 0.45),
    floor('millrace ÷ plainjob', against(medians, 'plainjob'), 7),
    floor('millrace ÷ bunqueue, in memory', against(medians, 'bunqueue, in memory'), 2),
  ],
};

const endToEnds: Section = {
  title: 'End to end: 200 callers that await each add, and the workers, in one process',
  contenders: contendersOf(systems, 'end-to-end', {
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
  targets: (medians) => [
    floor('millrace ÷ bare', against(medians, BARE), 0.6),
    floor('millrace ÷ bullmq', against(medians, 'bullmq'), 10),
    floor('millrace ÷ bee-queue', against(medians, 'bee-queue'), 5),
  ],
};

/** Jobs that are timed, of each backlog. */
const FIRST = 50_000;
const LONG = 1_000_000;
/** Depth may cost this much, for caches. */
const FLAT = 1.2;
const MEMORY = 150;

const waitingRow = (row: string, behind: number): Contender => ({
  name: `${row}, ${whole(behind)} behind`,
  spec: { measure: 'waiting', ...(systems[row] as Row), jobs: FIRST, behind },
});

/** @param lengths the first is what the others are compared with */
function waitingSection(lengths: readonly number[]): Section {
  const rowsOf = (row: string) => lengths.map((behind) => waitingRow(row, behind));
  const ours = rowsOf(OURS);
  const [shortest, ...longer] = ours.map(({ name }) => name);
  const million = waitingRow(OURS, LONG);
  return {
    title: `Waiting: the first ${whole(FIRST)} jobs with more behind them`,
    contenders: [...rowsOf(BARE), ...ours],
    columns: rates,
    reference: shortest ?? OURS,
    targets: (medians) => [
      ...longer.map((name) =>
        ceiling(
          `${name}: time per job ÷ that of the shortest`,
          ratio(of(medians, shortest ?? ''), of(medians, name)),
          FLAT,
        ),
      ),
      ceiling('millrace, peak MB with a million behind', of(medians, million.name, 'rss'), MEMORY),
    ],
  };
}

const pickUps: Section = {
  title: 'Pick-up: from an add to its handler, one job at a time, 4 ms apart; then nothing to do',
  contenders: contendersOf(systems, 'pick-up', {
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
  targets: (medians) => [
    ...['p50', 'p99'].map((name) =>
      ceiling(`millrace ${name} ÷ bee-queue ${name}`, times(medians, OURS, 'bee-queue', name), 1),
    ),
    ceiling('millrace, idle, CPU in % of a core', of(medians, OURS, 'idle'), 1),
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
