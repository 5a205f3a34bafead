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
  ceiling,
  contenderOf,
  contendersOf,
  OURS,
  of,
  type Row,
  raceOf,
  type Section,
  times,
} from '../jobs/sections.ts';
import { figure, whole } from '../table.ts';

const BARE = 'bare';

/** Rows by the names they have in the tables. */
const rows: Readonly<Record<string, Row>> = {
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

/** What the races have in common. */
const beside = { rows, columns: rates, reference: BARE };

const adds = raceOf({
  ...beside,
  title: 'Add: 200 callers that await each add',
  measure: 'add',
  jobs: {
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
  },
  wanted: { [BARE]: 0.7, plainjob: 4, 'bunqueue, durable': 20 },
});

const bulks = raceOf({
  ...beside,
  title: 'Bulk: a thousand jobs in a call, one call after the other',
  measure: 'bulk',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    plainjob: 30_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    bullmq: 30_000,
    'bee-queue': 50_000,
  },
  wanted: { [BARE]: 0.7 },
});

const processes = raceOf({
  ...beside,
  title: 'Process: a backlog, 100 handlers at once that do nothing',
  measure: 'process',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    plainjob: 30_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    liteque: 3_000,
    sidequest: 500,
    bullmq: 50_000,
    'bee-queue': 50_000,
  },
  wanted: { [BARE]: 0.45, plainjob: 7, 'bunqueue, in memory': 2 },
});

const endToEnds = raceOf({
  ...beside,
  title: 'End to end: 200 callers that await each add, and the workers, in one process',
  measure: 'end-to-end',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    // Between the warm-up and the run it would sleep for a second.
    'plainjob, polling each ms': 20_000,
    'bunqueue, buffered': 10_000,
    'bunqueue, in memory': 50_000,
    bullmq: 20_000,
    'bee-queue': 50_000,
  },
  wanted: { [BARE]: 0.6, bullmq: 10, 'bee-queue': 5 },
});

/** Jobs that are timed, of each backlog. */
const FIRST = 50_000;
const LONG = 1_000_000;
/** Depth may cost this much, for caches. */
const FLAT = 1.2;
const MEMORY = 150;

const waitingRow = (row: string, behind: number) =>
  contenderOf(rows, row, { measure: 'waiting', jobs: FIRST, behind }, `${row}, ${whole(behind)} behind`);

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
  contenders: contendersOf(rows, 'pick-up', {
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
