/**
 * What is compared with what on Redis, and what we want of it: the table of targets, as code.
 *
 *   add         200 callers that await each add
 *   bulk        a thousand jobs in a call
 *   process     a backlog, 100 handlers at once
 *   end-to-end  adds and workers in one process at the same time
 *   cost        what a job takes of the server: CPU to add and run it, memory while it waits
 *   waiting     adding to and running the first of lines of every length, with and without keys
 *   fleet       a backlog, worked on by one process and by two
 *   pick-up     from an add to its handler on an idle system
 *   idle        what a process with nothing to do costs the server
 */
import { column, ratio, ratioColumn } from '../figures.ts';
import {
  type Contender,
  ceiling,
  contenderOf,
  contendersOf,
  floor,
  type Medians,
  OURS,
  of,
  type Row,
  raceOf,
  redisRates,
  type Section,
  type Target,
  times,
} from '../jobs/sections.ts';
import { figure, whole } from '../table.ts';

const BARE = 'bare';
const BULL = 'bullmq';
const BEE = 'bee-queue';
const GROUP = 'groupmq';
const PLATFORMATIC = 'platformatic';

const ours: Row = { system: 'millrace', server: 'redis', settings: { backend: 'redis' } };
/** As many keys, and each of them with a job or more. */
const KEYS = 100_000;
const KEYED = `millrace, ${whole(KEYS)} keys`;

/** Rows by the names they have in the tables. */
const rows: Readonly<Record<string, Row>> = {
  [BARE]: { system: 'bare-redis', server: 'redis' },
  [OURS]: ours,
  [KEYED]: { ...ours, settings: { ...ours.settings, keys: KEYS } },
  [BULL]: { system: 'bullmq', server: 'redis', peer: 'redis' },
  [BEE]: { system: 'bee-queue', server: 'redis', peer: 'redis' },
  [GROUP]: { system: 'groupmq', server: 'redis', peer: 'groupmq' },
  [PLATFORMATIC]: { system: 'platformatic', server: 'redis', peer: 'platformatic' },
};

const over = (medians: Medians, row: string, name?: string) => times(medians, OURS, row, name);

const jobs = column('jobs', 'jobs');
const foreign = column('foreign CPU %', 'foreign', figure);
/** What the races have in common. */
const beside = { rows, columns: redisRates, reference: BARE };

const adds = raceOf({
  ...beside,
  title: 'Add: 200 callers that await each add',
  measure: 'add',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    [BULL]: 50_000,
    [BEE]: 100_000,
    [GROUP]: 50_000,
    [PLATFORMATIC]: 50_000,
  },
  wanted: { [BULL]: 5, [BEE]: 1.25 },
});

const bulks = raceOf({
  ...beside,
  title: 'Bulk: a thousand jobs in a call, one call after the other',
  measure: 'bulk',
  jobs: { [BARE]: 200_000, [OURS]: 200_000, [BULL]: 50_000, [BEE]: 100_000 },
  wanted: { [BULL]: 12, [BEE]: 4 },
});

const processes = raceOf({
  ...beside,
  title: 'Process: a backlog, 100 handlers at once that do nothing',
  measure: 'process',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    [BULL]: 50_000,
    [BEE]: 50_000,
    [GROUP]: 30_000,
    [PLATFORMATIC]: 30_000,
  },
  wanted: { [BULL]: 7, [BEE]: 4 },
});

const endToEnds = raceOf({
  ...beside,
  title: 'End to end: 200 callers that await each add, and the workers, in one process',
  measure: 'end-to-end',
  jobs: {
    [BARE]: 200_000,
    [OURS]: 200_000,
    [BULL]: 30_000,
    [BEE]: 50_000,
    [GROUP]: 30_000,
    [PLATFORMATIC]: 30_000,
  },
  wanted: { [BULL]: 9, [BEE]: 4 },
});

const costs: Section = {
  title: 'Cost: what a job takes of the server',
  contenders: contendersOf(rows, 'cost', {
    [BARE]: 100_000,
    [OURS]: 100_000,
    [BULL]: 100_000,
    [BEE]: 100_000,
    [GROUP]: 50_000,
    [PLATFORMATIC]: 50_000,
  }),
  columns: [
    jobs,
    column('add µs', 'add', figure),
    column('process µs', 'process', figure),
    column('both µs', 'redis', figure),
    ratioColumn('redis'),
    column('bytes per waiting job', 'bytes'),
    foreign,
  ],
  reference: BULL,
  targets: (medians) => [
    ceiling('Redis CPU per job, millrace ÷ bullmq', over(medians, BULL, 'redis'), 0.15),
    ceiling('Redis memory per waiting job, millrace ÷ bullmq', over(medians, BULL, 'bytes'), 0.45),
  ],
};

/** Jobs that are timed, of each line. */
const FIRST = 50_000;
/** Length may cost this much, for caches. */
const FLAT = 1.2;

/** @param lengths the first is what the others are compared with */
function waitingSection(lengths: readonly number[]): Section {
  const contender = (row: string, behind: number) =>
    contenderOf(rows, row, { measure: 'waiting', jobs: FIRST, behind }, `${row}, ${whole(behind)} behind`);
  const lines = [BARE, OURS, KEYED].map((row) => lengths.map((behind) => contender(row, behind)));
  const [, ...judged] = lines;
  return {
    title: `Waiting: ${whole(FIRST)} more jobs added to a line, and its first ${whole(FIRST)} run`,
    contenders: lines.flat(),
    columns: [
      jobs,
      column('added/s', 'add-perSecond'),
      column('Redis µs/add', 'add-redis', figure),
      column('run/s', 'perSecond'),
      column('Redis µs/run', 'redis', figure),
      column('peak MB', 'rss'),
      foreign,
    ],
    reference: `${OURS}, ${whole(lengths[0] ?? 0)} behind`,
    targets: (medians) =>
      judged.flatMap(([shortest, ...longer]) => longer.flatMap((row) => flat(medians, row, shortest))),
  };
}

function flat(medians: Medians, { name }: Contender, shortest: Contender | undefined): Target[] {
  const grown = (of: string) => times(medians, name, shortest?.name ?? '', of);
  const slower = (of: string) => ratio(1, grown(of));
  return [
    ceiling(`${name}: Redis CPU per add ÷ that of the shortest line`, grown('add-redis'), FLAT),
    ceiling(`${name}: time per add ÷ that of the shortest line`, slower('add-perSecond'), FLAT),
    ceiling(`${name}: Redis CPU per run ÷ that of the shortest line`, grown('redis'), FLAT),
    ceiling(`${name}: time per run ÷ that of the shortest line`, slower('perSecond'), FLAT),
  ];
}

/** Turns of a handler's loop: some tens of µs. */
const BUSY = 50_000;
const DOES: Readonly<Record<string, number>> = { 'do nothing': 0, work: BUSY };

const fleetName = (row: string, does: string, processes: number) =>
  `${row}, ${does}, ${processes === 1 ? 'one process' : 'two processes'}`;

const fleets: Section = {
  title: 'Fleet: a backlog, and one process with 100 workers, then two',
  contenders: [OURS, BULL, BEE].flatMap((row) =>
    Object.entries(DOES).flatMap(([does, busy]) =>
      [1, 2].map((processes) => {
        const jobs = row === OURS && busy === 0 ? 200_000 : 50_000;
        return contenderOf(rows, row, { measure: 'fleet', jobs, processes, busy }, fleetName(row, does, processes));
      }),
    ),
  ),
  columns: [
    jobs,
    column('jobs/s', 'perSecond'),
    column('Redis CPU µs/job', 'redis', figure),
    column('Redis CPU %', 'load', figure),
    foreign,
  ],
  reference: fleetName(OURS, 'do nothing', 1),
  targets: (medians) =>
    Object.keys(DOES).map((does) =>
      floor(
        `handlers that ${does}: two processes ÷ one`,
        times(medians, fleetName(OURS, does, 2), fleetName(OURS, does, 1)),
        1.5,
      ),
    ),
};

const pickUps: Section = {
  title: 'Pick-up: from an add to its handler, one job at a time, 4 ms apart',
  contenders: contendersOf(rows, 'pick-up', {
    [OURS]: 500,
    [BULL]: 500,
    [BEE]: 500,
    [GROUP]: 500,
    [PLATFORMATIC]: 500,
  }),
  columns: [jobs, column('p50 ms', 'p50', figure), column('p99 ms', 'p99', figure), foreign],
  reference: OURS,
  targets: (medians) =>
    ['p50', 'p99'].map((name) => ceiling(`${name}, millrace ÷ bee-queue`, over(medians, BEE, name), 1.2)),
};

/** Servers that shall fit on one Redis, each idle, with so many requests a second in all. */
const SERVERS = 100;
const REQUESTS = 100;

const idles: Section = {
  title: 'Idle: one process whose workers have nothing to do',
  contenders: contendersOf(rows, 'idle', { [OURS]: 1, [BULL]: 1, [BEE]: 1, [GROUP]: 1, [PLATFORMATIC]: 1 }),
  columns: [
    column('requests/s', 'requests', figure),
    column('commands/s', 'commands', figure),
    column('Redis CPU %', 'redis', figure),
    column('own CPU %', 'idle', figure),
    foreign,
  ],
  reference: OURS,
  targets: (medians) => {
    const requests = of(medians, OURS, 'requests');
    return [
      ceiling(
        `requests a second of ${SERVERS} millrace servers`,
        requests === undefined ? undefined : SERVERS * requests,
        REQUESTS,
      ),
    ];
  },
};

/** @param large with ten million waiting, which takes minutes and some gigabytes of memory */
export function sections(large = false): Readonly<Record<string, Section>> {
  return {
    add: adds,
    bulk: bulks,
    process: processes,
    'end-to-end': endToEnds,
    cost: costs,
    waiting: waitingSection([1_000, 10_000, 100_000, 1_000_000, ...(large ? [10_000_000] : [])]),
    fleet: fleets,
    'pick-up': pickUps,
    idle: idles,
  };
}
